import { Worker } from 'bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, connectionTo, type Data, numbers, type Recorder, until, untilIdle, useBench } from './support.js'

// What a limit comes to with the strategies, and what becomes of a thousand triggers in one tick.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })

interface Listed extends Data {
  readonly values: readonly number[]
}
const listed = (value: number) => ({ ...data(value), values: [value] }) as Data
const merge = (a: Data, b: Data) => ({ ...b, values: [...(a as Listed).values, ...(b as Listed).values] })
const valuesOf = (of: Data) => (of as Listed).values

/** The keys of locks that have no expiry. */
async function forEver(): Promise<string[]> {
  const keys = await bench.redis.keys(`*${bench.lockPrefix}*`)
  const left = await Promise.all(keys.map(async key => ((await bench.redis.pttl(key)) === -1 ? [key] : [])))
  return left.flat()
}

describe.each(['one step', 'two steps'])('limit 2, lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })
  const jobs = { sync: { uniqueOn: ['key'] as const, onDuplicate: 'rerun' as const, merge } }
  const statuses = async (queue: ReturnType<Bench['queue']>, all: readonly Data[]) => {
    const told: string[] = []
    for (const each of all) told.push((await queue.addUnique('sync', each)).outcome.status)
    return told
  }
  const twoRun = async (queue: ReturnType<Bench['queue']>) => {
    runs.hold()
    bench.worker(runs.run, { singleton: solo() })
    expect(await statuses(queue, [data(0), data(1)])).toEqual(['started', 'started'])
    await runs.untilStarted(2)
  }

  test('rerun with merge: what comes while both places are taken and none runs is in one of the two', async () => {
    const queue = bench.queue({ limit: 2, onDuplicate: 'rerun', merge }, solo())
    const told = await statuses(queue, numbers(6).map(listed))
    expect(told).toEqual(['started', 'started', 'duplicate', 'duplicate', 'duplicate', 'duplicate'])
    const ran: (readonly number[])[] = []
    bench.worker(async job => ran.push(valuesOf(job.data)), { singleton: { ...solo(), jobs: jobs as never } })
    await untilIdle(bench, queue)
    expect(ran.toSorted((a, b) => (a[0] as number) - (b[0] as number))).toEqual([[0, 2, 3, 4, 5], [1]])
    expect(await forEver()).toEqual([])
  })

  test('rerun with merge: a thousand in one tick while two run are in one more run', async () => {
    const queue = bench.queue({ limit: 2, onDuplicate: 'rerun', merge }, solo())
    await queue.waitUntilReady()
    const ran: (readonly number[])[] = []
    let letGo = () => {}
    const gate = new Promise<void>(resolve => {
      letGo = resolve
    })
    const run = async (job: { data: Data }) => {
      ran.push(valuesOf(job.data))
      await gate
      return 0
    }
    bench.worker(run, { singleton: { ...solo(), jobs: jobs as never } })
    await statuses(queue, [listed(0), listed(1)])
    await until(() => ran.length === 2)
    await Promise.all(numbers(1_000, 2).map(value => queue.addUnique('sync', listed(value))))
    letGo()
    await untilIdle(bench, queue)
    expect(ran.length).toBe(3)
    expect(ran[2]?.toSorted((a, b) => a - b)).toEqual(numbers(1_000, 2))
    if (steps === 'one step') expect(ran[2]).toEqual(numbers(1_000, 2))
    expect(await forEver()).toEqual([])
  })

  test('replace: one waits while two run, and it is the newest', async () => {
    const queue = bench.queue({ limit: 2, onDuplicate: 'replace' }, solo())
    await twoRun(queue)
    expect(
      await statuses(
        queue,
        numbers(5, 2).map(value => data(value)),
      ),
    ).toEqual(Array(5).fill('replaced'))
    runs.letGo()
    await untilIdle(bench, queue)
    expect([runs.started.toSorted(), runs.mostAtOnce]).toEqual([[0, 1, 6], 2])
    expect(await forEver()).toEqual([])
  })

  test('replace: a thousand in one tick while two run lead to one more run', async () => {
    const queue = bench.queue({ limit: 2, onDuplicate: 'replace' }, solo())
    await queue.waitUntilReady()
    await twoRun(queue)
    await Promise.all(numbers(1_000, 2).map(value => queue.addUnique('sync', data(value))))
    runs.letGo()
    await untilIdle(bench, queue)
    expect([runs.started.length, runs.mostAtOnce]).toEqual([3, 2])
    if (steps === 'one step') expect(runs.started[2]).toBe(1_001)
    expect(await forEver()).toEqual([])
  })

  test('replace: where there is room nothing is replaced', async () => {
    const queue = bench.queue({ limit: 2, onDuplicate: 'replace' }, solo())
    expect(
      await statuses(
        queue,
        numbers(3).map(value => data(value)),
      ),
    ).toEqual(['started', 'started', 'replaced'])
    bench.worker(runs.run, { singleton: solo() })
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual([1, 2])
    expect(await forEver()).toEqual([])
  })

  test('replace that stops: the run is asked to stop that has had its place for longest', async () => {
    const queue = bench.queue({ limit: 2, onDuplicate: 'replace', onRunning: 'stop' }, solo())
    runs.hold()
    bench.worker(runs.run, { singleton: solo() })
    for (const value of [0, 1]) {
      expect(await statuses(queue, [data(value)])).toEqual(['started'])
      await runs.untilStarted(value + 1)
    }
    expect(runs.aborted).toEqual([])
    expect(await statuses(queue, [data(2)])).toEqual(['replaced'])
    await runs.untilStarted(3)
    expect([runs.aborted, runs.started]).toEqual([[0], [0, 1, 2]])
    runs.letGo()
    await untilIdle(bench, queue)
  })
})

describe.each(['one step', 'two steps'])('lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })

  test('replace tells the state and the age of the job whose place it takes', async () => {
    const queue = bench.queue({ onDuplicate: 'replace' }, solo())
    await queue.add('sync', data(0))
    const { outcome } = await queue.addUnique('sync', data(1))
    expect(outcome).toMatchObject({ status: 'replaced', state: 'queued', ageMs: expect.any(Number) })
    runs.hold()
    bench.worker(runs.run, { singleton: solo() })
    await runs.untilStarted(1)
    const { outcome: next } = await queue.addUnique('sync', data(2))
    expect(next).toMatchObject({ status: 'replaced', state: 'running', ageMs: expect.any(Number) })
  })

  test('replace tells it with a period, too', async () => {
    const queue = bench.queue({ mode: 'untilExpired', expiryMs: 60_000, onDuplicate: 'replace' }, solo())
    await queue.add('sync', data(0))
    const { outcome } = await queue.addUnique('sync', data(1))
    expect(outcome).toMatchObject({ status: 'replaced', state: 'queued', ageMs: expect.any(Number) })
  })
})

test('limit 2, replace: while a worker that knows nothing of locks runs two, one waits', async () => {
  const queue = bench.queue({ limit: 2, onDuplicate: 'replace' })
  let letGo = () => {}
  const gate = new Promise<void>(resolve => {
    letGo = resolve
  })
  const taken: number[] = []
  const plain = new Worker<Data>(
    'work',
    async job => {
      taken.push(job.data.value)
      await gate
    },
    { connection: connectionTo(bench.url), prefix: bench.prefix, concurrency: 2 },
  )
  for (const value of [0, 1]) await queue.add('sync', data(value))
  await until(() => taken.length === 2)
  // It takes up no other.
  const closed = plain.close()
  for (const value of [2, 3, 4]) {
    expect((await queue.addUnique('sync', data(value))).outcome.status).toBe('replaced')
  }
  // It waits for its place.
  expect(await queue.getJobCounts()).toMatchObject({ active: 2, delayed: 1, waiting: 0 })
  bench.worker(runs.run)
  letGo()
  await closed
  await untilIdle(bench, queue)
  expect([runs.started, await forEver()]).toEqual([[4], []])
})
