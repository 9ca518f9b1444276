import { afterAll, beforeAll, expect, it } from 'vitest'
import { Site } from './support/expected.js'
import { Project } from './support/project.js'

let project: Project

beforeAll(() => {
  project = new Project('nest')
})

afterAll(() => project?.[Symbol.asyncDispose]())

it('@nestjs/bullmq makes its queues, workers and flow producers of our classes', async () => {
  await using site = await Site.open()
  expect(await project.ask(process.execPath, ['main.mjs'], site.env)).toEqual({
    classes: [true, true, true],
    statuses: ['duplicate', 'started'],
    same: true,
    result: { live: true, value: 'synced 7' },
    flow: 'started',
    runs: [expect.stringMatching(/webhook|user/), 'flow'],
  })
})
