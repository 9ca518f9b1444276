import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Job, Queue, QueueEvents, Worker } from 'bullmq'
import {
  SingletonAdder,
  SingletonFlowProducer,
  SingletonProcessor,
  SingletonQueue,
  SingletonWorker,
} from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, connectionTo, type Recorder, type TestQueue, until, untilIdle, useBench } from './support.js'

// Everything a queue can do, with singleton jobs in it.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })

describe('addBulk', () => {
  test('adds one of each key, and tells of each item what became of it', async () => {
    const queue = bench.queue({})
    const live = await queue.add('sync', data(1, 1))
    const jobs = await queue.addBulk([
      { name: 'sync', data: data(2, 1) },
      { name: 'sync', data: data(3, 2) },
      { name: 'other', data: data(4, 1) },
      { name: 'sync', data: data(5, 2) },
      { name: 'sync', data: data(6, 3) },
    ])
    expect(jobs.map(job => job.singleton?.status)).toEqual(['duplicate', 'started', undefined, 'duplicate', 'started'])
    expect(jobs[0]?.id).toBe(live.id)
    expect(jobs[3]?.id).toBe(jobs[1]?.id)
    bench.worker(runs.run)
    await runs.untilStarted(4)
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual([1, 3, 4, 6])
  })

  test('with reject, the others are added all the same', async () => {
    const queue = bench.queue({ onDuplicate: 'reject' })
    const items = [1, 1, 2].map((key, value) => ({ name: 'sync', data: data(value, key) }))
    await expect(queue.addBulk(items)).rejects.toMatchObject({ code: 'DUPLICATE_JOB' })
    expect((await queue.getJobCounts()).waiting).toBe(2)
  })
})

describe('flows', () => {
  function producer(onDuplicate: 'join' | 'reject' = 'join'): SingletonFlowProducer {
    const flows = new SingletonFlowProducer({
      connection: connectionTo(bench.url),
      prefix: bench.prefix,
      singleton: { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'], onDuplicate }, whole: {} } },
    })
    bench.closeLater(() => flows.close())
    return flows
  }
  const child = (value: number, key = 1) => ({ name: 'sync', queueName: 'work', data: data(value, key) })

  test('a job of a flow waits for the live one, and its parent for it', async () => {
    const queue = bench.queue({})
    const flows = producer()
    runs.hold()
    bench.worker(runs.run)
    await queue.add('sync', data(1))
    await runs.untilStarted(1)
    const tree = await flows.add({
      name: 'whole',
      queueName: 'work',
      data: data(9, 9),
      children: [child(2), child(3, 3)],
    })
    expect(tree.children?.map(({ job }) => (job as { singleton?: { status: string } }).singleton?.status)).toEqual([
      'deferred',
      'started',
    ])
    // The parent is live from the start: nobody else adds it.
    expect(Object.keys(await bench.held()).filter(lock => lock.startsWith('job:whole:'))).toHaveLength(1)
    await runs.untilStarted(2)
    expect(runs.started.toSorted()).toEqual([1, 3])
    runs.letGo()
    await runs.untilStarted(4)
    await untilIdle(bench, queue)
    expect(runs.started.slice(-2)).toEqual([2, 9])
    expect(await tree.job.getState()).toBe('completed')
  })

  test('with reject a flow is added as a whole or not at all', async () => {
    const queue = bench.queue({})
    await queue.add('sync', data(1))
    const flow = { name: 'whole', queueName: 'work', data: data(9, 9), children: [child(3, 3), child(2)] }
    await expect(producer('reject').add(flow)).rejects.toMatchObject({ code: 'DUPLICATE_JOB' })
    expect(Object.keys(await bench.held())).toHaveLength(1)
    expect(await queue.getJobCounts()).toMatchObject({ waiting: 1, 'waiting-children': 0 })
  })

  test('jobs of one flow with the same key run one after the other; within each other they are refused', async () => {
    const queue = bench.queue({})
    const flows = producer()
    bench.worker(runs.run)
    await flows.add({ name: 'top', queueName: 'work', data: data(9), children: [child(1), child(2)] })
    await runs.untilStarted(3)
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual([1, 2, 9])
    expect(runs.mostAtOnce).toBe(1)
    const nested = { ...child(1), children: [child(2)] }
    await expect(flows.add(nested)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(await bench.held()).toEqual({})
  })

  test('a job that BullMQ itself finds to be a duplicate leaves no lock', async () => {
    const flows = producer()
    const add = (key: number) => flows.add({ ...child(key, key), opts: { deduplication: { id: 'own' } } })
    const { job } = await add(1)
    expect((await add(2)).job.id).toBe(job.id)
    const owners = Object.values(await bench.held())
    expect(owners).toEqual([expect.stringContaining(`:${job.id}`)])
  })

  test('addBulk of flows', async () => {
    const queue = bench.queue({})
    await producer().addBulk([child(1), child(2), child(3, 3)])
    bench.worker(runs.run)
    await runs.untilStarted(3)
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual([1, 2, 3])
  })
})

describe('job schedulers', () => {
  /** Two schedulers at once, so that ticks of one key meet. */
  async function schedule(queue: TestQueue, ids: readonly string[]): Promise<void> {
    for (const id of ids) await queue.upsertJobScheduler(id, { every: 100 }, { name: 'sync', data: data(1) })
  }
  async function unschedule(queue: TestQueue, ids: readonly string[]): Promise<void> {
    for (const id of ids) await queue.removeJobScheduler(id)
  }

  for (const mode of ['untilExecuted', 'whileExecuting'] as const) {
    test(`ticks that meet a live job are not run, and told (${mode}, skip)`, async () => {
      const queue = bench.queue({ mode, onDuplicate: 'skip' })
      runs.hold()
      const worker = bench.worker(runs.run)
      const skipped: string[] = []
      worker.singleton.on('duplicate', ({ id }) => skipped.push(id))
      await schedule(queue, ['a', 'b'])
      await until(() => skipped.length >= 4)
      expect(runs.started).toEqual([1])
      runs.letGo()
      await runs.untilStarted(3)
      await unschedule(queue, ['a', 'b'])
      await untilIdle(bench, queue)
      expect(runs.mostAtOnce).toBe(1)
    })
  }

  test('with rerun, ticks while the job runs come to one more run', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' })
    runs.hold()
    bench.worker(runs.run)
    await schedule(queue, ['a', 'b'])
    await runs.untilStarted(1)
    // One waits, and its scheduler with it. Those of the other are duplicates of the one that waits.
    await until(async () => ((await queue.getJobCounts()).completed ?? 0) >= 3)
    expect(runs.started).toEqual([1])
    expect((await queue.getJobCounts()).delayed).toBeLessThanOrEqual(2)
    runs.letGo()
    await runs.untilStarted(3)
    await unschedule(queue, ['a', 'b'])
    await untilIdle(bench, queue)
    expect(runs.mostAtOnce).toBe(1)
  })

  test('a tick and an added job of the same key do not overlap', async () => {
    const queue = bench.queue({ onDuplicate: 'delay' })
    runs.hold()
    bench.worker(runs.run)
    await queue.add('sync', data(1))
    await runs.untilStarted(1)
    await schedule(queue, ['a'])
    // It waits, and nothing piles up behind it.
    await until(async () => (await queue.getDelayed()).some(job => job.delay > 60_000))
    await sleep(500)
    expect(await queue.getJobCounts()).toMatchObject({ active: 1, waiting: 0, delayed: 1 })
    runs.letGo()
    await runs.untilStarted(3)
    await unschedule(queue, ['a'])
    await untilIdle(bench, queue)
    expect(runs.mostAtOnce).toBe(1)
  })

  test('a function cannot travel with what a scheduler makes', async () => {
    const queue = bench.queue({ onDuplicate: () => 'skip' })
    await expect(schedule(queue, ['a'])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

test('delayed and prioritized jobs hold their key all the while', async () => {
  const queue = bench.queue({})
  const late = await queue.add('sync', data(1, 1), { delay: 4_000 })
  const low = await queue.add('sync', data(2, 2), { priority: 9 })
  expect((await queue.addUnique('sync', data(3, 1))).outcome.id).toBe(late.id)
  expect((await queue.addUnique('sync', data(4, 2))).outcome.id).toBe(low.id)
  bench.worker(runs.run)
  await runs.untilStarted(2)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([2, 1])
})

test('retries with backoff hold their key until the last attempt', async () => {
  const queue = bench.queue({})
  const attempts: number[] = []
  bench.worker(
    async job => {
      if (job.data.value === 1) attempts.push(job.attemptsMade)
      throw new Error('as it should')
    },
    { maxStartedAttempts: 3 },
  )
  const { id } = await queue.add('sync', data(1), { attempts: 3, backoff: 30 })
  // Until another one is taken, and then the first has finished.
  await until(async () => (await queue.addUnique('sync', data(2))).outcome.id !== id)
  expect((await queue.getJob(id as string))?.finishedOn).toBeGreaterThan(0)
  expect(attempts).toEqual([0, 1, 2])
  await untilIdle(bench, queue)
})

test('a job that waits for its lock is woken once: it spends no attempt and no start', async () => {
  const queue = bench.queue({ mode: 'whileExecuting', onDuplicate: 'delay' })
  runs.hold()
  bench.worker(runs.run)
  await queue.add('sync', data(1))
  await runs.untilStarted(1)
  const { job } = await queue.addUnique('sync', data(2))
  const told: string[] = []
  const events = new QueueEvents('work', { connection: connectionTo(bench.url), prefix: bench.prefix })
  bench.closeLater(() => events.close())
  events.on('delayed', ({ jobId }) => told.push(`delayed ${jobId === job?.id}`))
  events.on('waiting', ({ jobId }) => told.push(`waiting ${jobId === job?.id}`))
  events.on('completed', ({ jobId }) => told.push(`completed ${jobId === job?.id}`))
  await events.waitUntilReady()
  await until(async () => (await queue.getJobCounts()).delayed === 1)
  await sleep(1_500)
  expect(told.filter(what => what !== 'delayed true')).toEqual([])
  runs.letGo()
  await runs.untilStarted(2)
  await untilIdle(bench, queue)
  await until(() => told.includes('completed true'))
  expect(told.filter(what => what === 'waiting true')).toHaveLength(1)
  const ended = await queue.getJob(job?.id as string)
  expect(await ended?.getState()).toBe('completed')
  expect([ended?.attemptsMade, ended?.attemptsStarted]).toEqual([1, 1])
})

test('a job whose processor is skipped, since it stalled too often, gives up its key', async () => {
  const queue = bench.queue({ onDuplicate: 'rerun' })
  await queue.add('sync', data(1))
  const [id] = await bench.redis.lrange(`${bench.prefix}:work:wait`, 0, 0)
  await bench.redis.hset(`${bench.prefix}:work:${id}`, 'defa', 'job stalled more than allowable limit')
  bench.worker(runs.run)
  await until(async () => (await queue.getJobCounts()).failed === 1)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([])
})

test('with scope name, two queues share the keys of a job name, and the outcome says in which queue the other is', async () => {
  const first = bench.queue({ scope: 'name' }, {}, 'first')
  const second = bench.queue({ scope: 'name' }, {}, 'second')
  const { id } = await first.add('sync', data(1))
  const { job, outcome } = await second.addUnique('sync', data(2))
  expect(outcome).toMatchObject({ status: 'duplicate', id, queue: first.qualifiedName })
  expect(job?.queueName).toBe('first')
  await first.drain()
  expect((await second.addUnique('sync', data(3))).outcome.status).toBe('recovered')
})

test('by default each queue has keys of its own, also one of the same name with another prefix', async () => {
  const queues = [bench.queue({}, {}, 'first'), bench.queue({}, {}, 'second')]
  const other = new SingletonQueue('first', {
    connection: connectionTo(bench.url),
    prefix: `${bench.prefix}-staging`,
    singleton: { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'] } } },
  })
  bench.closeLater(() => other.close())
  for (const queue of [...queues, other]) {
    expect((await queue.addUnique('sync', data(1))).outcome.status).toBe('started')
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('duplicate')
  }
})

test.each([
  ['a process', false],
  ['a thread', true],
])('a sandboxed processor in %s gets the fence and is stopped by the signal, with its reason', async (_, threads) => {
  const queue = bench.queue({ onDuplicate: 'replace', onRunning: 'stop' })
  const file = fileURLToPath(new URL('./children/sandboxed.cjs', import.meta.url))
  const worker = new SingletonWorker('work', file, {
    useWorkerThreads: threads,
    connection: connectionTo(bench.url),
    prefix: bench.prefix,
    singleton: { prefix: bench.lockPrefix },
  })
  bench.closeLater(() => worker.close())
  const results: unknown[] = []
  worker.on('completed', (_job: Job, result: unknown) => results.push(result))
  await queue.add('sync', data(1))
  // A worker that has fetched it has not started it yet.
  await until(async () => (await queue.getJobCounts()).active === 1)
  await queue.add('sync', data(2))
  await until(() => results.length === 2)
  expect(results).toEqual([
    { value: 1, fence: expect.any(Number), aborted: true, code: 'JOB_REPLACED', message: expect.any(String) },
    { value: 2, fence: expect.any(Number), aborted: false },
  ])
})

test('a queue and a worker that the application has', async () => {
  const options = { connection: connectionTo(bench.url), prefix: bench.prefix }
  const queue = new Queue('work', options)
  bench.closeLater(() => queue.close())
  const adder = new SingletonAdder(queue, {
    solo: bench.solo,
    jobs: { sync: { uniqueOn: ['key'], onDuplicate: 'rerun' } },
  })
  bench.closeLater(() => adder.close())
  let attempts = 0
  const singletons = new SingletonProcessor(
    async (job, _token, signal) => {
      await runs.run(job, signal as AbortSignal)
      if (++attempts === 1) throw new Error('first attempt')
      return attempts
    },
    { solo: bench.solo },
  )
  runs.hold()
  const worker = singletons.attach(new Worker('work', singletons.process, { ...options, concurrency: 3 }))
  bench.closeLater(async () => {
    await worker.close()
    await singletons.close()
  })
  await adder.addUnique('sync', data(1), { attempts: 2 })
  await runs.untilStarted(1)
  expect((await adder.addUnique('sync', data(2))).outcome.status).toBe('deferred')
  runs.letGo()
  await runs.untilStarted(3)
  await until(async () => Object.keys(await bench.held()).length === 0)
  expect(runs.started).toEqual([1, 1, 2])
  expect(runs.mostAtOnce).toBe(1)
  const [again] = await adder.addBulkUnique([{ name: 'sync', data: data(3) }])
  expect(again?.outcome.status).toBe('started')
})

describe('a queue that is obliterated and used no more leaves no key blocked', () => {
  test('to others of the same solo, when it was told', async () => {
    const shared = { scope: 'name' } as const
    const [old, next] = [bench.queue(shared, { graceMs: 60_000 }, 'old'), bench.queue(shared, {}, 'next')]
    await old.add('sync', data(1))
    await old.obliterate({ force: true })
    expect(await bench.held()).toEqual({})
    expect((await next.add('sync', data(2))).singleton?.status).toBe('started')
  })

  test("to others on the same Redis without a solo, when BullMQ's own queue did it", async () => {
    const options = { connection: connectionTo(bench.url), prefix: bench.prefix }
    const name = `own-${bench.prefix}`
    const singleton = { jobs: { [name]: { uniqueOn: ['key'], scope: 'name' as const } } }
    const open = (queue: string) => new SingletonQueue(queue, { ...options, singleton })
    const [old, next] = [open('old'), open('next')]
    const plain = new Queue('old', { ...options, skipMetasUpdate: true })
    await old.add(name, data(1))
    await old.close()
    await plain.obliterate({ force: true })
    expect((await next.add(name, data(2))).singleton?.status).toBe('recovered')
    await next.obliterate({ force: true })
    await Promise.all([next.close(), plain.close()])
  })
})

test('without solo, each opens its locks on its own Redis and closes them', async () => {
  // By its number the database tells whose connections they are.
  const connection = { ...connectionTo(bench.url), db: 7 }
  const name = `own-${bench.prefix}`
  const queue = new SingletonQueue('work', { connection, prefix: bench.prefix, singleton: { jobs: { [name]: {} } } })
  const ended: string[] = []
  const worker = new SingletonWorker('work', async job => ended.push(job.id as string), {
    connection,
    prefix: bench.prefix,
  })
  const { id } = await queue.add(name, data(1))
  await until(() => ended.length === 1)
  expect(ended).toEqual([id])
  await worker.close()
  await queue.obliterate({ force: true })
  await queue.close()
  await until(async () => !String(await bench.redis.client('LIST')).includes(' db=7 '))
})
