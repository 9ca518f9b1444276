import { Queue, QueueEvents, Worker } from 'bullmq'
import type { SingletonStrategy } from 'soloist/bullmq'
import { SingletonFlowProducer, SingletonWorker } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import {
  type Bench,
  connectionTo,
  type Data,
  type Recorder,
  type TestJob,
  until,
  untilIdle,
  useBench,
} from './support.js'

// Right in any hands: ids of one's own, parents, workers that know nothing of locks, boards.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })
const options = () => ({ connection: connectionTo(bench.url), prefix: bench.prefix })

function plainQueue(): Queue {
  const queue = new Queue('work', options())
  bench.closeLater(() => queue.close())
  return queue
}

describe.each(['one step', 'two steps'])('an id of the caller, lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })

  const cases: Partial<Record<SingletonStrategy, [string[], number[]]>> = {
    rerun: [
      ['started', 'duplicate', 'deferred', 'started'],
      [2, 3, 4],
    ],
    replace: [
      ['started', 'replaced', 'replaced', 'started'],
      [2, 3, 4],
    ],
    delay: [
      ['started', 'deferred', 'deferred', 'started'],
      [1, 2, 3, 4],
    ],
  }
  test.each(Object.entries(cases))(
    '%s: the last trigger is run, before and after the job has ended',
    async (name, [said, ran]) => {
      const queue = bench.queue({ onDuplicate: name as SingletonStrategy }, solo())
      const add = async (value: number) =>
        (await queue.addUnique('sync', data(value), { jobId: 'mine' })).outcome.status as string
      const answers = [await add(1), await add(2)]
      runs.hold()
      bench.worker(runs.run, { singleton: solo() })
      await runs.untilStarted(1)
      answers.push(await add(3))
      runs.letGo()
      await runs.untilStarted(ran.length - 1)
      await untilIdle(bench, queue)
      answers.push(await add(4))
      await runs.untilStarted(ran.length)
      await untilIdle(bench, queue)
      expect(answers).toEqual(said)
      expect(runs.started).toEqual(ran)
    },
  )

  test.each(['join', 'skip'] as const)('%s: a known id is a duplicate, and never started', async onDuplicate => {
    const queue = bench.queue({ onDuplicate }, solo())
    await queue.add('sync', data(1), { jobId: 'mine' })
    // Of another key: BullMQ would turn it away.
    const other = await queue.addUnique('sync', data(2, 2), { jobId: 'mine' })
    expect(other.outcome).toMatchObject({ status: 'duplicate', id: 'mine' })
    expect(Object.keys(await bench.held())).toHaveLength(1)
  })

  test('a job that runs is not queued behind itself', async () => {
    const queue = bench.queue({}, solo())
    runs.hold()
    bench.worker(runs.run, { singleton: solo() })
    await queue.add('sync', data(1), { jobId: 'mine' })
    await runs.untilStarted(1)
    expect((await queue.addUnique('sync', data(2), { jobId: 'mine' })).outcome.status).toBe('duplicate')
    runs.letGo()
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1])
  })
})

test('merge with ids of the callers sees each trigger', async () => {
  const merging = { onDuplicate: 'rerun' as const, merge: (a: Data, b: Data) => ({ ...b, value: a.value + b.value }) }
  const queue = bench.queue(merging)
  await queue.add('sync', data(1))
  for (const value of [10, 100, 1_000]) await queue.add('sync', data(value), { jobId: 'mine' })
  bench.worker(runs.run, { singleton: { jobs: { sync: { uniqueOn: ['key'], ...merging } } } })
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1_111])
})

describe('a parent', () => {
  async function parent(): Promise<{ id: string; queue: string }> {
    const queue = plainQueue()
    const { id = '' } = await queue.add('parent', data(9, 9))
    return { id, queue: `${bench.prefix}:work` }
  }

  test('that is added a child under a known id is linked as by BullMQ, which tells that it is known', async () => {
    const queue = bench.queue({})
    const events = new QueueEvents('work', options())
    bench.closeLater(() => events.close())
    const told: string[] = []
    events.on('duplicated', ({ jobId }) => told.push(jobId))
    await events.waitUntilReady()
    await queue.add('sync', data(1), { jobId: 'mine' })
    const of = await parent()
    const { outcome } = await queue.addUnique('sync', data(1), { jobId: 'mine', parent: of })
    expect(outcome).toMatchObject({ status: 'duplicate', id: 'mine' })
    await until(() => told.includes('mine'))
    expect((await queue.getJob('mine'))?.parentKey).toBe(`${of.queue}:${of.id}`)
    expect(await bench.redis.smembers(`${of.queue}:${of.id}:dependencies`)).toEqual([`${of.queue}:mine`])
  })

  test('that meets a live job is given that as its child', async () => {
    const queue = bench.queue({})
    const { id } = await queue.add('sync', data(1))
    const of = await parent()
    const { outcome } = await queue.addUnique('sync', data(2), { parent: of })
    expect(outcome).toMatchObject({ status: 'duplicate', id })
    expect(await bench.redis.smembers(`${of.queue}:${of.id}:dependencies`)).toEqual([`${of.queue}:${id}`])
  })

  test('whose live child has another parent is given one of its own, which follows', async () => {
    const queue = bench.queue({})
    const [first, second] = [await parent(), await parent()]
    await queue.add('sync', data(1), { parent: first })
    const { job, outcome } = await queue.addUnique('sync', data(2), { parent: second })
    expect(job?.id).toBe(outcome.id)
    expect(await bench.redis.smembers(`${second.queue}:${second.id}:dependencies`)).toEqual([
      `${second.queue}:${job?.id}`,
    ])
    expect(await job?.getState()).toBe('delayed')
  })
})

test.each(['join', 'skip'] as const)('%s of a flow whose root is live adds nothing of it', async onDuplicate => {
  const queue = bench.queue({})
  const flows = new SingletonFlowProducer({
    ...options(),
    singleton: { prefix: bench.lockPrefix, jobs: { whole: { uniqueOn: ['key'], onDuplicate } } },
  })
  bench.closeLater(() => flows.close())
  const child = (value: number) => ({ name: 'part', queueName: 'work', data: data(value) })
  const flow = { name: 'whole', queueName: 'work', data: data(1), children: [child(1), child(2)] }
  const first = await flows.add(flow)
  const before = await queue.getJobCounts()
  const again = await flows.add(flow)
  expect(again.job.id).toBe(first.job.id)
  expect(await queue.getJobCounts()).toEqual(before)
})

describe('a worker that knows nothing of locks', () => {
  test('runs a job: a trigger meanwhile is covered by a run after it, an event tells, and no key is blocked', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' })
    const lapsed: unknown[] = []
    queue.singleton.on('lapsed', event => lapsed.push(event))
    const ran: number[] = []
    let letGo = () => {}
    const gate = new Promise<void>(resolve => {
      letGo = resolve
    })
    const worker = new Worker<Data>(
      'work',
      async job => {
        ran.push(job.data.value)
        await gate
      },
      options(),
    )
    bench.closeLater(() => worker.close())
    const { id } = await queue.add('sync', data(1))
    await until(() => ran.length === 1)
    const { outcome } = await queue.addUnique('sync', data(2))
    expect(outcome).toMatchObject({ status: 'deferred', state: 'running' })
    expect(lapsed).toEqual([expect.objectContaining({ id, action: 'runs' })])
    letGo()
    await until(() => ran.length === 2)
    expect(ran).toEqual([1, 2])
    await until(async () => (await queue.getJobCounts()).active === 0)
    expect((await queue.addUnique('sync', data(3))).outcome.status).toBe('started')
  })

  test('fetches a job by hand', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' })
    const hand = new Worker('work', null, options())
    bench.closeLater(() => hand.close())
    await queue.add('sync', data(1))
    const job = await hand.getNextJob('token')
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('deferred')
    await job?.moveToCompleted(null, 'token', false)
    bench.worker(runs.run)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([2])
  })
})

describe('what a worker that knows nothing of locks has ended keeps no key', () => {
  const modes = {
    untilExecuted: { onDuplicate: 'rerun' },
    'untilExecuted, limit': { onDuplicate: 'delay', limit: 2 },
    untilExecuting: { mode: 'untilExecuting', onDuplicate: 'rerun' },
    whileExecuting: { mode: 'whileExecuting', onDuplicate: 'delay' },
    untilAndWhileExecuting: { mode: 'untilAndWhileExecuting', onDuplicate: 'delay' },
  } as const

  /** Keys of locks that do not expire by themselves. */
  async function lasting(): Promise<string[]> {
    const keys = await bench.redis.keys(`*${bench.lockPrefix}*`)
    const left = await Promise.all(keys.map(key => bench.redis.pttl(key)))
    return keys.filter((_, i) => left[i] === -1)
  }

  function lapsesOf({ singleton }: Pick<ReturnType<Bench['queue']>, 'singleton'>): string[] {
    const actions: string[] = []
    singleton.on('lapsed', ({ action }) => actions.push(action))
    return actions
  }

  test.each(Object.entries(modes))('%s: where a trigger met it, soon', async (name, job) => {
    const queue = bench.queue(job)
    const told = lapsesOf(queue)
    const ran: number[] = []
    let letGo = () => {}
    const gate = new Promise<void>(resolve => {
      letGo = resolve
    })
    const worker = new Worker<Data>(
      'work',
      async ({ data: { value } }) => {
        ran.push(value)
        if (value === 1) await gate
      },
      options(),
    )
    bench.closeLater(() => worker.close())
    await queue.add('sync', data(1))
    await until(() => ran.length === 1)
    await queue.add('sync', data(2))
    letGo()
    await until(() => ran.length === 2)
    await until(async () => (await lasting()).length === 0)
    expect(ran).toEqual([1, 2])
    if (name === 'untilExecuted') await expect.poll(() => told).toEqual(['runs', 'ended', 'ended'])
  })

  test('by hand: who waits for it is woken, though no worker of this package is there', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' })
    const told = lapsesOf(queue)
    const hand = new Worker('work', null, options())
    bench.closeLater(() => hand.close())
    await queue.add('sync', data(1))
    const job = await hand.getNextJob('token')
    const next = await queue.addUnique('sync', data(2))
    expect(next.outcome).toMatchObject({ status: 'deferred', state: 'running' })
    await job.moveToCompleted(null, 'token', false)
    await until(async () => (await next.job?.getState()) === 'waiting')
    await expect.poll(() => told).toEqual(['runs', 'ended'])
    const held = Object.values(await bench.held())
    expect(held).toEqual([`bullmq:${queue.qualifiedName}:${next.job?.id}`])
    const again = await hand.getNextJob('token')
    expect(again.data).toEqual(data(2))
    await again.moveToCompleted(null, 'token', false)
    await until(async () => (await lasting()).length === 0)
    await expect.poll(() => told).toEqual(['runs', 'ended', 'ended'])
    expect((await queue.addUnique('sync', data(3))).outcome.status).toBe('started')
  })

  test('where nobody met it, by a look at all locks', async () => {
    const queue = bench.queue({})
    const limited = bench.queue({ limit: 2 }, {}, 'limited')
    const keeps = bench.queue({ uniqueOn: ['key', 'value'] })
    const ran: number[] = []
    const workers = ['work', 'limited'].map(
      name => new Worker<Data>(name, async ({ data: { key } }) => ran.push(key), { ...options(), concurrency: 50 }),
    )
    for (const worker of workers) bench.closeLater(() => worker.close())
    const keys = Array.from({ length: 1_200 }, (_, key) => key)
    // Half of them are gone when they have ended.
    const gone = (key: number) => (key % 2 === 0 ? { jobId: `own-${key}`, removeOnComplete: true } : {})
    await queue.addBulk(keys.map(key => ({ name: 'sync', data: data(1, key), opts: gone(key) })))
    for (const key of [1, 2]) await limited.add('sync', data(1, key))
    await until(() => ran.length === keys.length + 2)
    await Promise.all(workers.map(worker => worker.close()))
    const kept = [await keeps.add('sync', data(2)), await keeps.add('sync', data(3))].map(({ id }) => id)
    // As where a job is added after its lock was taken: this one may still come.
    await bench.redis.del(`${bench.prefix}:work:${kept[1]}`)
    expect((await lasting()).length).toBeGreaterThan(keys.length)
    const told = [queue, limited].map(({ name }) =>
      lapsesOf(bench.worker(runs.run, { queueName: name, stalledInterval: 50, autorun: false })),
    )
    // What is live keeps its lock.
    await until(async () => (await lasting()).length <= 2)
    const owners = kept.map(id => `bullmq:${queue.qualifiedName}:${id}`)
    expect(Object.values(await bench.held()).toSorted()).toEqual(owners.toSorted())
    await expect.poll(() => told[0]).toEqual(keys.map(() => 'ended'))
  })

  test('where lock and job are two steps, soon after a trigger met it', async () => {
    const solo = { solo: bench.solo }
    const queue = bench.queue({ onDuplicate: 'rerun' }, solo)
    const told = lapsesOf(queue)
    const hand = new Worker('work', null, options())
    bench.closeLater(() => hand.close())
    await queue.add('sync', data(1))
    const job = await hand.getNextJob('token')
    // A worker of ours has begun the run by then.
    await bench.redis.hset(`${bench.prefix}:work:${job.id}`, 'processedOn', Date.now() - 60_000)
    await queue.add('sync', data(2))
    await job.moveToCompleted(null, 'token', false)
    await until(() => told.includes('ended'))
    expect(Object.values(await bench.held())).not.toContain(`bullmq:${queue.qualifiedName}:${job.id}`)
  })
})

test('a SingletonWorker by hand begins a run with the merged data, and its end wakes the next', async () => {
  const merging = { onDuplicate: 'rerun' as const, merge: (a: Data, b: Data) => ({ ...b, value: a.value + b.value }) }
  const queue = bench.queue(merging)
  const hand = new SingletonWorker<Data>('work', null, {
    ...options(),
    singleton: { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'], ...merging } } },
  })
  bench.closeLater(() => hand.close())
  await queue.add('sync', data(1))
  await queue.add('sync', data(10))
  const job = (await hand.getNextJob('token')) as TestJob
  expect(job.data.value).toBe(11)
  expect((await queue.addUnique('sync', data(100))).outcome.status).toBe('deferred')
  await job.moveToCompleted(0, 'token', false)
  const next = (await hand.getNextJob('token')) as TestJob
  expect(next.data.value).toBe(100)
  await next.moveToCompleted(0, 'token', false)
  expect(await bench.held()).toEqual({})
})

test('a worker whose locks have another prefix goes by what the job carries', async () => {
  const queue = bench.queue({ onDuplicate: 'rerun' })
  runs.hold()
  bench.worker(runs.run, { singleton: { prefix: 'another:' } })
  await queue.add('sync', data(1))
  await runs.untilStarted(1)
  await queue.add('sync', data(2))
  runs.letGo()
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 2])
  expect(await bench.held()).toEqual({})
})

describe('from a board, which has a plain queue', () => {
  test('who waits for a job that is removed is woken', async () => {
    const queue = bench.queue({ onDuplicate: 'delay' })
    const first = await queue.add('sync', data(1))
    await queue.add('sync', data(2))
    await plainQueue().remove(first.id as string)
    bench.worker(runs.run, { stalledInterval: 300 })
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([2])
  })

  test('retry of many meets the locks when the jobs start', async () => {
    const queue = bench.queue({ mode: 'whileExecuting', onDuplicate: 'delay' })
    let fails = true
    bench.worker(async (job, signal) => {
      await runs.run(job, signal)
      if (fails) throw new Error('as it should')
      return 0
    })
    for (const value of [1, 2, 3]) await queue.add('sync', data(value))
    await until(async () => (await queue.getJobCounts()).failed === 3)
    fails = false
    await plainQueue().retryJobs()
    await until(async () => (await queue.getJobCounts()).completed === 3)
    await untilIdle(bench, queue)
    expect(runs.mostAtOnce).toBe(1)
    expect(runs.started).toHaveLength(6)
  })
})

test('a worker that is closed by force leaves the key with its job, which is recovered', async () => {
  const queue = bench.queue({})
  runs.hold()
  const worker = new SingletonWorker<Data>('work', job => runs.run(job as TestJob, new AbortController().signal), {
    ...options(),
    lockDuration: 1_000,
    // It does not find its own job to have stalled.
    skipStalledCheck: true,
    singleton: { prefix: bench.lockPrefix },
  })
  worker.on('error', () => {})
  const { id } = await queue.add('sync', data(1))
  await runs.untilStarted(1)
  await worker.close(true)
  expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'duplicate', id })
  bench.worker(runs.run, { stalledInterval: 200 })
  await runs.untilStarted(2)
  runs.letGo()
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 1])
})
