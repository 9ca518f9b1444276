import { afterAll, beforeAll, expect, it } from 'vitest'
import { Site } from './support/expected.js'
import { Project } from './support/project.js'

let project: Project

beforeAll(() => {
  project = new Project('board')
})

afterAll(() => project?.[Symbol.asyncDispose]())

it('Bull Board removes, empties, retries and promotes singleton jobs, and their locks stay right', async () => {
  await using site = await Site.open()
  const told = await project.ask(process.execPath, ['board.mjs'], site.env)
  expect(told).toEqual({
    before: 'duplicate',
    removed: 'started',
    emptied: 'recovered',
    afterFailure: 'started',
    retriedBesideLive: 'job "one" is live already',
    retried: 'done',
    retriedBesideRetried: 'job "one" is live already',
    live: true,
    afterRetry: 'started',
    active: 'promoted',
    follow: 'deferred',
    // Two that fail, the one that was live, the one that is retried, and the one after that. The follow-up runs once.
    runs: { 'one removed': 1, 'one retried': 5, 'more promoted': 2 },
    overlaps: [],
    left: [],
  })
})
