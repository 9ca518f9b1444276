import { setTimeout as sleep } from 'node:timers/promises'
import { DuplicateJobError } from 'soloist'
import type { Duplicate } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, type Recorder, until, untilIdle, useBench } from './support.js'

// What strategies do beyond the table of cells: stopping, merging, choosing, and what they tell.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

test('the outcome says of what a trigger is a duplicate', async () => {
  const queue = bench.queue({})
  const first = await queue.add('sync', { key: 1, value: 1 })
  expect(first.singleton).toEqual({ status: 'started', id: first.id, guaranteed: true })
  const second = await queue.add('sync', { key: 1, value: 2 })
  expect(second.id).toBe(first.id)
  expect(second.data).toEqual({ key: 1, value: 1 })
  expect(second.singleton).toEqual({
    status: 'duplicate',
    id: first.id,
    owner: `bullmq:${bench.prefix}:work:${first.id}`,
    state: 'queued',
    ageMs: expect.any(Number),
    guaranteed: true,
  })
  expect(await bench.redis.get(`${bench.lockPrefix}${Object.keys(await bench.held())[0]}`)).toBe(
    second.singleton?.owner,
  )
  expect(queue.singleton.counts('sync')).toMatchObject({ started: 1, duplicate: 1 })
})

test('reject throws the live id, its state and its age', async () => {
  const queue = bench.queue({ onDuplicate: 'reject' })
  const { id } = await queue.add('sync', { key: 1, value: 1 })
  runs.hold()
  bench.worker(runs.run)
  await runs.untilStarted(1)
  const error = await queue.add('sync', { key: 1, value: 2 }).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(DuplicateJobError)
  expect(error).toMatchObject({ code: 'DUPLICATE_JOB', id, state: 'running', ageMs: expect.any(Number) })
})

test('skip answers no job, join the live one', async () => {
  const joining = bench.queue({})
  const skipping = bench.queue({ onDuplicate: 'skip' })
  const { id } = await joining.add('sync', { key: 1, value: 1 })
  expect((await skipping.addUnique('sync', { key: 1, value: 2 })).job).toBeNull()
  expect((await joining.addUnique('sync', { key: 1, value: 2 })).job?.id).toBe(id)
  // BullMQ's `add` promises a job.
  expect((await skipping.add('sync', { key: 1, value: 2 })).id).toBe(id)
})

for (const [mode, steps] of [
  ['untilExecuted', 'one step'],
  ['untilExecuted', 'two steps'],
  ['whileExecuting', 'one step'],
  ['whileExecuting', 'two steps'],
] as const) {
  test(`replace, stop: a running job is asked to stop, and the new one starts when it has (${mode}, ${steps})`, async () => {
    const singleton = steps === 'one step' ? {} : { solo: bench.solo }
    const queue = bench.queue({ mode, onDuplicate: 'replace', onRunning: 'stop' }, singleton)
    runs.hold()
    const reasons: unknown[] = []
    const worker = bench.worker(
      async (job, signal) => {
        signal.addEventListener('abort', () => reasons.push(signal.reason))
        return await runs.run(job, signal)
      },
      { singleton },
    )
    const first = await queue.add('sync', { key: 1, value: 1 })
    await runs.untilStarted(1)
    const { outcome } = await queue.addUnique('sync', { key: 1, value: 2 })
    expect(outcome).toMatchObject({ status: 'replaced', state: 'running' })
    await runs.untilStarted(2)
    expect(runs.aborted).toEqual([1])
    expect(reasons).toEqual([expect.objectContaining({ code: 'JOB_REPLACED' })])
    expect(runs.mostAtOnce).toBe(1)
    runs.letGo()
    await untilIdle(bench, queue)
    expect(runs.ended).toEqual([1, 2])
    expect(await first.getState()).toBe('completed')
    // It had given its lock up to the one that takes its place.
    expect(worker.singleton.counts().lapsed).toBe(0)
  })
}

test('replace, stop: a newer one takes the place of one that waits for the end', async () => {
  const queue = bench.queue({ onDuplicate: 'replace', onRunning: 'stop' })
  runs.hold()
  bench.worker(async (job, signal) => {
    if (job.data.value !== 1) return await runs.run(job, signal)
    // This one takes its time to stop.
    const ended = runs.run(job, new AbortController().signal)
    return await ended
  })
  await queue.add('sync', { key: 1, value: 1 })
  await runs.untilStarted(1)
  const second = await queue.addUnique('sync', { key: 1, value: 2 })
  const third = await queue.addUnique('sync', { key: 1, value: 3 })
  expect([second.outcome.status, third.outcome.status]).toEqual(['replaced', 'replaced'])
  runs.letGo()
  await runs.untilStarted(2)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 3])
})

test('merge: no trigger of many at once is lost', async () => {
  const merged = { uniqueOn: ['key'] as const, merge: (a: Sum, b: Sum) => ({ key: a.key, value: a.value + b.value }) }
  interface Sum {
    readonly key: number
    readonly value: number
  }
  const queue = bench.queue({ ...merged, onDuplicate: 'rerun' })
  runs.hold()
  bench.worker(runs.run, { singleton: { jobs: { sync: { ...merged, onDuplicate: 'rerun' } } } })
  await queue.add('sync', { key: 1, value: 1_000 })
  await runs.untilStarted(1)
  const values = Array.from({ length: 20 }, (_, i) => i + 1)
  const outcomes = await Promise.all(values.map(value => queue.addUnique('sync', { key: 1, value })))
  expect(new Set(outcomes.map(({ outcome }) => outcome.id)).size).toBe(1)
  runs.letGo()
  await runs.untilStarted(2)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1_000, 210])
})

test('rerun: a trigger during the retry delay of a failed attempt is covered by a run of its own', async () => {
  const queue = bench.queue({ onDuplicate: 'rerun' })
  let attempts = 0
  const worker = bench.worker(async (job, signal) => {
    await runs.run(job, signal)
    if (job.data.value === 1 && ++attempts === 1) throw new Error('first attempt')
    return 0
  })
  const failed = new Promise(resolve => worker.once('failed', resolve))
  const first = await queue.add('sync', { key: 1, value: 1 }, { attempts: 2, backoff: 3_600_000 })
  await failed
  await until(async () => (await queue.getJobCounts()).delayed === 1)
  const { outcome } = await queue.addUnique('sync', { key: 1, value: 2 })
  expect(outcome.status).toBe('deferred')
  // As if the delay were over.
  await first.promote()
  await runs.untilStarted(3)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 1, 2])
})

describe('a function', () => {
  test('decides with what it is told', async () => {
    const seen: Duplicate<unknown>[] = []
    const queue = bench.queue({
      onDuplicate: async duplicate => {
        seen.push(duplicate)
        await sleep(1)
        return duplicate.state === 'running' ? 'rerun' : 'replace'
      },
    })
    const first = await queue.add('sync', { key: 1, value: 1 })
    const second = await queue.addUnique('sync', { key: 1, value: 2 })
    expect(second.outcome.status).toBe('replaced')
    expect(seen).toEqual([
      { name: 'sync', id: first.id, state: 'queued', ageMs: expect.any(Number), data: { key: 1, value: 2 } },
    ])
    runs.hold()
    bench.worker(runs.run)
    await runs.untilStarted(1)
    expect((await queue.addUnique('sync', { key: 1, value: 3 })).outcome.status).toBe('deferred')
    runs.letGo()
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([2, 3])
  })

  test('that names no strategy is an error, and nothing is added', async () => {
    const queue = bench.queue({ onDuplicate: () => 'ignore' as 'join' })
    await queue.add('sync', { key: 1, value: 1 })
    await expect(queue.add('sync', { key: 1, value: 2 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect((await queue.getJobCounts()).waiting).toBe(1)
  })
})
