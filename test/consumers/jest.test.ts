import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Site } from './support/expected.js'
import { Project } from './support/project.js'

let project: Project

beforeAll(() => {
  project = new Project('jest')
})

afterAll(() => project?.[Symbol.asyncDispose]())

describe('Jest 30', () => {
  it.each([
    ['babel-jest', 'jest.babel.json', 7],
    ['babel-jest, which transforms the package', 'jest.babel-all.json', 7],
    ['ts-jest', 'jest.ts.json', 5],
    ['ts-jest, which transforms the package', 'jest.ts-all.json', 5],
  ])('runs tests with %s that take locks and run jobs', async (_name, config, tests) => {
    await using site = await Site.open()
    // One file after the other: they share a prefix.
    const { stderr } = await project.run(project.bin('jest'), ['--config', config, '--runInBand'], {
      ...site.env,
      BUSY: site.busyOwner,
    })
    expect(stderr).toContain(`Tests:       ${tests} passed, ${tests} total`)
    expect(stderr).not.toMatch(/did not exit|warn/i)
  })
})
