import { type ConnectOptions, connect } from 'soloist'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { type Bench, connectionTo, type Data, type Recorder, until, useBench } from './support.js'

// A lock store or a queue that fails: no job is lost, and nobody is told of a guarantee there is none.

let bench: Bench
let runs: Recorder
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number) => ({ key: 1, value })

describe("the locks' store is down", () => {
  let store: RedisServer

  beforeEach(async () => {
    store = await startRedis()
  })

  afterEach(async () => {
    await store.stop()
  })

  /** @param options default: their calls fail soon */
  function locks(options: ConnectOptions = { callTimeoutMs: 1_000 }) {
    const solo = connect(store.url, options)
    bench.closeLater(() => solo.close())
    return solo
  }

  test('by default a trigger fails, and nothing is queued', async () => {
    const queue = bench.queue({}, { solo: locks() })
    await store.kill()
    await expect(queue.add('sync', data(1))).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(await queue.getJobCounts()).toMatchObject({ waiting: 0 })
  })

  test('with enqueue it is queued without the guarantee, and its outcome says so', async () => {
    const queue = bench.queue({}, { solo: locks(), onBackendFault: 'enqueue' })
    await store.kill()
    const { job, outcome } = await queue.addUnique('sync', data(1))
    expect(outcome).toEqual({ status: 'started', id: job?.id, guaranteed: false })
    const many = await queue.addBulk([{ name: 'sync', data: data(2) }])
    expect(many[0]?.singleton?.guaranteed).toBe(false)
    expect(await queue.getJobCounts()).toMatchObject({ waiting: 2 })
    // Their runs are alone all the same, once the store is back.
    await store.restart()
    bench.worker(runs.run, { singleton: { solo: locks() } })
    await runs.untilStarted(2)
    expect(runs.mostAtOnce).toBe(1)
  })

  test('a worker runs nothing it has no lock for, and spends no attempt on it', async () => {
    const queue = bench.queue({}, { solo: locks({}) })
    const { id } = await queue.add('sync', data(1))
    await store.kill()
    const worker = bench.worker(runs.run, { singleton: { solo: locks() } })
    const faults: string[] = []
    worker.singleton.on('fault', ({ during }) => faults.push(during))
    await until(() => faults.length >= 2)
    expect(runs.started).toEqual([])
    await store.restart()
    await runs.untilStarted(1)
    await until(async () => (await queue.getJobCounts()).completed === 1)
    expect((await queue.getJob(id as string))?.attemptsMade).toBe(1)
  })
})

test.each([
  ['', {}],
  [', under an id of its caller', { jobId: 'mine' }],
])('an add whose reply was lost has added its job, and keeps its key%s', async (_, opts) => {
  const proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(() => proxy.close())
  const queue = new SingletonQueue<Data>('work', {
    connection: { ...connectionTo(proxy.url), maxRetriesPerRequest: 0, retryStrategy: () => 20 },
    prefix: bench.prefix,
    singleton: { solo: bench.solo, jobs: { sync: { uniqueOn: ['key'] } } },
  })
  queue.on('error', () => {})
  bench.closeLater(() => queue.close())
  await queue.waitUntilReady()
  // The script that adds a job names its queue's keys.
  const dropped = proxy.dropReplyTo(
    words => /^eval(sha)?$/i.test(words[0] ?? '') && words.includes(`${bench.prefix}:work:wait`),
    'reset',
  )
  const { job, outcome } = await queue.addUnique('sync', data(1), opts)
  await dropped.hit
  expect(outcome.status).toBe('started')
  expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'duplicate', id: job?.id })
  expect(await queue.getJobCounts()).toMatchObject({ waiting: 1 })
})

test('an add under a known id that failed leaves the key of the job that has it', async () => {
  const queue = bench.queue({}, { solo: bench.solo })
  await queue.add('sync', data(1), { jobId: 'mine' })
  const held = await bench.held()
  await expect(queue.add('sync', data(2), { jobId: 'mine', sizeLimit: 3 })).rejects.toThrow('exceeds')
  expect(await bench.held()).toEqual(held)
  expect(Object.keys(held)).toHaveLength(1)
})

test('an add that failed for good gives its key back', async () => {
  const queue = bench.queue({})
  await expect(queue.add('sync', data(1), { sizeLimit: 3 })).rejects.toThrow('exceeds')
  expect(await bench.held()).toEqual({})
})

test("a run is told by its signal that BullMQ's lock of its job was lost, and counted", async () => {
  const queue = bench.queue({})
  runs.hold()
  const worker = bench.worker(runs.run, { lockDuration: 1_000, skipStalledCheck: true })
  const lapsed: unknown[] = []
  worker.singleton.on('lapsed', event => lapsed.push(event))
  const { id } = await queue.add('sync', data(1))
  await runs.untilStarted(1)
  await bench.redis.del(`${bench.prefix}:work:${id}:lock`)
  await until(() => runs.aborted.length === 1)
  await until(() => lapsed.length === 1)
  expect(lapsed).toEqual([expect.objectContaining({ name: 'sync', id, action: 'ended' })])
  expect(worker.singleton.counts('sync').lapsed).toBe(1)
  // Its key is not free for that: the job is still to be run.
  expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'duplicate', id })
  expect(bench.faults.length).toBeGreaterThan(0)
})

test('closing a worker waits for its runs, and leaves no lock', async () => {
  const queue = bench.queue({})
  runs.hold()
  const worker = new SingletonWorker<Data>('work', (job, _token, signal) => runs.run(job, signal as AbortSignal), {
    connection: connectionTo(bench.url),
    prefix: bench.prefix,
    singleton: { prefix: bench.lockPrefix },
  })
  await queue.add('sync', data(1))
  await runs.untilStarted(1)
  const closed = worker.close()
  runs.letGo()
  await closed
  expect(runs.ended).toEqual([1])
  expect(await bench.held()).toEqual({})
})
