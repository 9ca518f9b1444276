import { jobLockNaming } from 'soloist'
import { describe, expect, test } from 'vitest'
import { Child } from './children.js'
import { Producers, workersOf } from './crowd.js'
import {
  type Bench,
  type Merged,
  merging,
  numbers,
  type TestJob,
  type TestQueue,
  until,
  untilIdle,
  useBench,
  valuesOf,
} from './support.js'

// Where lock and job are two steps: a producer was killed between both, and its claim is older than the grace time. Many meet it
// at once, or who takes it over is killed as well, after each of its steps.

let bench: Bench
useBench('must not fail', fresh => {
  bench = fresh
})

const data = (value: number, key = 1) => ({ key, value })
const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b)
const lockOf = (key: number) =>
  jobLockNaming<{ key: number }>('sync', { uniqueOn: ['key'] }, `${bench.prefix}:work`)({ key }).trigger

/** How old the claims of a key are. */
async function agesOf(key: number): Promise<number[]> {
  const state = await bench.solo.jobs.inspect(lockOf(key))
  const now = state?.atMs ?? 0
  return [
    ...(state?.holders ?? []).map(({ acquiredAtMs }) => now - (acquiredAtMs ?? now)),
    ...(state?.waiters ?? []).map(({ waitingSinceMs }) => now - waitingSinceMs),
  ]
}

/** No lock is held or waited for, and nothing of the locks lasts. */
async function untilClean(queue: TestQueue): Promise<void> {
  await untilIdle(bench, queue)
  await until(async () => {
    const keys = await bench.redis.keys(`*${bench.lockPrefix}*`)
    const left = await Promise.all(keys.map(async key => (await bench.redis.pttl(key)) === -1))
    return !left.includes(true)
  })
  expect((await queue.getJobCounts()).failed).toBe(0)
}

/** Where the claim is of the job that does not come. */
const PLACES = ['alone', 'behind another'] as const

/** A job that has the lock for as long as it is there. */
async function inFront(key: number, graceMs: number) {
  return await bench
    .queue({ onDuplicate: 'delay' }, { solo: bench.solo, graceMs })
    .add('sync', data(-1, key), { delay: 3_600_000 })
}

function producer(config: object): Child {
  const job = { uniqueOn: ['key'], onDuplicate: 'rerun' }
  return new Child(bench, 'producer.js', { job, merges: true, ...config })
}

describe('a thousand meet the claim of a job that never came', () => {
  // Longer than a busy machine takes for a thousand triggers: then a claim of theirs counts as one whose job does not come.
  const graceMs = 20_000

  /** A claim of each kind, one for each key. */
  async function killed() {
    const first = await inFront(1, graceMs)
    for (const key of [0, 1]) {
      const child = producer({ graceMs, key, value: -2 })
      expect(await child.message()).toBe('locked')
      await child.kill()
    }
    await until(async () => [...(await agesOf(0)), ...(await agesOf(1))].every(ageMs => ageMs > graceMs))
    return first
  }

  /** Of each key one job was added, which has all that was left. */
  async function assertOneEach(first: { remove(): Promise<void> }): Promise<void> {
    const queue = bench.queue(merging, { solo: bench.solo, graceMs })
    expect((await queue.getJobs()).filter(job => job.data.value !== -1)).toHaveLength(2)
    await first.remove()
    await workersOf(bench, 1, { job: merging, merges: true, apart: true, graceMs })
    await untilClean(queue)
    const runs = (await queue.getJobs()).map(job => valuesOf(job.data as Merged))
    expect(runs.map(values => new Set(values.map(value => value % 2)).size)).toEqual([1, 1])
    expect(sorted(runs.flat())).toEqual(numbers(1_000))
  }

  test('in one tick: one run for each key has what all of them left', { timeout: 180_000 }, async () => {
    const first = await killed()
    const queue = bench.queue(merging, { solo: bench.solo, graceMs })
    await queue.waitUntilReady()
    await Promise.all(numbers(1_000).map(value => queue.addUnique('sync', data(value, value % 2))))
    await assertOneEach(first)
  })

  test('from four processes: one run for each key has what all of them left', { timeout: 180_000 }, async () => {
    const first = await killed()
    const producers = await new Producers(bench, { job: merging, merges: true, keys: 2, apart: true, graceMs }).ready()
    producers.go()
    const counts = Object.values(await producers.told())
    expect(counts.reduce((a, b) => a + b)).toBe(1_000)
    await assertOneEach(first)
  })
})

describe('who takes over is killed', () => {
  const graceMs = 500
  const TAKERS = {
    'a trigger that adds': { steps: 8, config: {} },
    'a trigger that joins': { steps: 6, config: { job: { uniqueOn: ['key'] }, merges: false } },
  } as const
  type Taker = keyof typeof TAKERS
  const cells = (Object.keys(TAKERS) as Taker[]).flatMap(taker =>
    numbers(TAKERS[taker].steps, 1).flatMap(at =>
      PLACES.flatMap(place => (['never comes', 'comes then'] as const).map(job => [taker, at, job, place] as const)),
    ),
  )

  /** The runs of a worker of this process. */
  function work() {
    const told = { values: [] as number[], running: 0, mostAtOnce: 0 }
    const run = async (job: TestJob): Promise<number> => {
      told.running += 1
      told.mostAtOnce = Math.max(told.mostAtOnce, told.running)
      told.values.push(...valuesOf(job.data as Merged))
      await new Promise(resolve => setImmediate(resolve))
      told.running -= 1
      return 0
    }
    const singleton = { solo: bench.client(), graceMs, jobs: { sync: merging } as never }
    bench.worker(run, { singleton, stalledInterval: 200 })
    return told
  }

  async function late() {
    const child = producer({ graceMs, value: 0 })
    expect(await child.message()).toBe('locked')
    await until(async () => (await agesOf(1)).every(ageMs => ageMs > graceMs))
    return child
  }

  /** A further trigger is as soon in the queue as it may have to wait for a claim whose job does not come. */
  async function triggers(queue: TestQueue): Promise<void> {
    const startMs = performance.now()
    await queue.addUnique('sync', data(2))
    expect(performance.now() - startMs).toBeLessThan(graceMs + 5_000)
  }

  const exactly = (values: readonly number[], which: readonly number[]) =>
    expect(sorted(values.filter(value => value === 0 || value === 2))).toEqual(which)

  test.each(cells)('%s, after its step %i, and the late job %s: %s', async (taker, at, job, place) => {
    const first = place === 'behind another' ? await inFront(1, graceMs) : null
    const child = await late()
    if (job === 'never comes') await child.kill()
    const doomed = producer({ graceMs, value: 1, halts: [at], ...TAKERS[taker].config })
    expect(await doomed.message()).toBe('locked')
    await doomed.kill()
    if (job === 'comes then') {
      child.process.send('go')
      await child.message()
    }
    const queue = bench.queue(merging, { solo: bench.solo, graceMs })
    await triggers(queue)
    const told = work()
    await first?.remove()
    await untilClean(queue)
    exactly(told.values, job === 'comes then' ? [0, 2] : [2])
    expect(told.mostAtOnce).toBe(1)
  })

  test.each(PLACES)('after it took over what a job has that came after it was looked at: %s', async place => {
    const first = place === 'behind another' ? await inFront(1, graceMs) : null
    const child = await late()
    const doomed = producer({ graceMs, value: 1, halts: [3, 4], ...TAKERS['a trigger that joins'].config })
    expect(await doomed.message()).toBe('locked')
    child.process.send('go')
    await child.message()
    const told = work()
    const queue = bench.queue(merging, { solo: bench.solo, graceMs })
    if (first === null) await until(() => told.values.length > 0)
    doomed.process.send('go')
    expect(await doomed.message()).toBe('locked')
    await doomed.kill()
    await triggers(queue)
    await first?.remove()
    await untilClean(queue)
    exactly(told.values, [0, 2])
    expect(told.mostAtOnce).toBe(1)
  })
})
