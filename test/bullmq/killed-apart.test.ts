import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'bullmq'
import { connect } from 'soloist'
import { type SingletonJobOptions, SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { describe, expect, test, vi } from 'vitest'
import { startProxy } from '../support/proxy.js'
import { Child } from './children.js'
import {
  type Bench,
  connectionTo,
  type Data,
  haltAfterTake,
  numbers,
  type Recorder,
  type TestQueue,
  until,
  untilIdle,
  useBench,
} from './support.js'

// Where lock and job are two steps, and processes are killed or stopped, connections break, or workers that know nothing of locks
// take part: each accepted trigger is covered by a run that starts after it, and with `merge` it is in one job.

let bench: Bench
let runs: Recorder
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const KEYS = 5
const RECOVERS = { lockDuration: 1_500, stalledInterval: 300, maxStalledCount: 100 }
const job = { onDuplicate: 'rerun' } as const

interface Listed extends Data {
  readonly all: readonly number[]
}
const listed = (value: number, key = 0) => ({ key, value, all: [value] }) as Data
const merge = (a: Data, b: Data) => ({ ...b, all: [...(a as Listed).all, ...(b as Listed).all] })

/** The keys of locks that are there for ever. */
async function forEver(): Promise<string[]> {
  const keys = await bench.redis.keys(`*${bench.lockPrefix}*`)
  const left = await Promise.all(keys.map(async key => ((await bench.redis.pttl(key)) === -1 ? [key] : [])))
  return left.flat()
}

describe('four processes add', () => {
  const log = () => `${bench.prefix}-log`
  const config = { apart: true, job, merges: true }

  async function worker(): Promise<Child> {
    const options = { ...RECOVERS, concurrency: 10 }
    const child = new Child(bench, 'crowd.js', { ...config, role: 'worker', log: log(), workMs: 10, options })
    expect(await child.message()).toBe('ready')
    return child
  }

  /** In how many jobs each value was whose run has ended. */
  async function counted(): Promise<Map<number, Set<string>>> {
    const jobs = new Map<number, Set<string>>()
    for (const text of await bench.redis.lrange(log(), 0, -1)) {
      const [what, , , all, , id] = JSON.parse(text)
      if (what !== 'end') continue
      for (const value of all) jobs.set(value, (jobs.get(value) ?? new Set()).add(id))
    }
    return jobs
  }

  async function crowd(disturb: (workers: Child[], over: () => boolean) => Promise<void>): Promise<void> {
    const producers = numbers(4).map(
      i =>
        new Child(bench, 'crowd.js', { ...config, role: 'producer', from: i * 100, count: 100, keys: KEYS, gapMs: 10 }),
    )
    for (const child of producers) expect(await child.message()).toBe('ready')
    const workers = [await worker(), await worker()]
    for (const child of producers) child.process.send('go')
    let over = false
    const disturbed = disturb(workers, () => over)
    const counts: Record<string, number> = {}
    for (const child of producers) {
      for (const [status, count] of Object.entries((await child.message()) as object)) {
        counts[status] = (counts[status] ?? 0) + count
      }
    }
    over = true
    await disturbed
    expect(Object.values(counts).reduce((a, b) => a + b)).toBe(400)
    const queue = bench.queue(job, { solo: bench.solo })
    await untilIdle(bench, queue)
    const jobs = await counted()
    expect(numbers(400).filter(value => jobs.get(value)?.size !== 1)).toEqual([])
    expect((await queue.getJobCounts()).failed).toBe(0)
    await until(async () => (await forEver()).length === 0)
  }

  test('and two run, of which one after the other is killed', { timeout: 180_000 }, async () => {
    await crowd(async (workers, over) => {
      while (!over()) {
        await sleep(300)
        await workers.shift()?.kill()
        workers.push(await worker())
      }
    })
  })

  test('and two run, of which one after the other stands still for longer than its lock', {
    timeout: 180_000,
  }, async () => {
    await crowd(async (workers, over) => {
      for (let i = 0; !over() || i < 2; i += 1) {
        const child = workers[i % 2] as Child
        child.process.kill('SIGSTOP')
        await sleep(2_000)
        child.process.kill('SIGCONT')
        await sleep(200)
      }
    })
  })
})

/** A queue and a worker on connections that break all the time. */
async function broken(definition: SingletonJobOptions<Data>, everyMs: number) {
  const proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(() => proxy.close())
  const solo = connect(proxy.url, { prefix: bench.lockPrefix })
  bench.closeLater(() => solo.close())
  const options = { connection: connectionTo(proxy.url), prefix: bench.prefix }
  const jobs = { sync: { uniqueOn: ['key'] as const, ...definition } }
  const queue: TestQueue = new SingletonQueue<Data, number, string>('work', { ...options, singleton: { solo, jobs } })
  const ran: { readonly id: string; readonly all: readonly number[] }[] = []
  const worker = new SingletonWorker<Data, number, string>(
    'work',
    async ({ id, data }) => {
      ran.push({ id: id as string, all: (data as Listed).all })
      await sleep(5)
      return 0
    },
    { ...options, ...RECOVERS, singleton: { solo, jobs } as never },
  )
  queue.on('error', () => {})
  worker.on('error', () => {})
  for (const one of [queue, worker]) {
    bench.closeLater(() => one.close())
    await one.waitUntilReady()
  }
  const timer = setInterval(() => proxy.resetAll(), everyMs)
  bench.closeLater(async () => clearInterval(timer))
  return { queue, ran, mend: () => clearInterval(timer) }
}

test.each([
  ['untilExecuted', {}],
  ['untilExpired', { expiryMs: 500 }],
] as const)(
  'connections that break every 200 ms, %s: each accepted trigger is run',
  { timeout: 120_000 },
  async (mode, more) => {
    const definition = { mode, ...more, ...job, merge } as SingletonJobOptions<Data>
    const { queue, ran, mend } = await broken(definition, 200)
    const accepted: number[] = []
    const adding: Promise<unknown>[] = []
    for (const value of numbers(150)) {
      const told = queue.addUnique('sync', listed(value)).then(
        () => accepted.push(value),
        // It was not accepted.
        ({ code }) => expect(code).toBe('BACKEND_UNAVAILABLE'),
      )
      adding.push(told)
      await sleep(15)
    }
    mend()
    await Promise.all(adding)
    await untilIdle(bench, bench.queue(definition, { solo: bench.solo }))
    const seen = new Set(ran.flatMap(({ all }) => all))
    expect(accepted.filter(value => !seen.has(value))).toEqual([])
    expect(accepted.length).toBeGreaterThan(50)
    if (mode === 'untilExecuted') await until(async () => (await forEver()).length === 0)
  },
)

test.each(['rerun', 'replace', 'delay'] as const)(
  'workers that know nothing of locks among ours: each trigger is covered by a run that starts after it, %s',
  { timeout: 120_000 },
  async onDuplicate => {
    const queue = bench.queue({ onDuplicate }, { solo: bench.solo })
    const starts: { readonly key: number; readonly value: number; readonly at: number }[] = []
    let now = 0
    const run = async ({ data: { key, value } }: { readonly data: Data }) => {
      now += 1
      starts.push({ key, value, at: now })
      await sleep(1 + (starts.length % 7))
      return 0
    }
    for (const _ of [1, 2]) bench.worker(run as never, { singleton: { solo: bench.solo }, stalledInterval: 300 })
    const plain = new Worker<Data>('work', run, {
      connection: connectionTo(bench.url),
      prefix: bench.prefix,
      concurrency: 2,
    })
    bench.closeLater(() => plain.close())
    const triggers: { readonly key: number; readonly value: number; readonly at: number }[] = []
    const adding: Promise<unknown>[] = []
    for (const value of numbers(300)) {
      now += 1
      const key = value % 3
      triggers.push({ key, value, at: now })
      adding.push(queue.add('sync', { key, value }))
      await sleep(3)
    }
    await Promise.all(adding)
    // The lock of a job that such a worker has run, and that nobody asks for, is left to a sweep.
    await until(async () => {
      await queue.sweep()
      const { active, waiting, delayed } = await queue.getJobCounts('active', 'waiting', 'delayed')
      return active === 0 && waiting === 0 && delayed === 0 && Object.keys(await bench.held()).length === 0
    })
    const uncovered = triggers.filter(({ key, value, at }) => {
      const after = starts.filter(one => one.key === key && one.at > at)
      return onDuplicate === 'delay' ? !after.some(one => one.value === value) : after.length === 0
    })
    expect(uncovered).toEqual([])
  },
)

test('a sweep that fails does not keep later ones from finding a job that nobody has woken', async () => {
  const job = { onDuplicate: 'delay' } as const
  const queue = bench.queue(job, { solo: bench.solo })
  const solo = bench.client()
  const worker = bench.worker(runs.run, { singleton: { solo }, stalledInterval: 100 })
  const faults: unknown[] = []
  worker.singleton.on('fault', ({ during }) => faults.push(during))
  runs.hold()
  for (const value of [0, 1]) await queue.add('sync', listed(value, 1))
  await runs.untilStarted(1)
  await until(async () => (await queue.getJobCounts()).delayed === 1)
  const inspect = solo.jobs.inspect.bind(solo.jobs)
  solo.jobs.inspect = async () => {
    throw new Error('as it should')
  }
  await until(() => faults.includes('sweep'))
  solo.jobs.inspect = inspect
  // Nobody hears of the grant.
  const [lock = ''] = Object.keys(await bench.held())
  const [holder] = (await bench.solo.jobs.inspect(lock))?.holders ?? []
  const deaf = bench.client()
  await deaf.jobs.release(lock, holder?.owner ?? '')
  await runs.untilStarted(2)
})

describe('a producer that is held up between its lock and its job', () => {
  const job = { onDuplicate: 'delay' } as const

  /** Resolves once it has the lock. */
  async function held() {
    const solo = bench.client()
    const letOn = haltAfterTake(solo)
    const adding = bench.queue(job, { solo, graceMs: 60_000 }).add('sync', listed(0, 1))
    await until(async () => Object.keys(await bench.held()).length === 1)
    const [lock = ''] = Object.keys(await bench.held())
    return { letOn, adding, lock }
  }

  test('keeps it for its grace time, however often a worker looks', async () => {
    const { letOn, adding, lock } = await held()
    const queue = bench.queue(job, { solo: bench.solo, graceMs: 60_000 })
    await queue.add('sync', listed(1, 1))
    const solo = bench.client()
    let looks = 0
    const inspect = solo.jobs.inspect.bind(solo.jobs)
    solo.jobs.inspect = async name => {
      if (name === lock) looks += 1
      return await inspect(name)
    }
    bench.worker(runs.run, { singleton: { solo, graceMs: 60_000 }, stalledInterval: 50 })
    await until(() => looks >= 10)
    expect(runs.started).toEqual([])
    letOn()
    await adding
    await untilIdle(bench, queue)
    expect([runs.started, runs.mostAtOnce]).toEqual([[0, 1], 1])
  })

  test('keeps it for its grace time, where the clock of whoever sweeps is an hour ahead', async () => {
    const { letOn, adding } = await held()
    const queue = bench.queue(job, { solo: bench.solo, graceMs: 60_000 })
    const now = Date.now
    const ahead = vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000)
    try {
      expect(await queue.sweep()).toBe(0)
    } finally {
      ahead.mockRestore()
    }
    letOn()
    await adding
  })
})
