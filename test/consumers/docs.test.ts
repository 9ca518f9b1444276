import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commands, page } from './support/page.js'

const projects = join(import.meta.dirname, 'projects')
const files = readdirSync(projects, { recursive: true, encoding: 'utf8' }).filter(file => /\.m?js$/.test(file))
const blocksIn = (language: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, code]) => String(code))
const [loading = '', ...pieces] = blocksIn('js')

/** The versions of all projects. */
const pinned = new Map<string, string[]>()
for (const project of readdirSync(projects)) {
  const manifest = JSON.parse(readFileSync(join(projects, project, 'package.json'), 'utf8'))
  for (const [name, version] of Object.entries<string>({ ...manifest.dependencies, ...manifest.devDependencies })) {
    pinned.set(name, [...(pinned.get(name) ?? []), version])
  }
}

describe('docs/bundlers-and-test-runners.md', () => {
  it('shows how the package is loaded', () => {
    const printed = loading
      .trim()
      .split('\n')
      .map(line => {
        const type = line.startsWith('import') ? 'module' : 'commonjs'
        const program = `${line}\nconsole.log(typeof connect)`
        // A folder within the package, which it can load by its own name.
        const options = { cwd: import.meta.dirname, encoding: 'utf8' } as const
        return [type, execFileSync(process.execPath, [`--input-type=${type}`, '-e', program], options)]
      })
    expect(printed).toEqual([
      ['module', 'function\n'],
      ['commonjs', 'function\n'],
    ])
  })

  it('shows commands that are run', () => {
    expect(blocksIn('sh').join('').trim().split('\n')).toEqual(Object.values(commands))
  })

  it.each(pieces)('shows code that a project has: %#', block => {
    expect(files.some(file => readFileSync(join(projects, file), 'utf8').includes(block))).toBe(true)
  })

  it.each([
    ['Next.js', ['next']],
    ['esbuild', ['esbuild']],
    ['webpack', ['webpack']],
    ['rollup', ['rollup']],
    ['Jest', ['jest', 'ts-jest']],
    ['Vitest', ['vitest']],
    ['TypeScript', ['typescript-5.4', 'typescript-5.9', 'typescript-7']],
    ['Bun', ['@oven/bun-linux-x64-baseline']],
    ['Deno', ['@deno/linux-x64-glibc']],
  ])('names the versions of %s that are tested', (tool, packages) => {
    const row = page.split('\n').find(line => line.startsWith(`| ${tool} |`))
    const named = String(row?.split('|')[2]).match(/\b\d+(\.\d+)?\b/g) ?? []
    const tested = packages
      .flatMap(name => [...new Set(pinned.get(name))])
      .map(version => version.replace('npm:typescript@', ''))
    expect(named).toHaveLength(tested.length)
    for (const [i, version] of tested.entries()) expect(`${version}.`).toMatch(new RegExp(`^${named[i]}\\.`))
  })
})
