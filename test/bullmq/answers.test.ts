import type { JobsOptions, WorkerOptions } from 'bullmq'
import { type SingletonJobOptions, SingletonWorker } from 'soloist/bullmq'
import { beforeEach, describe, expect, test } from 'vitest'
import { type Match, type RedisProxy, startProxy } from '../support/proxy.js'
import {
  type Bench,
  connectionThrough,
  connectionTo,
  type Data,
  merging,
  ownerIn,
  RECOVERS,
  type Recorder,
  type TestJob,
  type TestQueue,
  until,
  untilIdle,
  useBench,
  valuesOf,
} from './support.js'

// The scripts that add, take up and end jobs, when their answers are lost, so that they are sent again, or come late: no job
// runs twice, no key stays, no trigger is lost, and what a caller is told is so.

let bench: Bench
let runs: Recorder
let proxy: RedisProxy
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})
beforeEach(async () => {
  proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(() => proxy.close())
})

const data = (value: number, key = 1) => ({ key, value })
const numbers = (count: number, from = 1) => Array.from({ length: count }, (_, i) => from + i)

/** By how many keys a script takes and what its first is. */
function script(keys: readonly number[], first: string): Match {
  return ([command = '', , count, key]) =>
    /^eval(sha)?$/i.test(command) && keys.includes(Number(count)) && key?.endsWith(first) === true
}
const isAdd: Match = words => /^eval(sha)?$/i.test(words[0] ?? '') && ownerIn(words) !== undefined
// Of these the first key alone travels, and the arguments are one word.
const isOnWait = script([1], ':wait')
const ends = (words: readonly string[]) => /completed|failed/.test(words[4] ?? '')
const isTake: Match = words => isOnWait(words) && !isAdd(words) && !ends(words)
const isFinish: Match = words => isOnWait(words) && !isAdd(words) && ends(words)
const isDelay = script([11, 12], ':marker')
const isRetry = script([11], ':active')

function lossyWorker(
  run: (job: TestJob, signal: AbortSignal) => Promise<number>,
  options: Partial<WorkerOptions> = {},
): SingletonWorker<Data, number, string> {
  const worker = new SingletonWorker<Data, number, string>(
    'work',
    (job, _, signal) => run(job, signal as AbortSignal),
    {
      connection: { ...connectionThrough(proxy), maxRetriesPerRequest: null },
      prefix: bench.prefix,
      ...RECOVERS,
      ...options,
      singleton: { prefix: bench.lockPrefix, jobs: { sync: merging as never } },
    },
  )
  worker.on('error', () => {})
  bench.closeLater(() => worker.close())
  return worker
}

/** Keys of locks that do not expire by themselves. */
async function lasting(): Promise<string[]> {
  const keys = await bench.redis.keys(`{${bench.lockPrefix}*`)
  const plain = await bench.redis.keys(`${bench.lockPrefix}*`)
  const left = await Promise.all([...keys, ...plain].map(key => bench.redis.pttl(key)))
  return [...keys, ...plain].filter((_, i) => left[i] === -1)
}

/** Loses so many answers, one after the other. */
async function lose(match: Match, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await proxy.dropReplyTo(match, 'reset').hit
}

describe('an add that was carried out, whose answer was lost, and which is sent again', () => {
  interface Situation {
    readonly job: SingletonJobOptions<Data>
    /** What is live by then: a running job, and what else was added behind it. */
    readonly before: readonly number[]
    readonly told: string
    readonly ran: readonly (readonly number[])[]
    readonly opts?: JobsOptions
  }
  const situations: Record<string, Situation> = {
    'to a free key': { job: {}, before: [], told: 'started', ran: [[9]] },
    'join of a running job': { job: {}, before: [1], told: 'duplicate', ran: [[1]] },
    'delay behind a running job': {
      ...{ job: { onDuplicate: 'delay' }, before: [1], told: 'deferred' },
      ran: [[1], [9]],
    },
    'delay behind others': {
      ...{ job: { onDuplicate: 'delay' }, before: [1, 2], told: 'deferred' },
      ran: [[1], [2], [9]],
    },
    'the first rerun during a run': { job: { onDuplicate: 'rerun' }, before: [1], told: 'deferred', ran: [[1], [9]] },
    'a later rerun': { job: { onDuplicate: 'rerun' }, before: [1, 2], told: 'deferred', ran: [[1], [9]] },
    'a later rerun, merged': { job: merging as never, before: [1, 2], told: 'deferred', ran: [[1], [2, 9]] },
    'replace behind a running job': {
      ...{ job: { onDuplicate: 'replace' }, before: [1, 2], told: 'replaced' },
      ran: [[1], [9]],
    },
    'untilAndWhileExecuting, behind a running job': {
      ...{ job: { mode: 'untilAndWhileExecuting' }, before: [1], told: 'deferred' },
      ran: [[1], [9]],
    },
    'limit, beyond it': { job: { limit: 1, onDuplicate: 'delay' }, before: [1], told: 'deferred', ran: [[1], [9]] },
    'with an id of its own, to a free key': {
      job: {},
      before: [],
      told: 'started',
      ran: [[9]],
      opts: { jobId: 'mine' },
    },
    'with an id of its own, reject': {
      ...{ job: { onDuplicate: 'reject' }, before: [], told: 'started' },
      ...{ ran: [[9]], opts: { jobId: 'mine' } },
    },
    'with an id of its own, delay behind a running job': {
      ...{ job: { onDuplicate: 'delay' }, before: [1], told: 'deferred' },
      ...{ ran: [[1], [9]], opts: { jobId: 'mine' } },
    },
    'with an id of its own, the first rerun during a run': {
      ...{ job: { onDuplicate: 'rerun' }, before: [1], told: 'deferred' },
      ...{ ran: [[1], [9]], opts: { jobId: 'mine' } },
    },
    'with an id of its own, whileExecuting': {
      ...{ job: { mode: 'whileExecuting', onDuplicate: 'delay' }, before: [1], told: 'deferred' },
      ...{ ran: [[1], [9]], opts: { jobId: 'mine' } },
    },
    debounce: { job: { debounce: { waitMs: 100 } }, before: [1], told: 'deferred', ran: [[1], [9]] },
  }

  test.each(['alone', 'addBulk'])('is told what is so: %s', async how => {
    for (const [name, { job, before, told, ran, opts = {} }] of Object.entries(situations)) {
      const seen: (readonly number[])[] = []
      const queue = bench.queue(job, {}, `${how}-${name.replaceAll(/\W/g, '')}`)
      let letGo = () => {}
      const gate = new Promise<void>(resolve => {
        letGo = resolve
      })
      bench.worker(
        async one => {
          seen.push(valuesOf(one.data))
          await gate
          return 0
        },
        { queueName: queue.name, singleton: { jobs: { sync: merging as never } } },
      )
      for (const value of before) {
        await queue.add('sync', data(value))
        await until(() => seen.length === 1)
      }
      const lossy = await bench.queueThrough(proxy, job, queue.name)
      const { hit } = proxy.dropReplyTo(words => isAdd(words) && ownerIn(words)?.includes(queue.name) === true, 'reset')
      const added =
        how === 'alone'
          ? await lossy.add('sync', data(9), opts)
          : (await lossy.addBulk([{ name: 'sync', data: data(9), opts: opts as object }]))[0]
      await hit
      expect([name, added?.singleton?.status]).toEqual([name, told])
      letGo()
      await untilIdle(bench, queue)
      expect([name, seen]).toEqual([name, ran])
    }
    expect(await lasting()).toEqual([])
  })
})

test.each([
  ['untilExecuted', {}],
  ['untilExpired', { mode: 'untilExpired', expiryMs: 600_000, releaseOnFailure: true }],
] as const)('an add that is sent again when its job has ended takes no lock for it: %s', async (_, job) => {
  const queue = await bench.queueThrough(proxy, job)
  await queue.add('sync', data(0, 2))
  const worker = bench.worker(async ({ data: { value } }) => {
    if (value === 1) throw new Error('as it should')
    return 0
  })
  const failed = new Promise<void>(resolve => worker.once('failed', () => resolve()))
  // What was not answered is sent again only when the job has ended.
  const { hit } = proxy.dropReplyTo(isAdd, 'stall')
  const added = queue.addUnique('sync', data(1))
  await Promise.all([hit, failed])
  proxy.resetAll()
  expect((await added).outcome.status).toBe('started')
  expect(Object.values(await bench.held()).filter(owner => !owner.endsWith('#set'))).toEqual([])
  expect((await bench.queue(job).addUnique('sync', data(2))).outcome.status).toBe('started')
})

describe("a worker's call that was carried out, whose answer was lost, and which is sent again", () => {
  test.each(
    Object.entries({
      'takes a job up': isTake,
      'ends a job': isFinish,
      'delays a job': isDelay,
      'retries a job': isRetry,
    }),
  )('it %s: each job runs once, those that wait are woken, no key stays', async (_, match) => {
    const queue = bench.queue({ onDuplicate: 'delay' })
    const tried = new Set<number>()
    const ran: number[] = []
    const backoff = match === isDelay ? 50 : 0
    const retries = match === isDelay || match === isRetry
    const lost = lose(match, 3)
    for (const value of numbers(12)) {
      await queue.add('sync', data(value, value % 3), { attempts: 2, backoff })
    }
    lossyWorker(
      async job => {
        const { value } = job.data
        if (retries && !tried.has(value)) {
          tried.add(value)
          throw new Error('once more')
        }
        ran.push(value)
        return 0
      },
      { concurrency: 3 },
    )
    await lost
    await untilIdle(bench, queue)
    expect(ran.toSorted((a, b) => a - b)).toEqual(numbers(12))
    for (const key of [0, 1, 2]) {
      const own = ran.filter(value => value % 3 === key)
      if (!retries) expect(own).toEqual(own.toSorted((a, b) => a - b))
    }
    expect((await queue.getJobCounts()).completed).toBe(12)
    expect(await lasting()).toEqual([])
  })
})

test('of all calls of three producers and two workers some are sent twice: none is lost, and no job runs twice', {
  timeout: 120_000,
}, async () => {
  const seen: { key: number; values: readonly number[] }[] = []
  const live = new Map<number, number>()
  let most = 0
  const run = async (job: TestJob) => {
    const { key } = job.data
    seen.push({ key, values: valuesOf(job.data) })
    live.set(key, (live.get(key) ?? 0) + 1)
    most = Math.max(most, live.get(key) ?? 0)
    await new Promise(resolve => setTimeout(resolve, 3))
    live.set(key, (live.get(key) ?? 0) - 1)
    return 0
  }
  const queues = await Promise.all(numbers(3).map(() => bench.queueThrough(proxy, merging as never)))
  numbers(2).map(() => lossyWorker(run, { concurrency: 10 }))
  let dropped = 0
  let calls = 0
  const drop = (): void => {
    // Each 7th of all that matter.
    void proxy
      .dropReplyTo(words => (isAdd(words) || isTake(words) || isFinish(words)) && ++calls % 7 === 0, 'reset')
      .hit.then(() => {
        dropped += 1
        if (dropped < 60) drop()
      })
  }
  drop()
  const statuses: string[] = []
  for (const round of numbers(4, 0)) {
    const added = queues.flatMap((queue, q) =>
      numbers(20, 0).map(i => {
        const value = round * 60 + q * 20 + i
        return queue.addUnique('sync', data(value, i % 2 === 0 ? i % 3 : 1_000 + value))
      }),
    )
    for (const { outcome } of await Promise.all(added)) statuses.push(outcome.status)
  }
  await untilIdle(bench, queues[0] as TestQueue)
  expect(dropped).toBeGreaterThan(5)
  expect(most).toBe(1)
  const ran = seen.flatMap(({ values }) => values)
  expect([...new Set(ran)].toSorted((a, b) => a - b)).toEqual(numbers(240, 0))
  // What was left with a run that has ended by the time it is sent again is in one more. A job of its own never is.
  const alone = seen.filter(({ key }) => key >= 1_000).flatMap(({ values }) => values)
  expect(alone.toSorted((a, b) => a - b)).toEqual(numbers(120, 0).map(n => n * 2 + 1))
  expect(statuses.every(status => ['started', 'duplicate', 'deferred'].includes(status))).toBe(true)
  expect(await lasting()).toEqual([])
})

describe('answers that come late', () => {
  test('are what they would have been in time', async () => {
    const queue = await bench.queueThrough(proxy, { onDuplicate: 'rerun' })
    await queue.add('sync', data(0, 2))
    runs.hold()
    lossyWorker(runs.run, { concurrency: 3 })
    await runs.untilStarted(1)
    proxy.delayReplies(200)
    const first = queue.addUnique('sync', data(1))
    const meanwhile = bench.queue({ onDuplicate: 'rerun' })
    await until(() => runs.started.includes(1))
    const others = await Promise.all([2, 3].map(value => meanwhile.addUnique('sync', data(value))))
    expect((await first).outcome.status).toBe('started')
    expect(others.map(({ outcome }) => outcome.status)).toEqual(['deferred', 'deferred'])
    expect((await queue.addUnique('sync', data(4))).outcome.status).toBe('deferred')
    runs.letGo()
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([0, 1, 4])
    expect(await lasting()).toEqual([])
  })

  test('a job whose lock had run out when the answer came that it was taken up is left to whoever runs it', async () => {
    const queue = bench.queue({})
    const late: number[] = []
    const worker = lossyWorker(async job => late.push(job.data.value), {
      autorun: false,
      lockDuration: 500,
      lockRenewTime: 250,
    })
    const lapsed: unknown[] = []
    worker.singleton.on('lapsed', event => lapsed.push(event))
    await worker.waitUntilReady()
    const { id } = await queue.add('sync', data(1))
    proxy.delayReplies(1_500)
    void worker.run()
    const job = await queue.getJob(id as string)
    await until(async () => (await job?.getState()) === 'active')
    runs.hold()
    bench.worker(runs.run, RECOVERS)
    await runs.untilStarted(1)
    await until(() => lapsed.length === 1)
    expect(lapsed).toEqual([expect.objectContaining({ id, action: 'ended' })])
    proxy.delayReplies(0)
    runs.letGo()
    await untilIdle(bench, queue)
    expect([late, runs.started]).toEqual([[], [1]])
    expect(await lasting()).toEqual([])
  })
})
