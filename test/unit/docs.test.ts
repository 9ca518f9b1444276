import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it, vi } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'docs/api.md'), 'utf8')
const jobs = readFileSync(join(root, 'docs/jobs.md'), 'utf8')
const readme = readFileSync(join(root, 'README.md'), 'utf8').split('## Sixty seconds')[1] as string
const examples = [...(page + jobs + readme).matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code as string)

// Within the repository, so that they find the package by its own name.
const folder = mkdtempSync(join(root, 'test/unit/.examples-'))
const files = examples.map((code, i) => {
  const file = join(folder, `example-${i + 1}.ts`)
  writeFileSync(file, code)
  return file
})
writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', include: [], files }))

afterAll(() => {
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true })
})

describe('docs/api.md, docs/jobs.md and the README', () => {
  it('has examples whose types are right', () => {
    expect(examples.length).toBeGreaterThan(5)
    const tsc = join(root, 'node_modules/.bin/tsc')
    expect(spawnSync(tsc, ['-p', folder], { encoding: 'utf8' })).toMatchObject({ status: 0, stdout: '' })
  })

  it.each(files.map((file, i) => [i + 1, file]))('has example %i, which runs', async (_, file) => {
    const printed: unknown[][] = []
    vi.spyOn(console, 'log').mockImplementation((...values) => void printed.push(values))
    const errors = vi.spyOn(console, 'error').mockImplementation(() => {})
    await import(file as string)
    expect(errors).not.toHaveBeenCalled()
    // `console.log(…) // value` promises what is printed.
    const code = readFileSync(file as string, 'utf8')
    const promised = [...code.matchAll(/^console\.log\(.*\) \/\/ (.*)$/gm)].map(([, value]) => value)
    const lines = printed.map(values => values.map(String).join(' '))
    expect(lines).toEqual(expect.arrayContaining(promised))
  })
})

describe('docs/testing.md', () => {
  const inside = mkdtempSync(join(root, 'test/unit/.testing-'))
  const tests = readFileSync(join(root, 'docs/testing.md'), 'utf8')
  const written = [...tests.matchAll(/^```ts\n\/\/ (\S+)\n(.*?)^```$/gms)].map(([, name, code]) => {
    const file = join(inside, String(name))
    writeFileSync(file, String(code))
    return file
  })
  writeFileSync(
    join(inside, 'tsconfig.json'),
    JSON.stringify({ extends: '../../tsconfig.json', include: [], files: written }),
  )
  // Its own, without what the tests here need.
  writeFileSync(
    join(inside, 'vitest.config.js'),
    `export default ${JSON.stringify({ test: { include: ['*.test.ts'] } })}`,
  )
  afterAll(() => rmSync(inside, { recursive: true }))

  it('has tests whose types are right', () => {
    expect(written).toHaveLength([...tests.matchAll(/^```ts$/gm)].length)
    const tsc = join(root, 'node_modules/.bin/tsc')
    expect(spawnSync(tsc, ['-p', inside], { encoding: 'utf8' })).toMatchObject({ status: 0, stdout: '' })
  })

  it('has tests that pass', () => {
    const vitest = join(root, 'node_modules/.bin/vitest')
    const args = ['run', '--root', inside, '--reporter', 'json']
    const { stdout, stderr } = spawnSync(vitest, args, { encoding: 'utf8' })
    const { numPassedTests, numTotalTests, numTotalTestSuites } = JSON.parse(stdout.slice(stdout.indexOf('{')))
    expect(numPassedTests, stdout + stderr).toBe(numTotalTests)
    expect(numTotalTestSuites).toBe(written.length)
  })
})

describe('docs/guarantees.md', () => {
  it('names tests that are there', () => {
    const guards = readFileSync(join(root, 'docs/guarantees.md'), 'utf8').matchAll(/`(test\/[^`]*)`/g)
    const paths = new Set([...guards].map(([, path]) => path as string))
    expect(paths.size).toBeGreaterThan(10)
    for (const path of paths) {
      const [start, end] = basename(path).split('*') as [string, string?]
      const there = readdirSync(join(root, dirname(path))).filter(file =>
        end === undefined ? file === start : file.startsWith(start) && file.endsWith(end),
      )
      expect(there, path).not.toEqual([])
    }
  })
})
