import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL, type JobsTold, type LocksTold, Site } from './support/expected.js'
import { commands } from './support/page.js'
import { Project } from './support/project.js'

let project: Project

beforeAll(() => {
  project = new Project('runtimes', { programs: true })
})

afterAll(() => project?.[Symbol.asyncDispose]())

const bun = () => project.path('node_modules/@oven/bun-linux-x64-baseline/bin/bun')
const deno = () => project.path('node_modules/@deno/linux-x64-glibc/deno')

/** What stands between the command and the program in the docs. */
const optionsOf = (command: string) => command.split(' ').slice(1, -1)

describe.each([
  ['Node.js', () => process.execPath, []],
  ['Bun', bun, optionsOf(commands.bun)],
  ['Deno', deno, optionsOf(commands.deno)],
] as const)('%s', (_name, binary, args) => {
  it('takes locks', async () => {
    await using site = await Site.open()
    const env = { ...site.env, STORES: `${ALL}` }
    site.expectLocks(await project.ask<LocksTold>(binary(), [...args, 'locks.mjs'], env), ALL)
  })

  it('runs jobs', async () => {
    await using site = await Site.open()
    site.expectJobs(await project.ask<JobsTold>(binary(), [...args, 'jobs.mjs'], site.env), true)
  })

  it('has one instance, whether it is required or imported', async () => {
    const told = await project.ask<InstancesTold>(binary(), [...args, 'instances.cjs'])
    expect(told).toEqual({
      owner: expect.stringMatching(/\S/),
      shown: [told.owner],
      holder: told.owner,
      typed: [true, true],
      faults: [
        [true, true],
        [true, true],
      ],
      same: [true, true, true, true],
      otherHadOwner: true,
    })
  })
})

interface InstancesTold {
  readonly owner: string
}
