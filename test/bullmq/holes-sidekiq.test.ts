import { once } from 'node:events'
import type { Job } from 'bullmq'
import type { SingletonWorkerSettings } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, type Data, haltAfterTake, type Recorder, until, untilIdle, useBench } from './support.js'

// The holes of sidekiq-unique-jobs that a queue of jobs can have, each shown to be closed here.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number) => ({ key: 1, value })

/** A job whose place was taken before it came into the queue, and which is picked up while the other one runs. */
async function lapse(singleton: SingletonWorkerSettings): Promise<{ job: Job; told: unknown }> {
  const solo = bench.client()
  const letIn = haltAfterTake(solo)
  const adding = bench.queue({}, { solo }).add('sync', data(1))
  await until(async () => Object.keys(await bench.held()).length === 1)
  const queue = bench.queue({}, { solo: bench.solo, graceMs: 500 })
  expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('recovered')
  runs.hold()
  const worker = bench.worker(runs.run, { singleton: { solo: bench.solo, ...singleton } })
  await runs.untilStarted(1)
  const lapsed = once(worker.singleton, 'lapsed')
  letIn()
  const job = await adding
  const [told] = await lapsed
  return { job, told }
}

describe('a worker that cannot take the lock never acknowledges the job in silence', () => {
  test('by default the job waits, and is run', async () => {
    const { job, told } = await lapse({})
    expect(told).toMatchObject({ id: job.id, action: 'waits' })
    runs.letGo()
    await runs.untilStarted(2)
    await until(async () => (await job.getState()) === 'completed')
    expect(runs.started).toEqual([2, 1])
    expect(runs.mostAtOnce).toBe(1)
  })

  test('with fail it fails, with the reason', async () => {
    const { job, told } = await lapse({ onLapsed: 'fail' })
    expect(told).toMatchObject({ id: job.id, action: 'fails' })
    await until(async () => (await job.getState()) === 'failed')
    expect((await bench.queue({}).getJob(job.id as string))?.failedReason).toContain('its place was taken')
  })

  test('with drop it ends without being run, and an event says so', async () => {
    const { job, told } = await lapse({ onLapsed: 'drop' })
    expect(told).toMatchObject({ id: job.id, action: 'dropped' })
    await until(async () => (await job.getState()) === 'completed')
    expect(runs.started).toEqual([2])
  })
})

test('a sweep leaves the locks of a running job alone, however long it runs', async () => {
  const queue = bench.queue({ mode: 'untilAndWhileExecuting' })
  runs.hold()
  bench.worker(runs.run, { lockDuration: 5_000, lockRenewTime: 500 })
  await queue.add('sync', data(1))
  await runs.untilStarted(1)
  await queue.add('sync', data(2))
  const before = await bench.held()
  expect(Object.keys(before)).toHaveLength(1)
  // Longer than BullMQ's lock of the job, which is renewed.
  const startedAt = performance.now()
  await until(async () => {
    expect(await queue.sweep()).toBe(0)
    return performance.now() - startedAt > 6_000
  })
  expect(await bench.held()).toEqual(before)
  runs.letGo()
  await runs.untilStarted(2)
  await untilIdle(bench, queue)
})

test('a sweep looks at all of many locks', async () => {
  const queue = bench.queue({})
  const many = Array.from({ length: 1_500 }, (_, key) => ({ name: 'sync', data: { key, value: key } }))
  await queue.addBulk(many)
  await queue.drain()
  // Those within the grace time might still appear.
  let swept = 0
  await until(async () => {
    swept += await queue.sweep()
    return swept === many.length
  })
  expect(await bench.held()).toEqual({})
})

test('an expiry is as long as it says, and leaves nothing', async () => {
  const queue = bench.queue({ mode: 'untilExpired', expiryMs: 60_000 })
  await queue.waitUntilReady()
  /** By the clock of the store. */
  const nowMs = async () => {
    const [seconds, micros] = await bench.redis.time()
    return Number(seconds) * 1_000 + Number(micros) / 1_000
  }
  const sinceMs = await nowMs()
  await queue.add('sync', data(1))
  const [lock] = Object.keys(await bench.held())
  const ttl = await bench.redis.pttl(`${bench.lockPrefix}${lock}`)
  expect(ttl).toBeGreaterThanOrEqual(59_998 - ((await nowMs()) - sinceMs))
  expect(ttl).toBeLessThanOrEqual(60_000)
})

test('replace finds a key whatever characters prefix, queue and data hold', async () => {
  const queue = bench.queue({ onDuplicate: 'replace', uniqueOn: undefined }, {}, 'my-app.[queue]%')
  const odd = { key: 1, value: 1, text: '%d+ (.*) [a-z]^$ -' } as Data
  const old = await queue.add('sync', odd)
  const { outcome } = await queue.addUnique('sync', odd)
  expect(outcome).toMatchObject({ status: 'replaced' })
  expect(await queue.getJob(old.id as string)).toBeUndefined()
})

test('what removes one job gives up no lock of another', async () => {
  const queue = bench.queue({ mode: 'untilExecuting' })
  runs.hold()
  bench.worker(runs.run, { concurrency: 1 })
  const first = await queue.add('sync', data(1))
  await runs.untilStarted(1)
  const second = await queue.add('sync', data(2))
  const before = await bench.held()
  expect(Object.values(before)).toEqual([`bullmq:${bench.prefix}:work:${second.id}`])
  runs.letGo()
  await until(async () => (await first.getState()) === 'completed')
  // Removing the finished one, whose key the other has by now.
  await (await queue.getJob(first.id as string))?.remove()
  expect(Object.values(await bench.held()).length).toBeLessThanOrEqual(1)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 2])
})

test('the key is not computed again at the end', async () => {
  let calls = 0
  const counted = (value: Data) => {
    calls += 1
    return value.key
  }
  const queue = bench.queue({ uniqueOn: counted })
  bench.worker(async job => {
    // As a processor that changes what it was given.
    Object.assign(job.data, { key: 99 })
    await job.updateData({ key: 98, value: 0 })
    return 0
  })
  await queue.add('sync', data(1))
  await untilIdle(bench, queue)
  expect(calls).toBe(1)
  expect(await bench.held()).toEqual({})
})
