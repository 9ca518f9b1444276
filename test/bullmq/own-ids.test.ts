import { type JobMode, type JobStrategy, SoloistError } from 'soloist'
import type { SingletonJobOptions, SingletonOutcome } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import {
  type Bench,
  type Data,
  type Merged,
  merging,
  numbers,
  type Recorder,
  untilIdle,
  useBench,
  valuesOf,
} from './support.js'

// Adds under one id of the caller's at the same time, and what is told of an id that is known.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })
const PAIRS = 8
const modes: readonly JobMode[] = [
  'untilExecuted',
  'untilExecuting',
  'whileExecuting',
  'untilAndWhileExecuting',
  'untilExpired',
]
const strategies: readonly JobStrategy[] = ['join', 'skip', 'reject', 'replace', 'rerun', 'delay']
const cells = modes.flatMap(mode =>
  strategies
    .filter(strategy => mode !== 'untilExpired' || strategy !== 'delay')
    .map(strategy => [mode, strategy] as const),
)
const jobOf = (mode: JobMode, onDuplicate: JobStrategy): SingletonJobOptions<Data> =>
  ({ mode, onDuplicate, ...(mode === 'untilExpired' ? { expiryMs: 4_000 } : {}) }) as never

/** What an add came to: a status, or an error's code. */
const told = async (adding: Promise<{ readonly outcome: { readonly status: string } }>): Promise<string> => {
  try {
    return (await adding).outcome.status
  } catch (error) {
    if (error instanceof SoloistError) return error.code
    throw error
  }
}

const duplicateOf = (strategy: JobStrategy) => (strategy === 'reject' ? 'DUPLICATE_JOB' : 'duplicate')
const follows = (strategy: JobStrategy) => !['join', 'skip', 'reject'].includes(strategy)

describe.each(['one step', 'two steps'] as const)('lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.client() })

  test.each(cells)(
    '%s, %s: of two adds under one id from two queues each is told what becomes of it',
    async (...cell) => {
      const [mode, strategy] = cell
      const job = jobOf(mode, strategy)
      const queues = [bench.queue(job, solo()), bench.queue(job, solo())]
      await Promise.all(queues.map(queue => queue.waitUntilReady()))
      const outcomes = new Map<number, string>()
      for (let pair = 0; pair < PAIRS; pair += 1) {
        await Promise.all(
          queues.map(async (queue, i) => {
            const value = 2 * pair + i
            // Every other pair has one key.
            const key = pair % 2 === 0 ? pair : 1_000 + value
            outcomes.set(value, await told(queue.addUnique('sync', data(value, key), { jobId: `id-${pair}` })))
          }),
        )
      }
      for (let pair = 0; pair < PAIRS; pair += 1) {
        const both = [outcomes.get(2 * pair), outcomes.get(2 * pair + 1)]
        const sameKey = pair % 2 === 0
        if (!follows(strategy)) expect(both.toSorted()).toEqual([duplicateOf(strategy), 'started'].toSorted())
        else if (!sameKey || mode === 'whileExecuting') expect(both).toEqual(['started', 'started'])
        else expect(both.filter(one => one === 'started')).toHaveLength(1)
      }
      bench.worker(runs.run, { singleton: solo() })
      await untilIdle(bench, queues[0] as never)
      for (let pair = 0; pair < PAIRS; pair += 1) {
        const both = [2 * pair, 2 * pair + 1]
        const ran = both.filter(value => runs.started.includes(value))
        if (!follows(strategy)) expect(ran).toEqual(both.filter(value => outcomes.get(value) === 'started'))
        else if (pair % 2 === 1 || strategy === 'delay') expect(ran).toEqual(both)
        // The newer data is in the place of the older.
        else expect(ran.length).toBeGreaterThan(0)
      }
      expect(runs.started).toHaveLength(new Set(runs.started).size)
    },
  )

  test('what is merged under one id loses nothing', async () => {
    const queues = [bench.queue(merging as never, solo()), bench.queue(merging as never, solo())]
    await Promise.all(queues.map(queue => queue.waitUntilReady()))
    for (let pair = 0; pair < PAIRS; pair += 1) {
      await Promise.all(
        queues.map((queue, i) => queue.add('sync', data(2 * pair + i, pair % 3), { jobId: `id-${pair}` })),
      )
    }
    const seen: number[] = []
    bench.worker(
      async job => {
        seen.push(...valuesOf(job.data as Merged))
        return 0
      },
      { singleton: { ...solo(), jobs: { sync: merging as never } } },
    )
    await untilIdle(bench, queues[0] as never)
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 2 * PAIRS }, (_, i) => i))
  })

  test('calls of addBulk and addUnique that have ids in common, in whatever order, get on with each other', async () => {
    const job = jobOf('untilExecuted', 'rerun')
    const queues = [bench.queue(job, solo()), bench.queue(job, solo())]
    await Promise.all(queues.map(queue => queue.waitUntilReady()))
    const ids = ['a', 'b', 'c', 'd', 'e']
    const items = (from: number, order: readonly string[]) =>
      order.map((jobId, i) => ({ name: 'sync', data: data(from + i, from + i), opts: { jobId } }))
    const statuses = await Promise.all([
      queues[0]?.addBulk(items(0, ids)),
      queues[1]?.addBulk(items(10, ids.toReversed())),
      queues[0]?.addBulk(items(20, ['c', 'c', 'a'])),
      queues[1]?.add('sync', data(30, 30), { jobId: 'e' }),
    ])
    expect(statuses.flat().map(one => one?.singleton?.status)).toEqual(Array(14).fill('started'))
    bench.worker(runs.run, { singleton: solo() })
    await untilIdle(bench, queues[0] as never)
    expect(runs.started.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22, 30])
  })

  test.each(['untilExecuted', 'untilExecuting'] as const)(
    '%s: of a known id is told how far its job is, also to another key',
    async mode => {
      runs.hold()
      for (const strategy of ['join', 'skip', 'reject'] as const) {
        const queue = bench.queue(jobOf(mode, strategy), solo(), strategy)
        const state = async (key: number) => {
          try {
            const { outcome } = await queue.addUnique('sync', data(2, key), { jobId: 'mine' })
            return [outcome.status, outcome.id, outcome.state, typeof outcome.ageMs]
          } catch (error) {
            const { code, id, state, ageMs } = error as SoloistError & Record<string, unknown>
            return [code, id, state, typeof ageMs]
          }
        }
        await queue.add('sync', data(1), { jobId: 'mine' })
        const what = duplicateOf(strategy)
        for (const key of [1, 2]) expect(await state(key)).toEqual([what, 'mine', 'queued', 'number'])
        const worker = bench.worker(runs.run, { singleton: solo(), queueName: strategy })
        await runs.untilStarted(1)
        for (const key of [1, 2]) expect(await state(key)).toEqual([what, 'mine', 'running', 'number'])
        const completed = new Promise(resolve => worker.once('completed', resolve))
        runs.letGo()
        await completed
        for (const key of [1, 2]) expect(await state(key)).toEqual([what, 'mine', 'finished', 'number'])
        runs.started.length = 0
        runs.hold()
      }
    },
  )
})

describe.each(['one step', 'two steps'] as const)('flows, lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.client(), graceMs: 20_000 })
  const node = (value: number, key: number, jobId: string) => ({
    ...{ name: 'sync', queueName: 'work', data: data(value, key), opts: { jobId } },
  })
  const toldOf = ({ job }: { readonly job: object }) => (job as { singleton: SingletonOutcome }).singleton

  test.each(['join', 'replace', 'rerun', 'delay'] as const)(
    '%s: of two flows and an add at once under one id each has a run of its own, or is told that it has none',
    async onDuplicate => {
      const job = jobOf('untilExecuted', onDuplicate)
      const queue = bench.queue(job, solo())
      const flows = [bench.flows(job, solo()), bench.flows(job, solo())] as const
      const outcomes = new Map<number, string>()
      for (const i of numbers(PAIRS)) {
        const values = numbers(3, 3 * i)
        const [one, two, three] = values as [number, number, number]
        // Every other three have one key.
        const keys = values.map(value => (i % 2 === 0 ? i : 1_000 + value)) as [number, number, number]
        const id = `id-${i}`
        const told = await Promise.all([
          flows[0].add(node(one, keys[0], id)).then(toldOf),
          flows[1].add(node(two, keys[1], id)).then(toldOf),
          queue.addUnique('sync', data(three, keys[2]), { jobId: id }).then(({ outcome }) => outcome),
        ])
        for (const [at, { status }] of told.entries()) outcomes.set(values[at] as number, status)
      }
      bench.worker(runs.run, { singleton: solo() })
      await untilIdle(bench, queue)
      // What is replaced or run again may have the data of another.
      const changes = onDuplicate === 'replace' || onDuplicate === 'rerun'
      for (const [value, status] of outcomes) {
        if (status === 'duplicate' && onDuplicate === 'join') expect(runs.started).not.toContain(value)
        const alone = Math.floor(value / 3) % 2 === 1
        if (status === 'started' && (alone || !changes)) expect(runs.started).toContain(value)
        if (alone && onDuplicate !== 'join') expect([value, status]).toEqual([value, 'started'])
      }
      expect(runs.started).toHaveLength(new Set(runs.started).size)
    },
  )

  test('of two flows at once whose roots have one id, and children, one is told that the other stands for it', async () => {
    const queue = bench.queue({}, solo())
    const flows = [bench.flows({}, solo()), bench.flows({}, solo())] as const
    const flow = (value: number, i: number) => ({
      ...node(value, value, `id-${i}`),
      children: [{ name: 'sync', queueName: 'work', data: data(100 + value, 100 + value) }],
    })
    const statuses: string[][] = []
    for (const i of numbers(PAIRS)) {
      const told = await Promise.all([flows[0].add(flow(2 * i, i)), flows[1].add(flow(2 * i + 1, i))])
      expect(told.map(({ job }) => job.id)).toEqual([`id-${i}`, `id-${i}`])
      statuses.push(told.map(one => toldOf(one).status))
    }
    expect(statuses.map(two => two.toSorted())).toEqual(numbers(PAIRS).map(() => ['duplicate', 'started']))
    bench.worker(runs.run, { singleton: solo() })
    await untilIdle(bench, queue)
    const roots = numbers(2 * PAIRS).filter(value => statuses[Math.floor(value / 2)]?.[value % 2] === 'started')
    expect(runs.started.toSorted((a, b) => a - b)).toEqual([...roots, ...numbers(2 * PAIRS, 100)])
  })

  test('a known id: a job without children gets another, one with children stands', async () => {
    const queue = bench.queue({}, solo())
    const flows = bench.flows({}, solo())
    await flows.add({ ...node(0, 0, 'mine'), children: [node(5, 5, 'ours')] })
    const leaf = await flows.add(node(1, 1, 'mine'))
    const bound = await flows.add({ ...node(2, 2, 'mine'), children: [node(3, 3, 'yours'), node(4, 4, 'yours')] })
    expect(toldOf(leaf)).toMatchObject({ status: 'started', id: leaf.job.id })
    expect(leaf.job.id).not.toBe('mine')
    expect(toldOf(bound)).toMatchObject({ status: 'duplicate', id: 'mine', state: expect.any(String) })
    const children = bound.children ?? []
    expect(children.map(child => toldOf(child).status)).toEqual(['started', 'started'])
    expect(children.map(({ job }) => job.id === 'yours')).toEqual([true, false])
    bench.worker(runs.run, { singleton: solo() })
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual([0, 1, 3, 4, 5])
    expect(runs.started.at(-1)).toBe(0)
  })
})

test('an id whose producer died while it added is free again after a while', async () => {
  const queue = bench.queue({}, { solo: bench.solo })
  const name = `job:bullmq:${bench.prefix}:${bench.queueName}:mine`
  const from = performance.now()
  expect(await bench.solo.jobs.take(name, 'who died', { ttlMs: 700 })).toMatchObject({ status: 'granted' })
  expect((await queue.addUnique('sync', data(1), { jobId: 'mine' })).outcome.status).toBe('started')
  expect(performance.now() - from).toBeGreaterThan(690)
  expect(await bench.held()).not.toHaveProperty(name)
})

test('an id that is known meanwhile is waited for no longer', async () => {
  const [queue, plain] = [bench.queue({}, { solo: bench.solo }), bench.queue({}, {})]
  const name = `job:bullmq:${bench.prefix}:${bench.queueName}:mine`
  await bench.solo.jobs.take(name, 'somebody')
  const adding = queue.addUnique('sync', data(1), { jobId: 'mine' })
  await plain.add('other', data(2), { jobId: 'mine' })
  expect((await adding).outcome).toMatchObject({ status: 'duplicate', id: 'mine' })
  await bench.solo.jobs.release(name, 'somebody')
})

test.each(['rerun', 'replace', 'delay'] as const)(
  '%s: who would get another id anyway does not wait for one that somebody is about to add under',
  async onDuplicate => {
    await bench.solo.jobs.take(`job:bullmq:${bench.prefix}:work:mine`, 'another', { ttlMs: 600_000 })
    const queue = bench.queue({ onDuplicate }, { solo: bench.solo })
    const { job, outcome } = await queue.addUnique('sync', data(1), { jobId: 'mine' })
    expect(outcome).toEqual({ status: 'started', id: job?.id, guaranteed: true })
    const bulk = await queue.addBulk([{ name: 'sync', data: data(2, 2), opts: { jobId: 'mine' } }])
    expect([outcome.id, bulk[0]?.id]).not.toContain('mine')
  },
)
