import type { JobsOptions } from 'bullmq'
import { connect } from 'soloist'
import type { SingletonJobOptions, SingletonMode, SingletonStrategy } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import { type Bench, connectionTo, type Data, type Recorder, type TestQueue, until, untilIdle, useBench } from './support.js'

// Jobs of one key in one `addBulk`, and what else is added at the same time.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)
/** What waits for it to pass fails. */
const NEVER_MS = 600_000

type All = Data & { readonly all?: readonly number[] }
const valuesOf = ({ all, value }: All): readonly number[] => all ?? [value]
const merging = {
  uniqueOn: ['key'] as const,
  onDuplicate: 'rerun',
  merge: (a: All, b: All): All => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] }),
} as const

type Steps = 'one step' | 'two steps'
const solo = (steps: Steps) => (steps === 'one step' ? {} : { solo: bench.solo })

describe.each(['one step', 'two steps'] as const)('lock and job in %s', steps => {
  test('three of one key: one starts, and the others are told of it at once', async () => {
    const queue = bench.queue({}, { ...solo(steps), graceMs: NEVER_MS })
    const jobs = await queue.addBulk([1, 2, 3].map(value => ({ name: 'sync', data: data(value) })))
    expect(jobs.map(job => job.singleton?.status)).toEqual(['started', 'duplicate', 'duplicate'])
    expect(new Set(jobs.map(job => job.id)).size).toBe(1)
    expect(await queue.getJobCounts()).toMatchObject({ waiting: 1, delayed: 0 })
    expect(Object.keys(await bench.held())).toHaveLength(1)
  })

  test('a thousand of one key: one starts', async () => {
    const queue = bench.queue({}, { ...solo(steps), graceMs: NEVER_MS })
    const jobs = await queue.addBulk(numbers(1_000).map(value => ({ name: 'sync', data: data(value) })))
    expect(jobs[0]?.singleton?.status).toBe('started')
    expect(jobs.slice(1).every(job => job.singleton?.status === 'duplicate' && job.id === jobs[0]?.id)).toBe(true)
  })

  test('what is merged into an earlier one of the same call, and beside it, is run', async () => {
    const queue = bench.queue(merging as never, { ...solo(steps), graceMs: NEVER_MS })
    await queue.waitUntilReady()
    const bulk = (from: number) => queue.addBulk(numbers(20, from).map(value => ({ name: 'sync', data: data(value) })))
    const adds = (from: number) => numbers(20, from).map(value => queue.add('sync', data(value)))
    const seen: number[] = []
    bench.worker(async job => void seen.push(...valuesOf(job.data)) as never, {
      singleton: { ...solo(steps), jobs: { sync: merging as never } },
    })
    await Promise.all([...adds(0), bulk(20), ...adds(40), bulk(60), ...adds(80)])
    await untilIdle(bench, queue)
    expect(seen.toSorted((a, b) => a - b)).toEqual(numbers(100))
  })
})

describe('addBulk comes to the same in two steps as in one, in each mode with each strategy', () => {
  const modes: readonly SingletonMode[] = [
    ...(['untilExecuted', 'untilExecuting', 'whileExecuting'] as const),
    ...(['untilAndWhileExecuting', 'untilExpired'] as const),
  ]
  const strategies: readonly SingletonStrategy[] = ['join', 'skip', 'reject', 'replace', 'rerun', 'delay']
  const items: Record<string, readonly { readonly key: number; readonly opts?: JobsOptions }[]> = {
    plain: [{ key: 1 }, { key: 1 }, { key: 2 }, { key: 1 }],
    'with ids of their own': [
      { key: 1, opts: { jobId: 'a' } },
      { key: 1, opts: { jobId: 'b' } },
      { key: 2, opts: { jobId: 'c' } },
      { key: 1 },
    ],
    'with one id twice': [
      { key: 1, opts: { jobId: 'a' } },
      { key: 2, opts: { jobId: 'b' } },
      { key: 1, opts: { jobId: 'a' } },
    ],
  }

  async function outcomeOf(steps: Steps, job: SingletonJobOptions<Data>, live: number, which: string) {
    const name = [steps, which, live].join(' ').replaceAll(' ', '-')
    const queue = bench.queue(job, { ...solo(steps), graceMs: NEVER_MS }, name)
    let letGo = () => {}
    const gate = new Promise<void>(resolve => {
      letGo = resolve
    })
    const ran: number[] = []
    const work = () =>
      bench.worker(
        async one => {
          ran.push(one.data.value)
          await gate
          return 0
        },
        { queueName: name, singleton: solo(steps) },
      )
    if (live > 0) {
      await queue.add('sync', data(-1))
      work()
      await until(() => ran.length === 1)
      if (live === 2) await queue.add('sync', data(-2))
    }
    const bulk = (items[which] ?? []).map(({ key, opts }, value) => ({
      name: 'sync',
      data: data(value, key),
      ...(opts === undefined ? {} : { opts: opts as object }),
    }))
    const told = await queue.addBulk(bulk).then(
      jobs =>
        jobs.map(({ id, singleton }) => [
          singleton?.status,
          // One that was removed is told to have finished where that is one step.
          singleton?.status === 'replaced' ? null : (singleton?.state ?? null),
          (id ?? '').length === 1 ? id : jobs.findIndex(other => other.id === id),
        ]),
      (error: { code?: string }) => String(error.code),
    )
    letGo()
    if (live === 0) work()
    await untilIdle(bench, queue)
    const counts = await queue.getJobCounts()
    return { told, ran: ran.toSorted((a, b) => a - b), failed: counts.failed }
  }

  const grid = modes.flatMap(mode => strategies.map(strategy => [mode, strategy] as const))
  test.each(grid)('%s, %s', async (mode, onDuplicate) => {
    for (const which of Object.keys(items)) {
      for (const live of [0, 1, 2]) {
        const expiry = mode === 'untilExpired' ? { expiryMs: 400 } : {}
        const job = { mode, onDuplicate, ...expiry }
        const [one, two] = [await outcomeOf('one step', job, live, which), await outcomeOf('two steps', job, live, which)]
        expect([which, live, two]).toEqual([which, live, one])
      }
    }
  })
})
