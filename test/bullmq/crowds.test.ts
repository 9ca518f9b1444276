import { setTimeout as sleep } from 'node:timers/promises'
import { parseJobMeta } from 'soloist'
import { type SingletonJobOptions, type SingletonOutcome, SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import type { Child } from './children.js'
import { type Crowd, killed, logged as loggedOf, logOf, Producers, RECOVERS, type Work, workersOf } from './crowd.js'
import {
  type Bench,
  connectionTo,
  type Data,
  numbers,
  type Recorder,
  type TestJob,
  type TestQueue,
  until,
  untilIdle,
  useBench,
} from './support.js'

// The options beyond mode and strategy in a crowd: a thousand triggers in one tick, four processes, answers that are lost, and
// processes that are killed.

let bench: Bench
let runs: Recorder
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 0) => ({ key, value })
const producersOf = (crowd: Crowd) => new Producers(bench, crowd).ready()
const workers = (count: number, work: Work) => workersOf(bench, count, work)
const logged = () => loggedOf(bench)
const kill = (child: Child) => killed(bench, child)
const log = () => logOf(bench)

type All = Data & { readonly all?: readonly number[] }
const valuesOf = ({ all, value }: All): readonly number[] => all ?? [value]
const merge = (a: All, b: All): All => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] })

async function statusesOf(adds: readonly Promise<{ outcome: { status: string } }>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { outcome } of await Promise.all(adds)) counts[outcome.status] = (counts[outcome.status] ?? 0) + 1
  return counts
}

/** A thousand in one tick. */
const thousand = (queue: TestQueue) => statusesOf(numbers(1_000).map(value => queue.addUnique('sync', data(value))))

const sorted = (values: readonly number[]) => [...new Set(values)].toSorted((a, b) => a - b)

/** A queue and a worker of which every so many answers are lost, so that the calls are sent again. */
async function lossy(job: SingletonJobOptions<Data>, run: (job: TestJob) => Promise<number>) {
  const proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(() => proxy.close())
  const options = {
    connection: { ...connectionTo(proxy.url), retryStrategy: () => 10, maxRetriesPerRequest: null },
    prefix: bench.prefix,
  }
  const singleton = { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'] as const, ...job } } }
  const queue: TestQueue = new SingletonQueue<Data, number, string>('work', { ...options, singleton })
  const worker = new SingletonWorker<Data, number, string>('work', async one => await run(one), {
    ...{ ...options, ...RECOVERS, concurrency: 10, autorun: false },
    singleton: singleton as never,
  })
  queue.on('error', () => {})
  worker.on('error', () => {})
  for (const one of [queue, worker]) {
    bench.closeLater(() => one.close())
    await one.waitUntilReady()
  }
  void worker.run()
  let calls = 0
  const lose = async (): Promise<void> => {
    // A job whose worker was not told that it had taken it up is recovered after more than a second.
    for (let lost = 0; lost < 12; lost += 1)
      await proxy.dropReplyTo(([command = '']) => /^evalsha$/i.test(command) && ++calls % 9 === 0, 'reset').hit
  }
  void lose()
  return { queue, lost: () => Math.floor(calls / 9) }
}

describe('limit', () => {
  const delays = { mode: 'whileExecuting', onDuplicate: 'delay', limit: 3 } as const

  test.each(['one step', 'two steps'])('a thousand in one tick, lock and job in %s', async steps => {
    const solo = steps === 'one step' ? {} : { solo: bench.solo, graceMs: 20_000 }
    const queue = bench.queue({ limit: 3 }, solo)
    expect(await thousand(queue)).toEqual({ started: 3, duplicate: 997 })
    const others = bench.queue({ ...delays, uniqueOn: () => 'other' }, solo)
    await thousand(others)
    bench.worker(runs.run, { concurrency: 20, singleton: solo })
    await untilIdle(bench, queue)
    expect(runs.started).toHaveLength(1_003)
    // Three of each key.
    expect(runs.mostAtOnce).toBeLessThanOrEqual(6)
  })

  test('four processes add, four run, one of these is killed: never more at once, and all run', async () => {
    const producers = await producersOf({ job: delays, keys: 5 })
    const running = await workers(4, { workMs: 10 })
    producers.go()
    await until(async () => (await bench.redis.llen(log())) > 100)
    await kill(running[0] as Child)
    const told = await producers.told()
    expect(Object.values(told).reduce((a, b) => a + b)).toBe(1_000)
    await untilIdle(bench, bench.queue(delays))
    const { most, ended } = await logged()
    expect(sorted(ended)).toEqual(numbers(1_000))
    expect(most).toBe(3)
  })

  test('answers that are lost', async () => {
    const ran: number[] = []
    let [live, most] = [0, 0]
    const { queue, lost } = await lossy({ ...delays, limit: 2 }, async job => {
      live += 1
      most = Math.max(most, live)
      ran.push(job.data.value)
      await sleep(2)
      live -= 1
      return 0
    })
    for (const part of numbers(5)) {
      await Promise.all(numbers(20, part * 20).map(value => queue.add('sync', data(value))))
    }
    await untilIdle(bench, bench.queue(delays))
    expect(lost()).toBeGreaterThan(5)
    expect(ran.toSorted((a, b) => a - b)).toEqual(numbers(100))
    expect(most).toBe(2)
  })
})

describe('debounce', () => {
  test.each(['one step', 'two steps'])('a thousand in one tick are one run, of the last: %s', async steps => {
    const solo = steps === 'one step' ? {} : { solo: bench.solo, graceMs: 20_000 }
    const queue = bench.queue({ debounce: { waitMs: 5_000 } }, solo)
    bench.worker(runs.run, { singleton: solo })
    // What is added before there is a connection may be sent in another order.
    await queue.add('sync', data(-1))
    await thousand(queue)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([999])
  })

  const job = { debounce: { waitMs: 5_000 } }
  test('four processes: one run has what all of them brought, though one that ran it was killed', async () => {
    const producers = await producersOf({ job, merges: true })
    const [doomed] = await workers(1, { job, merges: true, workMs: 60_000 })
    producers.go()
    const told = await producers.told()
    expect(Object.values(told).reduce((a, b) => a + b)).toBe(1_000)
    await until(async () => (await bench.redis.llen(log())) === 1)
    await kill(doomed as Child)
    await workers(1, { job, merges: true })
    await untilIdle(bench, bench.queue(job))
    const { values } = await logged()
    expect(values).toHaveLength(2)
    for (const all of values) expect(all.toSorted((a, b) => a - b)).toEqual(numbers(1_000))
    for (const from of [0, 250, 500, 750]) {
      expect(values[0]?.filter(value => value >= from && value < from + 250)).toEqual(numbers(250, from))
    }
  })

  test('four processes that never cease: no run waits longer than maxWaitMs; the killed one takes nothing with it', async () => {
    const bounded = { debounce: { waitMs: 2_000, maxWaitMs: 2_500 } }
    const producers = await producersOf({ job: bounded, merges: true, gapMs: 40 })
    await workers(1, { job: bounded, merges: true })
    producers.go()
    // They go on for 10 s: by then there are runs already.
    const [doomed, ...others] = producers.children as [Child, ...Child[]]
    await until(async () => (await logged()).values.length === 2)
    await doomed.kill()
    await producers.told(others)
    await untilIdle(bench, bench.queue(bounded))
    const { values } = await logged()
    const all = values.flat()
    expect(all.filter(value => value >= 250).toSorted((a, b) => a - b)).toEqual(numbers(750, 250))
    // What the killed one had added before.
    expect(sorted(all.filter(value => value < 250))).toEqual(numbers(all.filter(value => value < 250).length))
  })

  test('answers that are lost', async () => {
    const seen: (readonly number[])[] = []
    const { queue, lost } = await lossy({ debounce: { waitMs: 3_000 }, merge } as never, async one => {
      seen.push(valuesOf(one.data))
      return 0
    })
    for (const part of numbers(5)) {
      await Promise.all(numbers(20, part * 20).map(value => queue.add('sync', data(value))))
    }
    await untilIdle(bench, bench.queue(job))
    expect(lost()).toBeGreaterThan(5)
    expect(sorted(seen.flat())).toEqual(numbers(100))
    // Each once: it had not run when it was sent again.
    expect(seen).toHaveLength(1)
    expect(seen[0]).toHaveLength(100)
  })
})

describe('maxRunMs', () => {
  const job = { onDuplicate: 'rerun', maxRunMs: 10_000 } as const

  test('a thousand in one tick, and four processes, while a process hangs: they are run when the time is up', async () => {
    const queue = bench.queue(job)
    const producers = await producersOf({ job })
    const [hanging] = await workers(1, { job, hangs: [-1] })
    const { id } = await queue.add('sync', data(-1))
    expect(await hanging?.message()).toBe('hangs')
    producers.go()
    const [told, here] = await Promise.all([producers.told(), thousand(queue)])
    expect([told, here]).toEqual([{ deferred: 1_000 }, { deferred: 1_000 }])
    await untilIdle(bench, queue)
    const failed = await queue.getJob(id as string)
    expect(failed?.failedReason).toMatch('10000 ms')
    const { values } = await logged()
    expect(values).toHaveLength(2)
    expect([249, 499, 749, 999]).toContain(values[1]?.[0])
  })

  test('the hanging process is killed before: its job is recovered, and may take as long again', async () => {
    const queue = bench.queue(job)
    const [hanging] = await workers(1, { job, hangs: [-1] })
    await queue.add('sync', data(-1))
    expect(await hanging?.message()).toBe('hangs')
    await queue.add('sync', data(1))
    await kill(hanging as Child)
    await workers(1, { job })
    await untilIdle(bench, queue)
    expect((await logged()).values).toEqual([[-1], [-1], [1]])
    expect((await queue.getJobCounts()).failed).toBe(0)
  })

  test('answers that are lost', async () => {
    const ran: number[] = []
    const short = { onDuplicate: 'delay', maxRunMs: 200 } as const
    const { queue, lost } = await lossy(short, async one => {
      ran.push(one.data.value)
      if (one.data.value % 10 === 0) await new Promise(() => {})
      return 0
    })
    await Promise.all(numbers(50).map(value => queue.add('sync', data(value))))
    await untilIdle(bench, bench.queue(short))
    expect(lost()).toBeGreaterThan(5)
    expect(ran).toEqual(numbers(50))
    expect((await queue.getJobCounts()).failed).toBe(5)
  })
})

describe('releaseOnFailure', () => {
  const job = { mode: 'untilExpired', expiryMs: 600_000, releaseOnFailure: true } as const

  /** Each opening lets one run pass. */
  function gates() {
    let opened = 0
    let asked = 0
    return {
      open() {
        opened += 1
      },
      async passed() {
        asked += 1
        const mine = asked
        await until(() => opened >= mine)
      },
    }
  }

  test('a thousand in one tick: one starts; when it fails, one of the next thousand does', async () => {
    const queue = bench.queue(job)
    const told = gates()
    bench.worker(async () => {
      await told.passed()
      throw new Error('as it should')
    })
    for (const failed of [1, 2, 3]) {
      expect(await thousand(queue)).toEqual({ started: 1, duplicate: 999 })
      told.open()
      await until(async () => (await queue.getJobCounts()).failed === failed)
    }
  })

  test('four processes: one starts; killed in its middle its period stands, and ends when it fails after all', async () => {
    const queue = bench.queue(job)
    const producers = await producersOf({ job })
    producers.go()
    expect(await producers.told()).toEqual({ started: 1, duplicate: 999 })
    const [doomed] = await workers(1, { job, workMs: 60_000 })
    await until(async () => (await bench.redis.llen(log())) === 1)
    await kill(doomed as Child)
    expect((await queue.addUnique('sync', data(1))).outcome.status).toBe('duplicate')
    await workers(1, { job, fails: numbers(1_000) })
    await until(async () => (await queue.getJobCounts()).failed === 1)
    expect((await queue.addUnique('sync', data(1))).outcome.status).toBe('started')
  })

  test('answers that are lost', async () => {
    const told = gates()
    const { queue, lost } = await lossy(job, async one => {
      if (one.data.value === 30) return 0
      await told.passed()
      throw new Error('as it should')
    })
    for (const value of numbers(30)) {
      const statuses = await statusesOf(numbers(3).map(() => queue.addUnique('sync', data(value))))
      expect(statuses).toEqual({ started: 1, duplicate: 2 })
      told.open()
      await until(async () => (await queue.getJobCounts()).failed === value + 1)
    }
    await queue.add('sync', data(30))
    await until(async () => (await queue.getJobCounts()).completed === 1)
    expect((await queue.addUnique('sync', data(0))).outcome.status).toBe('duplicate')
    expect(lost()).toBeGreaterThan(5)
  })
})

describe("scope: 'name'", () => {
  const names = ['one', 'two', 'three', 'four']

  test('four processes with a queue each, and a thousand in one tick with a fifth: one starts', async () => {
    const job = { scope: 'name' } as const
    const producers = await producersOf({ job, queueNames: names })
    producers.go()
    const [told, here] = await Promise.all([producers.told(), thousand(bench.queue(job))])
    expect((told.started ?? 0) + (here.started ?? 0)).toBe(1)
    expect((told.duplicate ?? 0) + (here.duplicate ?? 0)).toBe(1_999)
  })

  test('rerun: one more run in one of the queues, also when the worker of the first is killed', async () => {
    const job = { scope: 'name', onDuplicate: 'rerun' } as const
    const first = bench.queue(job)
    const [doomed] = await workers(1, { job, workMs: 60_000 })
    await first.add('sync', data(-1))
    await until(async () => (await bench.redis.llen(log())) === 1)
    const producers = await producersOf({ job, queueNames: names })
    producers.go()
    expect(await producers.told()).toEqual({ deferred: 1_000 })
    await kill(doomed as Child)
    for (const queueName of [...names, 'work']) await workers(1, { job, queueName })
    await untilIdle(bench, first)
    const { values, most } = await logged()
    expect(values.slice(0, 2)).toEqual([[-1], [-1]])
    expect(values).toHaveLength(3)
    expect([249, 499, 749, 999]).toContain(values[2]?.[0])
    expect(most).toBe(1)
  })
})

describe('describe', () => {
  const described = { mode: 'untilExecuted', onDuplicate: 'delay' } as const

  test('a thousand in one tick, and four processes: each is shown with its own', async () => {
    const queue = bench.queue({ ...described, describe: ({ value }: Data) => `value ${value}` })
    const producers = await producersOf({ job: described, describes: true })
    await queue.add('sync', data(-1))
    producers.go()
    await Promise.all([producers.told(), thousand(queue)])
    const [lock = ''] = Object.keys(await bench.held())
    const state = await bench.solo.jobs.inspect(lock)
    expect(parseJobMeta(state?.holders[0]?.meta ?? null)?.description).toBe('value -1')
    expect(state?.waiting).toBe(2_000)
    expect(state?.waiters.length).toBeGreaterThan(0)
    for (const { owner, meta } of state?.waiters ?? []) {
      const job = await queue.getJob(owner.slice(owner.lastIndexOf(':') + 1))
      expect(parseJobMeta(meta)?.description).toBe(`value ${job?.data.value}`)
    }
  })
})

describe('adding, four processes, lock and job in two steps', () => {
  const graceMs = 20_000
  const apart = { apart: true, tells: true } as const
  const own = (outcomes: ReadonlyMap<number, SingletonOutcome>) =>
    [...outcomes].flatMap(([value, { status }]) => (status === 'duplicate' ? [] : [value])).toSorted((a, b) => a - b)
  const ran = async () => (await logged()).values.flat().toSorted((a, b) => a - b)

  /** Resolves when nothing is left to be done, and of locks nothing that lasts. */
  async function untilClean(job: SingletonJobOptions<Data>): Promise<void> {
    const queue = bench.queue(job, { solo: bench.solo })
    await until(async () => {
      await queue.sweep()
      const { active, waiting, delayed } = await queue.getJobCounts('active', 'waiting', 'delayed')
      const keys = await bench.redis.keys(`*${bench.lockPrefix}*`)
      const left = await Promise.all(keys.map(async key => (await bench.redis.pttl(key)) === -1))
      return active === 0 && waiting === 0 && delayed === 0 && !left.includes(true)
    })
    expect((await queue.getJobCounts()).failed).toBe(0)
  }

  async function told(crowd: Crowd): Promise<ReadonlyMap<number, SingletonOutcome>> {
    const producers = await producersOf({ ...apart, graceMs, ...crowd })
    producers.go()
    return await producers.outcomes()
  }

  test.each([
    ['one id, one key', { ids: 1, keys: 1 }],
    ['one id, a thousand keys', { ids: 1, keys: 1_000 }],
    ['a thousand ids, one key', { ids: 1_000, keys: 1 }],
  ])('%s: one starts, and runs', async (_, crowd) => {
    const outcomes = await told({ job: {}, ...crowd })
    expect(outcomes.size).toBe(1_000)
    expect(own(outcomes)).toHaveLength(1)
    await workers(2, { apart: true, graceMs })
    await untilClean({})
    expect(await ran()).toEqual(own(outcomes))
  })

  test.each([{}, { delay: 30 }])(
    'replace, while workers take jobs up: who was not replaced runs, and nobody else, %o',
    async opts => {
      const job = { onDuplicate: 'replace' } as const
      await workers(2, { apart: true, graceMs, job })
      const outcomes = await told({ job, opts })
      await untilClean(job)
      const taken = new Set(
        [...outcomes.values()].flatMap(({ status, state, owner }) =>
          status === 'replaced' && state !== 'running' ? [owner] : [],
        ),
      )
      const rest = [...outcomes].flatMap(([value, { id }]) =>
        taken.has(`bullmq:${bench.prefix}:work:${id}`) ? [] : [value],
      )
      expect(await ran()).toEqual(rest.toSorted((a, b) => a - b))
      expect((await logged()).most).toBe(1)
    },
  )

  test('flows under one id, of a thousand keys: each has a run of its own', async () => {
    const outcomes = await told({ job: {}, flows: true, ids: 1, keys: 1_000 })
    expect(own(outcomes)).toEqual(numbers(1_000))
    expect([...outcomes.values()].filter(({ id }) => id === 'id-0')).toHaveLength(1)
    await workers(2, { apart: true, graceMs })
    await untilClean({})
    expect(await ran()).toEqual(numbers(1_000))
  })

  test('flows of one key: one stands for the others', async () => {
    const outcomes = await told({ job: {}, flows: true })
    expect(own(outcomes)).toHaveLength(1)
    await workers(2, { apart: true, graceMs })
    await untilClean({})
    expect(await ran()).toEqual(own(outcomes))
  })

  test.each([
    ['join', {}],
    ['delay', {}],
    ['join', { flows: true }],
    ['join', { ids: 50 }],
    ['delay', { ids: 50 }],
  ] as const)('%s, %o: one is killed: of the others each runs, or another stands for it', async (onDuplicate, more) => {
    const job = { onDuplicate }
    const short = { graceMs: 5_000 }
    const producers = await producersOf({ ...apart, ...short, job, keys: 50, ...more })
    const [doomed, ...others] = producers.children as [Child, ...Child[]]
    const queue = bench.queue(job, { solo: bench.solo })
    producers.go()
    await until(async () => (await queue.getJobCountByTypes('waiting', 'delayed')) > 5)
    await kill(doomed)
    const outcomes = await producers.outcomes(others)
    await workers(2, { apart: true, ...short })
    await untilClean(job)
    const all = await ran()
    expect(all).toHaveLength(new Set(all).size)
    expect(all.filter(value => value >= 250)).toEqual(own(outcomes))
    // Of each key.
    expect(new Set(all.map(value => value % 50)).size).toBe(50)
  })
})
