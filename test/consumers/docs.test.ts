import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { page } from './support/page.js'

const projects = join(import.meta.dirname, 'projects')
const files = readdirSync(projects, { recursive: true, encoding: 'utf8' }).filter(file => /\.m?js$/.test(file))
const blocks = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => String(code))

/** The versions of all projects. */
const pinned = new Map<string, string[]>()
for (const project of readdirSync(projects)) {
  const manifest = JSON.parse(readFileSync(join(projects, project, 'package.json'), 'utf8'))
  for (const [name, version] of Object.entries<string>({ ...manifest.dependencies, ...manifest.devDependencies })) {
    pinned.set(name, [...(pinned.get(name) ?? []), version])
  }
}

describe('docs/bundlers-and-test-runners.md', () => {
  // The first block says how the package is loaded, which all projects do.
  it.each(blocks.slice(1))('shows code that a project has: %#', block => {
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
