import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { ACTIVE_IN_DELAYED, textsFor } from '../../dist/adapters/bullmq/fused/texts.js'
import { bullmqMajor } from './support.js'

// What is relied on of BullMQ's scripts: how many keys and arguments they take, and what stands where. A version that changes it
// fails here, and takes two steps for each job until it was looked at.

type Scripts = Record<string, { readonly content: string; readonly keys: number }>
const scripts: Scripts = createRequire(import.meta.url)('bullmq/dist/cjs/scripts/index.js')

/** What a script says of its keys and arguments at its beginning. */
function inputs(name: string): Record<string, string> {
  const found = (scripts[name]?.content ?? '').matchAll(/^\s*((?:KEYS|ARGV)\[\d+\])\s+(.*?),?(?:\s*\(\w+\))?\s*$/gm)
  return Object.fromEntries([...found].map(([, at = '', what = '']) => [at, what.replaceAll("'", '').toLowerCase()]))
}

const stands: Record<string, Record<string, RegExp>> = {
  addStandardJob: {
    'ARGV[1]': /msgpacked arguments array/,
    'ARGV[2]': /json stringified job data/,
    'ARGV[3]': /msgpacked options/,
  },
  addDelayedJob: { 'ARGV[1]': /msgpacked arguments array/ },
  addPrioritizedJob: { 'ARGV[1]': /msgpacked arguments array/ },
  addParentJob: { 'ARGV[1]': /msgpacked arguments array/ },
  moveToActive: {
    ...{ 'KEYS[1]': /wait/, 'KEYS[2]': /active/, 'KEYS[3]': /prioritized/, 'KEYS[4]': /events/, 'KEYS[5]': /stalled/ },
    ...{ 'KEYS[6]': /limiter/, 'KEYS[7]': /delayed/, 'KEYS[9]': /meta/, 'KEYS[10]': /pc/, 'KEYS[11]': /marker/ },
    ...{ 'ARGV[1]': /key prefix/, 'ARGV[2]': /timestamp/, 'ARGV[3]': /opts/ },
  },
  moveToFinished: {
    ...{ 'KEYS[1]': /wait/, 'KEYS[2]': /active/, 'KEYS[10]': /pc/, 'KEYS[12]': /jobid key/, 'KEYS[14]': /marker/ },
    ...{ 'ARGV[1]': /jobid/, 'ARGV[2]': /timestamp/, 'ARGV[5]': /target/, 'ARGV[7]': /keys prefix/, 'ARGV[8]': /opts/ },
  },
  moveToDelayed: {
    ...{ 'KEYS[1]': /marker/, 'KEYS[2]': /active/, 'KEYS[4]': /delayed/, 'KEYS[9]': /wait/, 'KEYS[10]': /limiter/ },
    ...{
      'ARGV[1]': /key prefix/,
      'ARGV[3]': /id of the job/,
      'ARGV[4]': /token/,
      'ARGV[8]': /fetch next/,
      'ARGV[9]': /opts/,
    },
  },
  retryJob: { 'KEYS[4]': /job key/, 'ARGV[1]': /key prefix/, 'ARGV[4]': /jobid/, 'ARGV[5]': /token/ },
  moveJobFromActiveToWait: { 'ARGV[1]': /job id/, 'ARGV[2]': /lock token/, 'ARGV[3]': /job id key/ },
  moveToWaitingChildren: { 'ARGV[1]': /token/, 'ARGV[4]': /jobid/, 'ARGV[5]': /prefix/ },
  removeJob: { 'KEYS[1]': /jobkey/, 'ARGV[1]': /jobid/, 'ARGV[3]': /queue prefix/ },
  reprocessJob: { 'KEYS[1]': /job key/, 'ARGV[1]': /job.id/ },
  moveStalledJobsToWait: { 'ARGV[2]': /queue.tokey/, 'ARGV[4]': /max check time/ },
}

test.each(Object.entries(stands))('%s takes what it took', (name, where) => {
  const said = inputs(name)
  for (const [at, what] of Object.entries(where)) expect([at, said[at]]).toEqual([at, expect.stringMatching(what)])
})

test('the keys that one script has for another are the same keys', () => {
  const [delayed, active] = [inputs('moveToDelayed'), inputs('moveToActive')]
  const places = ACTIVE_IN_DELAYED[scripts.moveToDelayed?.keys ?? 0] ?? []
  expect(places).toHaveLength(11)
  const word = (text: string | undefined) =>
    /wait|active|prioritized|events|stalled|limiter|delayed|paused|meta|pc|marker/.exec(text ?? '')?.[0]
  for (const [i, at] of places.entries()) {
    const wanted = word(active[`KEYS[${i + 1}]`])
    // BullMQ 6 has no list of its own for the jobs of a paused queue any more.
    const got = word(delayed[`KEYS[${at}]`])
    expect(got).toBe(wanted === 'paused' && bullmqMajor >= 6 ? 'wait' : wanted)
  }
})

test('all of them are wrapped, and the fields of what is packed are where they were', () => {
  expect(textsFor(scripts, 'snooze')?.size).toBeGreaterThan(12)
  const { content = '' } = scripts.addStandardJob ?? {}
  for (const field of ['args[1]', 'args[2]', 'args[5]']) expect(content).toContain(field)
  expect(scripts.moveToFinished?.content).toContain("opts['token']")
})
