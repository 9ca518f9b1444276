import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type JobsTold, type LocksTold, Site } from './support/expected.js'
import { Project } from './support/project.js'

let project: Project

beforeAll(() => {
  project = new Project('bundlers', { programs: true })
})

afterAll(() => project?.remove())

/** How a bundle of a program is made at `out`. It says nothing, so what it says is a warning. */
type Bundle = (program: string, out: string) => Promise<{ readonly stdout: string; readonly stderr: string }>

const esbuild =
  (...options: string[]): Bundle =>
  (program, out) =>
    project.run(project.bin('esbuild'), [
      program,
      '--bundle',
      '--platform=node',
      '--log-level=warning',
      `--outfile=${out}`,
      ...options,
    ])

const bundle =
  (script: string): Bundle =>
  (program, out) =>
    project.run(process.execPath, [script, program, out])

const BUNDLERS: readonly (readonly [string, Bundle, string])[] = [
  ['esbuild, CommonJS', esbuild('--format=cjs'), 'cjs'],
  ['esbuild, CommonJS, minified', esbuild('--format=cjs', '--minify'), 'cjs'],
  ['esbuild, ESM', bundle('esbuild-esm.mjs'), 'mjs'],
  ['webpack', bundle('webpack.mjs'), 'cjs'],
  ['rollup', bundle('rollup.mjs'), 'mjs'],
]

describe.each(BUNDLERS)('%s', (name, make, extension) => {
  it('makes a bundle that takes locks', async () => {
    const out = project.path(name.replaceAll(/\W+/g, '-'), `locks.${extension}`)
    expect(await make('locks.mjs', out)).toEqual({ stdout: '', stderr: '' })
    await using site = await Site.open()
    site.expectLocks(await project.ask<LocksTold>(process.execPath, [out], site.env))
  })

  it('makes a bundle that runs jobs', async () => {
    const out = project.path(name.replaceAll(/\W+/g, '-'), `jobs.${extension}`)
    expect(await make('jobs.mjs', out)).toEqual({ stdout: '', stderr: '' })
    await using site = await Site.open()
    site.expectJobs(await project.ask<JobsTold>(process.execPath, [out], site.env), false)
  })
})
