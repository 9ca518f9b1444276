import { rmSync } from 'node:fs'
import { extname } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL, type JobsTold, type LocksTold, PORTABLE, Site } from './support/expected.js'
import { Folder, type Printed } from './support/folder.js'
import { commands } from './support/page.js'
import { Project } from './support/project.js'

let project: Project

beforeAll(() => {
  project = new Project('bundlers', { programs: true })
})

afterAll(() => project?.[Symbol.asyncDispose]())

const PROGRAMS = ['locks.mjs', 'jobs.mjs']

/** Bundles the programs into a folder. What it prints are warnings. */
type Bundle = (folder: string, programs?: readonly string[], env?: NodeJS.ProcessEnv) => Promise<Printed>

/** As the page says, in place of `app.mjs` and what is made of it. */
const esbuild =
  (command: string, more = ''): Bundle =>
  async (folder, programs = PROGRAMS) => {
    const printed = { stdout: '', stderr: '' }
    for (const program of programs) {
      const [outfile = ''] = /(?<=--outfile=)\S+/.exec(command) ?? []
      const bundled = `${folder}/${program.replace('.mjs', extname(outfile))}`
      const filled = command.replace('app.mjs', program).replace(outfile, bundled)
      const { stdout, stderr } = await project.run('sh', ['-c', `${filled} --log-level=warning ${more}`])
      printed.stdout += stdout
      printed.stderr += stderr
    }
    return printed
  }

const script =
  (name: string): Bundle =>
  (folder, programs = PROGRAMS, env = {}) =>
    project.run(process.execPath, [name, folder, ...programs], env)

const esbuildCommonJs = esbuild(commands.esbuildCommonJs)
const webpack = script('webpack.mjs')
const rollup = script('rollup.mjs')

describe.each([
  ['esbuild', 'CommonJS', 'cjs', esbuildCommonJs],
  ['esbuild', 'CommonJS-minified', 'cjs', esbuild(commands.esbuildCommonJs, '--minify')],
  ['esbuild', 'ESM', 'mjs', esbuild(commands.esbuildModule)],
  ['webpack', 'CommonJS', 'cjs', webpack],
  ['rollup', 'ESM', 'mjs', rollup],
] as const)('%s, %s', (bundler, format, extension, bundle) => {
  const folder = `${bundler}-${format}`
  // BullMQ does not find ioredis in a bundle of rollup's, so it has to be given a client there.
  const connection = bundler === 'rollup' ? { CONNECTION: 'client' } : {}

  it('bundles the package without a warning', async () => {
    expect(await bundle(folder)).toEqual({ stdout: '', stderr: '' })
  })

  it('makes a bundle that takes locks', async () => {
    await using site = await Site.open()
    const bundled = project.path(folder, `locks.${extension}`)
    const env = { ...site.env, STORES: `${ALL}` }
    site.expectLocks(await project.ask<LocksTold>(process.execPath, [bundled], env), ALL)
  })

  it('makes a bundle that takes locks where there are no packages', async () => {
    await using site = await Site.open()
    await using alone = new Folder('alone', project.path(folder))
    const env = { ...site.env, STORES: `${PORTABLE}` }
    site.expectLocks(await alone.ask<LocksTold>(process.execPath, [`locks.${extension}`], env), PORTABLE)
  })

  it('makes a bundle that runs jobs', async () => {
    await using site = await Site.open()
    const bundled = project.path(folder, `jobs.${extension}`)
    site.expectJobs(await project.ask<JobsTold>(process.execPath, [bundled], { ...site.env, ...connection }), true)
  })

  it('makes a bundle that runs jobs where there are no packages', async () => {
    await using site = await Site.open()
    await using alone = new Folder('alone', project.path(folder))
    site.expectJobs(
      await alone.ask<JobsTold>(process.execPath, [`jobs.${extension}`], { ...site.env, ...connection }),
      true,
    )
  })
})

describe('where ioredis is not installed', () => {
  beforeAll(() => rmSync(project.path('node_modules', 'ioredis'), { recursive: true }))

  const unresolved = (name: string) =>
    expect.stringContaining(`/soloist/dist/internal/peers/ioredis.js: Module not found: Error: Can't resolve '${name}'`)

  it.each([
    ['esbuild says nothing', esbuildCommonJs, 'cjs', {}, []],
    ['rollup says nothing', rollup, 'mjs', {}, []],
    ['webpack warns', webpack, 'cjs', {}, [unresolved('ioredis'), unresolved('ioredis/package.json')]],
    ['webpack says nothing when it is told so', webpack, 'cjs', { IGNORED: 'ioredis' }, []],
  ])('%s, and the bundle runs', async (name, bundle, extension, env, warnings) => {
    const folder = name.replaceAll(' ', '-')
    const { stdout, stderr } = await bundle(folder, ['memory.mjs'], env)
    expect(`${stdout}${stderr}`.split('\n').filter(Boolean)).toEqual(warnings)
    const bundled = project.path(folder, `memory.${extension}`)
    const { owner, shown } = await project.ask<{ owner: string; shown: string[] }>(process.execPath, [bundled])
    expect(shown).toEqual([owner])
  })
})
