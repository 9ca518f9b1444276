import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Site } from './support/expected.js'
import { Project } from './support/project.js'

/** The kind of module, how packages are found, and what the files are called that are compiled. */
const COMMONJS = ['commonjs', 'node10', ['ts']] as const
const BUNDLER = ['esnext', 'bundler', ['mts']] as const
const NODE_16 = ['node16', 'node16', ['mts', 'cts']] as const
const NODE_20 = ['node20', 'node16', ['mts', 'cts']] as const
const NODE_NEXT = ['nodenext', 'nodenext', ['mts', 'cts']] as const

type Case = readonly [version: string, module: string, moduleResolution: string, files: readonly string[]]

/**
 * Each kind of module with the peers of either age. TypeScript before 7 takes five times as long, so with the oldest peers
 * it checks only what TypeScript 7 has no more.
 */
const CASES: Readonly<Record<'newest' | 'oldest', readonly Case[]>> = {
  newest: [
    ['5.4', ...COMMONJS],
    ['5.4', ...NODE_16],
    ['5.9', ...NODE_20],
    ['7', ...BUNDLER],
    ['7', ...NODE_NEXT],
  ],
  oldest: [
    ['5.4', ...COMMONJS],
    ['7', ...NODE_16],
    ['7', ...NODE_20],
    ['7', ...BUNDLER],
    ['7', ...NODE_NEXT],
  ],
}

interface Told {
  readonly owners: readonly (readonly string[])[]
  readonly job: readonly unknown[]
}

describe.each(['newest', 'oldest'] as const)('with the %s peers', age => {
  let project: Project

  beforeAll(() => {
    project = new Project(`types-${age}`)
    for (const extension of ['ts', 'mts', 'cts']) {
      cpSync(join(import.meta.dirname, 'typed', 'consumer.ts'), project.path(`consumer.${extension}`))
    }
  })

  afterAll(() => project?.[Symbol.asyncDispose]())

  it.each(CASES[age])('TypeScript %s, module %s, moduleResolution %s', async (version, module, resolution, files) => {
    const out = [version, module, resolution].join('-')
    await project.run(process.execPath, [
      project.path('node_modules', `typescript-${version}`, 'bin', 'tsc'),
      ...['--module', module, '--moduleResolution', resolution, '--outDir', out],
      ...['--target', 'es2022', '--strict', '--esModuleInterop', '--skipLibCheck', 'false', '--types', 'node'],
      ...files.map(extension => `consumer.${extension}`),
    ])
    for (const extension of files) {
      await using site = await Site.open()
      const compiled = project.path(out, `consumer.${extension.replace('t', 'j')}`)
      const { owners, job } = await project.ask<Told>(process.execPath, [compiled], site.env)
      expect(owners).toHaveLength(5)
      for (const [owner, ...seen] of owners) expect(seen).toEqual([owner, owner])
      expect(job).toEqual(['started', 'duplicate', 7])
    }
  })
})

it('the oldest peers are those that package.json names', () => {
  const { peerDependencies } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'))
  const { dependencies } = JSON.parse(
    readFileSync(join(import.meta.dirname, 'projects/types-oldest/package.json'), 'utf8'),
  )
  for (const [name, range] of Object.entries(peerDependencies)) expect(`${range} `).toContain(`^${dependencies[name]} `)
})
