import { setTimeout as sleep } from 'node:timers/promises'
import { parseJobMeta } from 'soloist'
import { singletonRun } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, type Data, type Recorder, until, untilIdle, useBench } from './support.js'

// The options beyond mode and strategy.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })

describe.each(['one step', 'two steps'])('lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })

  test('limit: so many jobs of a key run at once, in their order', async () => {
    const queue = bench.queue({ mode: 'whileExecuting', onDuplicate: 'delay', limit: 3 }, solo())
    runs.hold()
    bench.worker(runs.run, { concurrency: 10, singleton: solo() })
    for (let value = 1; value <= 10; value += 1) await queue.add('sync', data(value))
    await runs.untilStarted(3)
    await sleep(300)
    expect(runs.started.toSorted()).toEqual([1, 2, 3])
    runs.letGo()
    await runs.untilStarted(10)
    await untilIdle(bench, queue)
    expect(runs.mostAtOnce).toBe(3)
    // Those that run at once may begin in either order where that is several steps.
    const apart = steps === 'one step' ? 0 : 2
    for (const [i, value] of runs.started.entries()) expect(Math.abs(value - i - 1)).toBeLessThanOrEqual(apart)
  })

  test('limit, untilExecuted: what is beyond it is a duplicate', async () => {
    const queue = bench.queue({ limit: 2 }, solo())
    const statuses = []
    for (const value of [1, 2, 3]) statuses.push((await queue.addUnique('sync', data(value))).outcome.status)
    expect(statuses).toEqual(['started', 'started', 'duplicate'])
    bench.worker(runs.run, { singleton: solo() })
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual([1, 2])
  })

  test('debounce: one run after the last trigger, with the newest data', async () => {
    const queue = bench.queue({ debounce: { waitMs: 4_000 } }, solo())
    bench.worker(runs.run, { singleton: solo() })
    let lastAt = 0
    for (const value of [1, 2, 3, 4]) {
      lastAt = performance.now()
      await queue.add('sync', data(value))
      await sleep(100)
    }
    expect(runs.started).toEqual([])
    await runs.untilStarted(1)
    expect(performance.now() - lastAt).toBeGreaterThan(3_900)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([4])
  })

  test('debounce: also what is triggered during a run waits for further triggers, and runs', async () => {
    const queue = bench.queue({ debounce: { waitMs: 200 } }, solo())
    runs.hold()
    bench.worker(runs.run, { singleton: solo() })
    await queue.add('sync', data(1))
    await runs.untilStarted(1)
    for (const value of [2, 3]) await queue.add('sync', data(value))
    runs.letGo()
    await runs.untilStarted(2)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1, 3])
  })

  test('debounce: no longer than maxWaitMs after the first trigger', async () => {
    const queue = bench.queue({ debounce: { waitMs: 4_000, maxWaitMs: 4_500 } }, solo())
    bench.worker(runs.run, { singleton: solo() })
    const startedAt = performance.now()
    // They go on until there is a run.
    for (let value = 1; runs.started.length === 0; value += 1) {
      await queue.add('sync', data(value))
      await sleep(60)
    }
    expect(performance.now() - startedAt).toBeGreaterThan(4_400)
    expect(performance.now() - startedAt).toBeLessThan(20_000)
    await untilIdle(bench, queue)
  })

  test('maxRunMs: a run that hangs fails, its signal aborts, and its key is free', async () => {
    const queue = bench.queue({ maxRunMs: 200 }, solo())
    const reasons: unknown[] = []
    const worker = bench.worker(
      async (_, signal) => {
        signal.addEventListener('abort', () => reasons.push(signal.reason))
        return await new Promise<number>(() => {})
      },
      { singleton: solo() },
    )
    const failed = new Promise(resolve => worker.once('failed', (_job, error) => resolve(error)))
    await queue.add('sync', data(1))
    expect(await failed).toMatchObject({ code: 'RUN_TIMEOUT' })
    expect(reasons).toEqual([expect.objectContaining({ code: 'RUN_TIMEOUT' })])
    await until(async () => (await queue.addUnique('sync', data(2))).outcome.status === 'started')
  })

  test('releaseOnFailure: a job that fails ends its period, one that completes does not', async () => {
    const queue = bench.queue({ mode: 'untilExpired', expiryMs: 60_000, releaseOnFailure: true }, solo())
    const worker = bench.worker(
      async job => {
        if (job.data.value === 1) throw new Error('as it should')
        return 0
      },
      { singleton: solo() },
    )
    const failed = new Promise(resolve => worker.once('failed', resolve))
    await queue.add('sync', data(1))
    await failed
    const completed = new Promise(resolve => worker.once('completed', resolve))
    await until(async () => (await queue.addUnique('sync', data(2))).outcome.status === 'started')
    await completed
    expect((await queue.addUnique('sync', data(3))).outcome.status).toBe('duplicate')
  })

  test('describe: operators are shown it', async () => {
    const queue = bench.queue({ describe: ({ value }: Data) => `account ${value}` }, solo())
    await queue.add('sync', data(7))
    const [lock = ''] = Object.keys(await bench.held())
    const [holder] = (await bench.solo.jobs.inspect(lock))?.holders ?? []
    expect(parseJobMeta(holder?.meta ?? null)).toMatchObject({ description: 'account 7', pid: process.pid })
  })
})

test('a period is as long as the clock of the store says, whatever that of a producer', async () => {
  const queue = bench.queue({ mode: 'untilExpired', expiryMs: 1_500, onDuplicate: 'delay' })
  const now = Date.now
  Date.now = () => now() + 60_000
  try {
    await queue.add('sync', data(1))
    await queue.add('sync', data(2))
  } finally {
    Date.now = now
  }
  const startedAt = performance.now()
  bench.worker(runs.run)
  await runs.untilStarted(2)
  // Not a minute later.
  expect(performance.now() - startedAt).toBeLessThan(20_000)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 2])
})

test('a processor can ask whether its run may go on', async () => {
  const queue = bench.queue({})
  const asked: unknown[] = []
  bench.worker(async job => {
    const run = singletonRun(job)
    run.assertValid()
    asked.push([run.fence > 0, run.signal.aborted])
    return 0
  })
  await queue.add('sync', data(1))
  await until(() => asked.length === 1)
  expect(asked).toEqual([[true, false]])
  expect(() => singletonRun({} as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})

describe('a thousand triggers in one tick', () => {
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
  const thousand = async (queue: ReturnType<Bench['queue']>) => {
    // What is added before that may come to the store in another order.
    await queue.waitUntilReady()
    const counts: Record<string, number> = {}
    const adds = numbers(1_000).map(value => queue.addUnique('sync', data(value)))
    for (const { outcome } of await Promise.all(adds)) counts[outcome.status] = (counts[outcome.status] ?? 0) + 1
    return counts
  }

  test('limit: as many start as it says, and the others are duplicates', async () => {
    const queue = bench.queue({ limit: 3 })
    expect(await thousand(queue)).toEqual({ started: 3, duplicate: 997 })
  })

  test('releaseOnFailure: one starts; when it fails, one of the next thousand does', async () => {
    const queue = bench.queue({ mode: 'untilExpired', expiryMs: 600_000, releaseOnFailure: true })
    const held: { fail: (() => void) | null } = { fail: null }
    bench.worker(async () => {
      // Not before all thousand are told what they are.
      await new Promise<void>(resolve => {
        held.fail = resolve
      })
      throw new Error('as it should')
    })
    for (const failed of [1, 2]) {
      expect(await thousand(queue)).toEqual({ started: 1, duplicate: 999 })
      await until(async () => held.fail !== null)
      held.fail?.()
      held.fail = null
      await until(async () => (await queue.getJobCounts()).failed === failed)
    }
  })

  test("scope: 'name': in two queues one starts", async () => {
    const queues = ['one', 'two'].map(name => bench.queue({ scope: 'name' }, {}, name))
    const [one = {}, two = {}] = await Promise.all(queues.map(thousand))
    expect([one.started, two.started].filter(Boolean)).toEqual([1])
    expect((one.duplicate ?? 0) + (two.duplicate ?? 0)).toBe(1_999)
  })

  test('debounce: one run, of the last', async () => {
    const queue = bench.queue({ debounce: { waitMs: 5_000 } })
    bench.worker(runs.run)
    // What is added before there is a connection may be sent in another order.
    await queue.add('sync', data(-1))
    await thousand(queue)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([999])
  })

  test('maxRunMs: what came while a run hangs is run when its time is up', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun', maxRunMs: 10_000 })
    let hangs = true
    bench.worker(async (job, signal) => {
      if (!hangs) return await runs.run(job, signal)
      hangs = false
      return await new Promise<number>(() => {})
    })
    await queue.add('sync', data(-1))
    await until(async () => (await queue.getJobCounts()).active === 1)
    expect(await thousand(queue)).toEqual({ deferred: 1_000 })
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([999])
    expect((await queue.getJobCounts()).failed).toBe(1)
  })

  test('describe: each that waits is shown with its own', async () => {
    const queue = bench.queue({ onDuplicate: 'delay', describe: ({ value }: Data) => `value ${value}` })
    await thousand(queue)
    const [lock = ''] = Object.keys(await bench.held())
    const state = await bench.solo.jobs.inspect(lock)
    const shown = [...(state?.holders ?? []), ...(state?.waiters ?? [])].map(
      ({ meta }) => parseJobMeta(meta)?.description,
    )
    expect(shown.length).toBeGreaterThan(1)
    expect(shown).toEqual(shown.map((_, i) => `value ${i}`))
    expect(state?.waiting).toBe(999)
  })
})

describe('a merge that cannot be relied on is refused before anything is sent', () => {
  const merges: Record<string, (a: Data, b: Data) => unknown> = {
    'that is async': async (_, b) => b,
    'that returns undefined': () => undefined,
    'that changes a field of the key': (_, b) => ({ ...b, key: 99 }),
    'that throws': () => {
      throw new TypeError('as it should')
    },
  }
  test.each(Object.entries(merges))('%s', async (_, merge) => {
    const plain = bench.queue({ onDuplicate: 'rerun' })
    const { id } = await plain.add('sync', data(1))
    const queue = bench.queue({ onDuplicate: 'rerun', merge: merge as never })
    await expect(queue.add('sync', data(2))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect((await plain.getJob(id as string))?.data).toEqual(data(1))
  })
})

test('a merge that fails when the run begins fails the attempt, and all of it is there for the next', async () => {
  const merge = (a: Data, b: Data) => ({ ...b, value: a.value + b.value })
  const queue = bench.queue({ onDuplicate: 'rerun', merge })
  let fails = true
  const failing = (a: Data, b: Data) => {
    if (fails) throw new TypeError('as it should')
    return merge(a, b)
  }
  await queue.add('sync', data(1), { attempts: 2 })
  for (const value of [10, 100]) await queue.add('sync', data(value))
  const jobs = { sync: { uniqueOn: ['key'] as const, onDuplicate: 'rerun' as const, merge: failing } }
  const worker = bench.worker(runs.run, { singleton: { jobs: jobs as never } })
  worker.once('failed', () => {
    fails = false
  })
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([111])
})
