import { afterAll, beforeAll, expect, it } from 'vitest'
import { Site } from './support/expected.js'
import { Project } from './support/project.js'

let project: Project

beforeAll(() => {
  project = new Project('vitest')
})

afterAll(() => project?.[Symbol.asyncDispose]())

it('Vitest runs tests with fake timers that take locks', async () => {
  await using site = await Site.open()
  const { stdout } = await project.run(project.bin('vitest'), ['run'], { ...site.env, BUSY: site.busyOwner })
  expect(stdout).toContain('Tests  2 passed (2)')
})
