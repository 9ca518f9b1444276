import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { deal, installedTree, type Lockfile, readTree, requestsFor } from '../../examples/demo/requests.js'

const project = fileURLToPath(new URL('../..', import.meta.url))

/** `b` is there in two versions; `a` and `c` ask for each other; `d` is for another platform. */
const lockfile: Lockfile = {
  packages: {
    '': { name: 'root', dependencies: { a: '1' }, devDependencies: { '@s/b': '2' }, optionalDependencies: { d: '1' } },
    'node_modules/a': { version: '1.0.0', dependencies: { '@s/b': '1', c: '1' } },
    'node_modules/a/node_modules/@s/b': { version: '1.0.0', dependencies: { e: '1' } },
    'node_modules/@s/b': { version: '2.0.0' },
    'node_modules/c': { version: '1.0.0', dependencies: { '@s/b': '2' }, peerDependencies: { a: '1', absent: '1' } },
    'node_modules/d': { version: '1.0.0', optional: true },
    'node_modules/e': { name: 'really-e', version: '1.0.0' },
  },
}
const isInstalled = (folder: string) => folder !== 'node_modules/d'

describe('the walk over a lockfile', () => {
  test('finds each dependency in the folder Node would, and leaves out what is not installed', () => {
    const { packages, skipped, dependencies } = installedTree(lockfile, isInstalled)
    expect(Object.fromEntries([...dependencies].map(([from, to]) => [from, [...to].sort()]))).toEqual({
      '': ['node_modules/@s/b', 'node_modules/a'],
      'node_modules/a': ['node_modules/a/node_modules/@s/b', 'node_modules/c'],
      'node_modules/a/node_modules/@s/b': ['node_modules/e'],
      'node_modules/@s/b': [],
      'node_modules/c': ['node_modules/@s/b', 'node_modules/a'],
      'node_modules/e': [],
    })
    expect(skipped).toEqual(['node_modules/d'])
    expect(packages.map(({ name, version }) => `${name}@${version}`)).toEqual([
      ...['a@1.0.0', '@s/b@1.0.0', '@s/b@2.0.0', 'c@1.0.0', 'really-e@1.0.0'],
    ])
  })

  test('refuses a tree that lacks a package that is not optional', () => {
    expect(() => installedTree(lockfile, folder => folder !== 'node_modules/c')).toThrow(/node_modules\/c .*npm ci/)
  })

  test('asks for each package once for each dependent, direct or not, and never for itself', () => {
    const requests = requestsFor(installedTree(lockfile, isInstalled))
    const asked = requests.map(({ package: path, dependent }) =>
      `${dependent} > ${path}`.replaceAll('node_modules/', ''),
    )
    expect(asked.sort()).toEqual([
      ...[' > @s/b', ' > a', ' > a/@s/b', ' > c', ' > e'],
      ...['a > @s/b', 'a > a/@s/b', 'a > c', 'a > e'],
      'a/@s/b > e',
      ...['c > @s/b', 'c > a', 'c > a/@s/b', 'c > e'],
    ])
  })

  test('deals every request to exactly one worker, those for one package to different ones', () => {
    const requests = requestsFor(installedTree(lockfile, isInstalled))
    const shares = deal(requests, 4)
    expect(shares.flat().sort((a, b) => a.id - b.id)).toEqual(requests)
    const asking = shares.filter(share => share.some(request => request.package === 'node_modules/e'))
    expect(asking).toHaveLength(4)
  })
})

describe('the walk over this project', () => {
  const tree = readTree(project)

  test('agrees with the module resolution of Node itself', () => {
    const require = createRequire(import.meta.url)
    const needs = [...tree.dependencies].map(([from]) => {
      const about = require(join(project, from, 'package.json'))
      const kinds = [about.dependencies, about.optionalDependencies, about.peerDependencies]
      if (from === '') kinds.push(about.devDependencies)
      const names = new Set(kinds.flatMap(kind => Object.keys(kind ?? {})))
      const lookups = createRequire(join(project, from, 'index.js'))
      const found = [...names].flatMap(name => {
        const folders = (lookups.resolve.paths(name) ?? []).map(folder => join(folder, name))
        return folders.filter(folder => existsSync(join(folder, 'package.json'))).slice(0, 1)
      })
      return [from, found.map(folder => folder.slice(project.length)).sort()]
    })
    expect([...tree.dependencies].map(([from, to]) => [from, [...to].sort()])).toEqual(needs)
  })

  test('every installed package is asked for, most of them by several', () => {
    const requests = requestsFor(tree)
    expect(new Set(requests.map(request => request.package))).toEqual(new Set(tree.packages.map(({ path }) => path)))
    expect(requests.length).toBeGreaterThan(2 * tree.packages.length)
    expect(requests.map(({ id }) => id)).toEqual([...requests.keys()])
  })
})
