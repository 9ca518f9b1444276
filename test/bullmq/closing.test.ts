import { once } from 'node:events'
import { beforeEach, expect, test } from 'vitest'
import { type RedisProxy, startProxy } from '../support/proxy.js'
import { Child } from './children.js'
import {
  type Bench,
  connectionTo,
  type Merged,
  merging,
  numbers,
  type TestQueue,
  until,
  useBench,
  valuesOf,
} from './support.js'

// A thousand adds are under way while what adds them is closed: each is accepted, and then run by somebody, or rejects with a
// `SoloistError`. `close()` resolves, and leaves no connection, timer or lock.

let bench: Bench
useBench('may fail', fresh => {
  bench = fresh
})
let proxy: RedisProxy
beforeEach(async () => {
  proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(() => proxy.close())
})

const COUNT = 1_000
/** Five seconds of silence, two until a connection is ended that nobody answers, and what a busy machine takes. */
const CLOSES_MS = 15_000

interface Told {
  readonly closed: readonly string[]
  readonly closeMs: number
  readonly outcomes: readonly string[]
  readonly ran: readonly number[]
}
type Redis = 'answers' | 'is silent' | 'is gone'

const strike = (redis: Redis) => {
  if (redis === 'is silent') proxy.blackhole()
  if (redis !== 'is gone') return
  // Nobody listens there.
  proxy.retarget(1)
  proxy.resetAll()
}
const mend = () => {
  proxy.heal()
  proxy.retarget(connectionTo(bench.url).port)
}

/** Starts the processes, disturbs and closes them, and lets them end. */
async function closedMidway(config: object, atOnce: boolean, processes: number, redis: Redis): Promise<Told> {
  const count = COUNT / processes
  const children = numbers(processes).map(
    i => new Child(bench, 'closing.js', { ...config, port: proxy.port, atOnce, from: i * count, count, keys: 50 }),
  )
  for (const child of children) expect(await child.message()).toBe('ready')
  const exits = children.map(child => once(child.process, 'exit'))
  const before = (await bench.redis.keys(`${bench.prefix}*`)).length
  if (atOnce) strike(redis)
  for (const child of children) child.process.send('go')
  if (!atOnce) {
    await until(async () => (await bench.redis.keys(`${bench.prefix}*`)).length > before)
    strike(redis)
    for (const child of children) child.process.send('close')
  }
  const all = (await Promise.all(children.map(child => child.message()))) as Told[]
  mend()
  // A connection or timer that is left would keep it from ending.
  for (const child of children) child.process.send('end')
  expect(await Promise.all(exits)).toEqual(children.map(() => [0, null]))
  return {
    closed: all.flatMap(({ closed }) => closed),
    closeMs: Math.max(...all.map(({ closeMs }) => closeMs)),
    outcomes: all.flatMap(({ outcomes }) => outcomes),
    ran: all.flatMap(({ ran }) => ran),
  }
}

/** Runs what is in the queue, and gives up what nobody has a job for. @returns the values that were run */
async function runAll(apart: boolean): Promise<number[]> {
  const seen: number[] = []
  const singleton = { graceMs: 2_000, ...(apart ? { solo: bench.solo } : {}) }
  const queue: TestQueue = bench.queue(merging as never, singleton)
  const run = async ({ data }: { readonly data: Merged }) => seen.push(...valuesOf(data))
  const options = {
    concurrency: 20,
    stalledInterval: 300,
    singleton: { ...singleton, jobs: { sync: merging } as never },
  }
  const worker = bench.worker(run, options)
  await until(async () => (await queue.getJobCountByTypes('active', 'waiting', 'delayed')) === 0)
  if (!apart) expect(await bench.held()).toEqual({})
  await until(async () => {
    await queue.sweep()
    return Object.keys(await bench.held()).length === 0
  })
  await worker.close()
  return seen
}

function check({ closed, closeMs, outcomes }: Told, runs: readonly number[]): void {
  expect(closed.filter(told => told !== 'done')).toEqual([])
  expect(closeMs).toBeLessThan(CLOSES_MS)
  expect(outcomes).toHaveLength(COUNT)
  const unknown = outcomes.filter(told => !['done', 'BACKEND_UNAVAILABLE', 'CLOSED'].includes(told))
  expect([...new Set(unknown)]).toEqual([])
  const ran = new Set(runs)
  expect(numbers(COUNT).filter(value => outcomes[value] === 'done' && !ran.has(value))).toEqual([])
}

const hows = ['add', 'addBulk', 'flow'] as const
const cases = (['answers', 'is silent', 'is gone'] as const).flatMap(redis =>
  hows.flatMap(how => [false, true].map(apart => ({ redis, how, apart, steps: apart ? 'two steps' : 'one step' }))),
)

test.each(cases)('Redis $redis: four processes close in the tick of their adds: $how, $steps', async one => {
  const told = await closedMidway(one, true, 4, one.redis)
  check(told, await runAll(one.apart))
})

test.each(cases)('Redis $redis: a process closes when the first jobs are there: $how, $steps', async one => {
  const told = await closedMidway(one, false, 1, one.redis)
  check(told, await runAll(one.apart))
})

test.each(hows.flatMap(how => [false, true].map(apart => ({ how, apart, steps: apart ? 'two steps' : 'one step' }))))(
  'four processes that run jobs, too, close when the first are there: $how, $steps',
  async one => {
    const told = await closedMidway({ ...one, runs: true }, false, 4, 'answers')
    check(told, [...told.ran, ...(await runAll(one.apart))])
  },
)
