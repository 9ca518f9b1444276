import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { startRedis } from '../support/redis-server.js'
import { Child } from './children.js'
import { Bench, type Data, type Recorder, until, untilIdle, useBench } from './support.js'

// Many triggers, many that wait: once more means once, order is kept, and waiting costs nothing.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

interface All extends Data {
  readonly all?: readonly number[]
}
const valuesOf = ({ all, value }: All): readonly number[] => all ?? [value]
const merging = {
  uniqueOn: ['key'] as const,
  onDuplicate: 'rerun' as const,
  merge: (a: All, b: All): All => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] }),
}
const numbers = (count: number, from = 1) => Array.from({ length: count }, (_, i) => from + i)

/** A bench on a server that nobody else uses. */
async function alone(): Promise<Bench> {
  const server = await startRedis()
  bench.closeLater(() => server.stop())
  const own = new Bench(server.url)
  bench.closeLater(() => own.close())
  return own
}

describe.each(['one step', 'two steps'])('rerun, lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })

  test('a thousand triggers in one tick come to exactly one more run, with the newest data', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' }, solo())
    runs.hold()
    bench.worker(runs.run, { singleton: solo() })
    await queue.add('sync', { key: 1, value: 0 })
    await runs.untilStarted(1)
    const outcomes = await Promise.all(numbers(1_000).map(value => queue.addUnique('sync', { key: 1, value })))
    expect(new Set(outcomes.map(({ outcome }) => outcome.id)).size).toBe(1)
    expect(new Set(outcomes.map(({ outcome }) => outcome.status))).toEqual(new Set(['deferred']))
    runs.letGo()
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([0, 1_000])
  })

  test('merge sees the arguments of each of a thousand triggers once, in their order', async () => {
    const queue = bench.queue(merging as never, solo())
    const seen: (readonly number[])[] = []
    runs.hold()
    bench.worker(
      async (job, signal) => {
        seen.push(valuesOf(job.data))
        return await runs.run(job, signal)
      },
      { singleton: { ...solo(), jobs: { sync: merging as never } } },
    )
    await queue.add('sync', { key: 1, value: 0 })
    await runs.untilStarted(1)
    await Promise.all(numbers(1_000).map(value => queue.addUnique('sync', { key: 1, value })))
    runs.letGo()
    await untilIdle(bench, queue)
    expect(seen).toEqual([[0], numbers(1_000)])
  })
})

test('four processes with 250 triggers each come to exactly one more run, and merge sees all of them', async () => {
  const queue = bench.queue(merging as never)
  const seen: (readonly number[])[] = []
  runs.hold()
  bench.worker(
    async (job, signal) => {
      seen.push(valuesOf(job.data))
      return await runs.run(job, signal)
    },
    { singleton: { jobs: { sync: merging as never } } },
  )
  await queue.add('sync', { key: 1, value: 0 })
  await runs.untilStarted(1)
  const children = [0, 1, 2, 3].map(i => new Child(bench, 'triggers.js', { from: 1 + i * 250, count: 250 }))
  for (const child of children) expect(await child.message()).toBe('ready')
  for (const child of children) child.process.send('go')
  for (const child of children) expect(await child.message()).toEqual(['deferred'])
  runs.letGo()
  await untilIdle(bench, queue)
  expect(seen).toHaveLength(2)
  const merged = seen[1] ?? []
  expect(merged.toSorted((a, b) => a - b)).toEqual(numbers(1_000))
  // Those of one process are in its order.
  for (const i of [0, 1, 2, 3]) {
    const own = merged.filter(value => Math.floor((value - 1) / 250) === i)
    expect(own).toEqual(own.toSorted((a, b) => a - b))
  }
})

test('500 jobs of one key run one by one, in the order in which they were added', { timeout: 120_000 }, async () => {
  const queue = bench.queue({ mode: 'whileExecuting', onDuplicate: 'delay' })
  await queue.addBulk(numbers(500).map(value => ({ name: 'sync', data: { key: 1, value } })))
  for (let i = 0; i < 3; i += 1) bench.worker(runs.run, { concurrency: 50 })
  await runs.untilStarted(500)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual(numbers(500))
  expect(runs.mostAtOnce).toBe(1)
})

test('1,000 jobs that wait for one key cost fewer than 10 Redis calls a second', { timeout: 120_000 }, async () => {
  const own = await alone()
  const queue = own.queue({ mode: 'whileExecuting', onDuplicate: 'delay' })
  runs.hold()
  own.worker(runs.run, { concurrency: 50 })
  await queue.add('sync', { key: 1, value: 0 })
  await runs.untilStarted(1)
  await queue.addBulk(numbers(1_000).map(value => ({ name: 'sync', data: { key: 1, value } })))
  await until(async () => ((await queue.getJobCounts()).delayed ?? 0) === 1_000)
  const calls = async () => Number(/total_commands_processed:(\d+)/.exec(await own.redis.info('stats'))?.[1])
  const [before, sinceMs] = [await calls(), performance.now()]
  await sleep(5_000)
  const seconds = (performance.now() - sinceMs) / 1_000
  // Two of these are the test's.
  expect(((await calls()) - before - 2) / seconds).toBeLessThan(10)
  expect(await own.redis.xlen(`${own.prefix}:work:events`)).toBeLessThan(10_000)
  runs.letGo()
  await runs.untilStarted(1_001)
  expect(runs.started).toEqual([0, ...numbers(1_000)])
  await until(async () => ((await queue.getJobCounts()).active ?? 0) === 0)
})

test('10,000 jobs that wait for one key do not delay jobs of other keys', { timeout: 120_000 }, async () => {
  const own = await alone()
  const queue = own.queue({ mode: 'whileExecuting', onDuplicate: 'delay' })
  const cold: number[] = []
  let hot = 0
  let letGo: () => void = () => {}
  const held = new Promise<void>(resolve => {
    letGo = resolve
  })
  const items = numbers(10_000).map(value => ({
    name: 'sync',
    data: { key: 0, value },
    opts: { removeOnComplete: true },
  }))
  for (let i = 0; i < items.length; i += 1_000) await queue.addBulk(items.slice(i, i + 1_000))
  await queue.addBulk(numbers(79).map(key => ({ name: 'sync', data: { key, value: key } })))
  own.worker(
    async job => {
      if (job.data.key === 0) {
        hot += 1
        await held
      } else cold.push(job.data.key)
      return 0
    },
    { concurrency: 20 },
  )
  await until(() => cold.length === 79)
  // Each of the 10,000 was taken up once, and put aside.
  expect(hot).toBe(1)
  await until(async () => (await queue.getJobCounts()).active === 1)
  expect(await queue.getJobCounts()).toMatchObject({ waiting: 0, delayed: 9_999 })
  // What comes now has none of them before it.
  await queue.addBulk(numbers(79, 100).map(key => ({ name: 'sync', data: { key, value: key } })))
  await until(() => cold.length === 158)
  expect(hot).toBe(1)
  expect((await queue.getJobCounts()).delayed).toBe(9_999)
  await queue.obliterate({ force: true })
  expect(await own.held()).toEqual({})
  letGo()
  await until(() => own.faults.length > 0)
  own.faults.length = 0
})
