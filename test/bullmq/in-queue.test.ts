import { connect, jobKey, jobLockNames } from 'soloist'
import { SingletonFlowProducer } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { freePort } from '../support/redis-server.js'
import { Child } from './children.js'
import { type Bench, bullmqMajor, connectionTo, type Recorder, until, untilIdle, useBench } from './support.js'

// Jobs that are unique in their queue alone (scope 'queue'): BullMQ's own deduplication keeps them so while they wait.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })
const lockOf = (key = 1) => jobLockNames('sync', jobKey(data(0, key), { uniqueOn: ['key'] }))
const inQueue = { scope: 'queue' } as const

/** A job of key 1 that is queued, or that a worker has started. */
async function live(state: 'queued' | 'running', options: { onDuplicate?: 'join' | 'reject' | 'skip' } = {}) {
  const queue = bench.queue({ ...inQueue, ...options })
  const job = await queue.add('sync', data(1))
  if (state === 'running') {
    runs.hold()
    bench.worker(runs.run)
    await runs.untilStarted(1)
  }
  return { queue, job }
}

describe.each(['queued', 'running'] as const)('while a job of the key is %s', state => {
  test('join answers the live job', async () => {
    const { queue, job } = await live(state)
    const { job: joined, outcome } = await queue.addUnique('sync', data(2))
    expect(outcome).toMatchObject({ status: 'duplicate', id: job.id, state, guaranteed: true })
    expect([joined?.id, joined?.data]).toEqual([job.id, data(1)])
    expect((await queue.add('sync', data(3))).singleton?.status).toBe('duplicate')
    expect(await queue.getJobCountByTypes('waiting', 'active')).toBe(1)
  })

  test('skip answers no job', async () => {
    const { queue, job } = await live(state, { onDuplicate: 'skip' })
    const { job: none, outcome } = await queue.addUnique('sync', data(2))
    expect([none, outcome.status, outcome.id]).toEqual([null, 'duplicate', job.id])
  })

  test('reject throws, and says what is live', async () => {
    const { queue, job } = await live(state, { onDuplicate: 'reject' })
    await expect(queue.add('sync', data(2))).rejects.toMatchObject({ code: 'DUPLICATE_JOB', id: job.id, state })
    expect(await queue.getJobCountByTypes('waiting', 'active')).toBe(1)
  })

  test('another key is another job', async () => {
    const { queue } = await live(state)
    expect((await queue.addUnique('sync', data(2, 2))).outcome.status).toBe('started')
  })
})

test('a job waits without a lock, runs under one with its fence, and leaves nothing', async () => {
  const { queue, job } = await live('queued')
  expect(await bench.held()).toEqual({})
  runs.hold()
  bench.worker(runs.run)
  await runs.untilStarted(1)
  const owner = `bullmq:${queue.qualifiedName}:${job.id}`
  expect(await bench.held()).toEqual({
    [lockOf().trigger]: `${owner}#run`,
    [lockOf().run]: expect.stringContaining(`${owner}#`),
  })
  expect(runs.fences[0]).toBeGreaterThan(0)
  runs.letGo()
  await untilIdle(bench, queue)
  expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('started')
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 2])
})

test('of a hundred at once from three queues, one is added', async () => {
  const queues = [bench.queue(inQueue), bench.queue(inQueue), bench.queue(inQueue)]
  const adds = Array.from({ length: 99 }, (_, i) => queues[i % 3]?.addUnique('sync', data(i)))
  const outcomes = (await Promise.all(adds)).map(added => added?.outcome)
  const [started, ...others] = outcomes.filter(outcome => outcome?.status === 'started')
  expect(others).toEqual([])
  expect(new Set(outcomes.map(outcome => outcome?.id))).toEqual(new Set([started?.id]))
  expect(await queues[0]?.getWaitingCount()).toBe(1)
})

test('between its attempts a job keeps its key; after the last one it has given it up', async () => {
  const queue = bench.queue(inQueue)
  const job = await queue.add('sync', data(1), { attempts: 2, backoff: 60_000 })
  const worker = bench.worker(async () => {
    throw new Error('broken')
  })
  await until(async () => (await queue.getDelayedCount()) === 1)
  expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'duplicate', id: job.id })
  await (await queue.getJob(job.id as string))?.promote()
  await until(async () => (await queue.getFailedCount()) === 1)
  await worker.close()
  expect((await queue.addUnique('sync', data(3))).outcome.status).toBe('started')
})

test('addBulk adds one of each key, and tells of each item what became of it', async () => {
  const { queue, job } = await live('queued')
  const added = await queue.addBulk([
    { name: 'sync', data: data(2) },
    { name: 'sync', data: data(3, 2) },
    { name: 'sync', data: data(4, 2) },
    { name: 'other', data: data(5) },
  ])
  expect(added.map(({ singleton }) => singleton?.status)).toEqual(['duplicate', 'started', 'duplicate', undefined])
  expect([added[0]?.id, added[2]?.id]).toEqual([job.id, added[1]?.id])
  expect(added[0]?.singleton).toMatchObject({ state: 'queued', owner: `bullmq:${queue.qualifiedName}:${job.id}` })
  expect(added[0]?.data).toEqual(data(1))
  expect(await queue.getWaitingCount()).toBe(3)
})

test('a producer that dies before its job is in the queue blocks nothing, for no time', async () => {
  const child = new Child(bench, 'producer.js', { job: { uniqueOn: ['key'], ...inQueue }, graceMs: 60_000 })
  // It has done all that comes before.
  expect(await child.message()).toBe('locked')
  await child.kill()
  const queue = bench.queue(inQueue, { graceMs: 60_000 })
  expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('started')
})

describe('no key stays blocked', () => {
  const taken = {
    remove: async ({ queue, job }) => void (await queue.remove(job.id as string)),
    drain: ({ queue }) => queue.drain(),
    clean: async ({ queue }) => void (await queue.clean(0, 10, 'wait')),
    obliterate: ({ queue }) => queue.obliterate(),
    'the hash of the job is deleted': async ({ job }) => {
      await bench.redis.del(`${bench.prefix}:work:${job.id}`)
    },
  } satisfies Record<string, (of: Awaited<ReturnType<typeof live>>) => Promise<void>>

  test.each(Object.entries(taken))('%s', async (_, take) => {
    const present = await live('queued')
    await take(present)
    const { outcome, job } = await present.queue.addUnique('sync', data(2))
    expect([outcome.status, outcome.id === present.job.id]).toEqual(['started', false])
    expect(job?.data).toEqual(data(2))
  })
})

test('a key that a finished job has left is taken away, by comparing', async () => {
  const { queue, job } = await live('queued')
  const worker = bench.worker(runs.run)
  await untilIdle(bench, queue)
  await worker.close()
  await bench.redis.set(`${bench.prefix}:work:de:${lockOf().trigger}`, job.id as string)
  const { outcome } = await queue.addUnique('sync', data(2))
  expect(outcome.status).toBe('started')
  expect(await queue.getDeduplicationJobId(lockOf().trigger)).toBe(outcome.id)
})

describe('what is not of this queue is met when the job starts, and waited for', () => {
  test('a function of the same name', async () => {
    const { queue } = await live('queued')
    const lease = await bench.solo.jobs.claim(lockOf().run, 'a function')
    bench.worker(runs.run, { singleton: { snoozeMs: 20 } })
    await until(async () => (await queue.getDelayedCount()) === 1)
    expect(runs.started).toEqual([])
    await lease?.release()
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1])
  })

  test('a job of another queue', async () => {
    const first = bench.queue(inQueue, {}, 'first')
    const second = bench.queue(inQueue, {}, 'second')
    await first.add('sync', data(1))
    expect((await second.addUnique('sync', data(2))).outcome.status).toBe('started')
    runs.hold()
    bench.worker(runs.run, { queueName: 'first' })
    await runs.untilStarted(1)
    const worker = bench.worker(runs.run, { queueName: 'second', singleton: { snoozeMs: 20 } })
    const lapsed: unknown[] = []
    worker.singleton.on('lapsed', event => lapsed.push(event))
    await until(async () => (await second.getDelayedCount()) === 1)
    const seen = (await second.addUnique('sync', data(3))).outcome
    expect(seen.state).toBe(bullmqMajor >= 6 ? 'queued' : 'running')
    runs.letGo()
    await untilIdle(bench, second)
    expect([runs.started, runs.mostAtOnce]).toEqual([[1, 2], 1])
    // To wait is what it was added for.
    expect(lapsed).toEqual([])
  })

  test('a job that another deploy adds to the same queue with the scope of the store', async () => {
    const queue = bench.queue(inQueue)
    await queue.add('sync', data(1))
    expect((await bench.queue({}).addUnique('sync', data(2))).outcome.status).toBe('started')
    bench.worker(runs.run, { singleton: { snoozeMs: 20 } })
    await untilIdle(bench, queue)
    expect([runs.started.toSorted(), runs.mostAtOnce]).toEqual([[1, 2], 1])
  })

  test('a job of a scheduler', async () => {
    const queue = bench.queue(inQueue)
    await queue.upsertJobScheduler('each hour', { every: 3_600_000 }, { name: 'sync', data: data(1) })
    await until(async () => (await queue.getWaitingCount()) + (await queue.getDelayedCount()) === 1)
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('started')
    bench.worker(runs.run, { singleton: { snoozeMs: 20 } })
    await runs.untilStarted(1)
    await queue.removeJobScheduler('each hour')
    await untilIdle(bench, queue)
    // What the scheduler made may have met the other, and by its strategy it is ended without a run then.
    expect(runs.started).toContain(2)
    expect(runs.mostAtOnce).toBe(1)
  })

  test('a job of a flow', async () => {
    const flows = new SingletonFlowProducer({
      connection: connectionTo(bench.url),
      prefix: bench.prefix,
      singleton: { solo: bench.solo, jobs: { sync: { uniqueOn: ['key'], ...inQueue } } },
    })
    bench.closeLater(() => flows.close())
    await flows.add({ name: 'sync', queueName: 'work', data: data(1) })
    const queue = bench.queue(inQueue)
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('started')
    bench.worker(runs.run, { singleton: { snoozeMs: 20 } })
    await untilIdle(bench, queue)
    expect([runs.started.toSorted(), runs.mostAtOnce]).toEqual([[1, 2], 1])
  })
})

describe('a failed job that is retried by hand', () => {
  async function failed() {
    const queue = bench.queue(inQueue)
    const job = await queue.add('sync', data(1))
    const worker = bench.worker(async () => {
      throw new Error('broken')
    })
    await until(async () => (await queue.getFailedCount()) === 1)
    await worker.close()
    return { queue, id: job.id as string }
  }

  test('is refused while another job of its key is live', async () => {
    const { queue, id } = await failed()
    const next = await queue.add('sync', data(2))
    const job = await queue.getJob(id)
    await expect(job?.retry()).rejects.toMatchObject({ code: 'DUPLICATE_JOB', id: next.id })
    expect(await queue.getWaitingCount()).toBe(1)
  })

  test('is refused while another one runs, and is told so', async () => {
    const { queue, id } = await failed()
    await queue.add('sync', data(2))
    runs.hold()
    bench.worker(runs.run)
    await runs.untilStarted(1)
    const job = await queue.getJob(id)
    await expect(job?.retry()).rejects.toMatchObject({ code: 'DUPLICATE_JOB', state: 'running' })
  })

  test('does not run together with one that is added after', async () => {
    const { queue, id } = await failed()
    await (await queue.getJob(id))?.retry()
    await queue.add('sync', data(2))
    bench.worker(runs.run, { singleton: { snoozeMs: 20 } })
    await untilIdle(bench, queue)
    expect([runs.started.toSorted(), runs.mostAtOnce]).toEqual([[1, 2], 1])
  })
})

test('a job may be added with the options of another, and with an empty id', async () => {
  const queue = bench.queue(inQueue)
  const first = await queue.add('sync', data(1), { jobId: '', attempts: 3 })
  expect(first.singleton?.status).toBe('started')
  const { jobId: _, ...opts } = (await queue.getJob(first.id as string))?.opts ?? {}
  const second = await queue.add('sync', data(2, 2), opts)
  expect([second.singleton?.status, second.opts.attempts]).toEqual(['started', 3])
})

test("BullMQ's local event waiting comes for duplicates, too", async () => {
  const queue = bench.queue(inQueue)
  const told: unknown[] = []
  queue.on('waiting', ({ id }) => told.push(id))
  const { id } = await queue.add('sync', data(1))
  await queue.add('sync', data(2))
  expect(told).toEqual([id, id])
})

test("the locks' store is not asked to add a job", async () => {
  const solo = connect(`redis://127.0.0.1:${await freePort()}`, { callTimeoutMs: 1_000 })
  bench.closeLater(() => solo.close())
  const queue = bench.queue(inQueue, { solo })
  const { id } = await queue.add('sync', data(1))
  expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'duplicate', id, guaranteed: true })
})

describe('is refused before anything is queued', () => {
  test.each([
    ['an unknown scope', { scope: 'world' }],
    ['a mode of other times', { scope: 'queue', mode: 'untilExecuting' }],
    ['a strategy that adds a job', { scope: 'queue', onDuplicate: 'delay' }],
    ['a strategy that is chosen late', { scope: 'queue', onDuplicate: () => 'join' }],
  ])('%s', (_, options) => {
    expect(() => bench.queue(options as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })

  test.each([
    ['a deduplication of its own', { deduplication: { id: 'mine' } }],
    ['a parent', { parent: { id: '1', queue: 'bull:parents' } }],
  ])('%s', async (_, opts) => {
    const queue = bench.queue(inQueue)
    await expect(queue.add('sync', data(1), opts)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(
      queue.addBulk([
        { name: 'other', data: data(1) },
        { name: 'sync', data: data(1), opts },
      ]),
    ).rejects.toThrow()
    expect(await queue.getWaitingCount()).toBe(0)
  })
})
