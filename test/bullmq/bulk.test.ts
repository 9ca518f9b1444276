import type { JobsOptions } from 'bullmq'
import { connect } from 'soloist'
import {
  SingletonFlowProducer,
  type SingletonJobOptions,
  type SingletonMode,
  type SingletonStrategy,
} from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import {
  type Bench,
  connectionTo,
  type Data,
  merging,
  numbers,
  type Recorder,
  until,
  untilIdle,
  useBench,
  valuesOf,
} from './support.js'

// Jobs of one key in one `addBulk`, and what else is added at the same time.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })
/** What waits for it to pass fails. */
const NEVER_MS = 600_000

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
    // In these modes runs may overlap, and a worker with room would take up what is to be met.
    const alone = job.mode !== 'untilExecuting' && job.mode !== 'untilExpired'
    const work = () =>
      bench.worker(
        async one => {
          ran.push(one.data.value)
          await gate
          return 0
        },
        { queueName: name, singleton: solo(steps), concurrency: alone ? 5 : 1 },
      )
    if (live > 0) {
      await queue.add('sync', data(-1))
      work()
      await until(() => ran.length === 1)
      // With `reject` it is refused.
      if (live === 2) await queue.add('sync', data(-2)).catch(() => null)
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

  /** What is there before: nothing; one that runs; one more that waits. Of these `npm run test:crowds` has all. */
  const LIVE = process.env.SOLOIST_TESTS === 'crowds' ? [0, 1, 2] : [2]
  const grid = modes.flatMap(mode => strategies.map(strategy => [mode, strategy] as const))
  test.each(grid)('%s, %s', async (mode, onDuplicate) => {
    // Where something waits for the end of a period, that has to end, and not before all is added.
    const ends = mode === 'untilExpired' && (onDuplicate === 'rerun' || onDuplicate === 'delay')
    const expiry = mode === 'untilExpired' ? { expiryMs: ends ? 4_000 : NEVER_MS } : {}
    const compare = async (which: string) => {
      for (const live of ends ? [0] : LIVE) {
        const job = { mode, onDuplicate, ...expiry }
        const [one, two] = await Promise.all([
          outcomeOf('one step', job, live, which),
          outcomeOf('two steps', job, live, which),
        ])
        expect([which, live, two]).toEqual([which, live, one])
      }
    }
    await Promise.all(Object.keys(items).map(compare))
  })
})

describe.each(['one step', 'two steps'] as const)('flows of one call, lock and job in %s', steps => {
  test.each(['join', 'reject'] as const)('those of one key run one after the other: %s', async onDuplicate => {
    const queue = bench.queue({ onDuplicate }, { ...solo(steps), graceMs: NEVER_MS })
    const flows = new SingletonFlowProducer({
      ...{ connection: connectionTo(bench.url), prefix: bench.prefix },
      singleton: {
        ...(steps === 'one step' ? { prefix: bench.lockPrefix } : solo(steps)),
        ...{ graceMs: NEVER_MS, jobs: { sync: { uniqueOn: ['key'], onDuplicate } } },
      },
    })
    bench.closeLater(() => flows.close())
    const flow = (value: number, key = 1) => ({ name: 'sync', queueName: 'work', data: data(value, key) })
    const added = await flows.addBulk([flow(1), { ...flow(2, 2), children: [flow(3)] }, flow(4)])
    const statuses = added.map(({ job }) => (job as { singleton?: { status: string } }).singleton?.status)
    expect(statuses).toEqual(['started', 'started', 'deferred'])
    bench.worker(runs.run, { singleton: solo(steps) })
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual([1, 2, 3, 4])
  })
})

describe('in two steps', () => {
  test('what nothing is in the way of is one call for the locks and one for the jobs, in their order, with their ids', async () => {
    const modes = [
      'untilExecuted',
      'untilExecuting',
      'whileExecuting',
      'untilAndWhileExecuting',
      'untilExpired',
    ] as const
    for (const mode of modes) {
      const proxy = await startProxy(connectionTo(bench.url).port)
      bench.closeLater(() => proxy.close())
      const locks = connect(proxy.url, { prefix: bench.lockPrefix })
      bench.closeLater(() => locks.close())
      const expiry = mode === 'untilExpired' ? { expiryMs: NEVER_MS } : {}
      const queue = bench.queue({ mode, ...expiry }, { solo: locks }, mode)
      // From now on the server has the scripts.
      await queue.add('sync', data(-1, -1), { jobId: `first-${mode}` })
      let steps = 0
      // Each matches nothing, and counts.
      proxy.dropReplyTo(([command = '', , , key = '']) => {
        if (/^eval(sha)?$/i.test(command) && key.includes(bench.lockPrefix)) steps += 1
        return false
      }, 'reset')
      const add = queue.getBackend?.().addJobs.bind(queue.getBackend())
      let calls = 0
      if (add !== undefined) {
        queue.getBackend().addJobs = async jobs => {
          calls += 1
          return await add(jobs)
        }
      }
      const opts = (i: number) => (i % 2 === 0 ? {} : { opts: { jobId: `id-${mode}-${i}` } })
      const jobs = await queue.addBulk(numbers(20).map(i => ({ name: 'sync', data: data(i, i), ...opts(i) })))
      expect(jobs.map(job => job.singleton?.status)).toEqual(numbers(20).map(() => 'started'))
      // Of those with an id of their own the lock is looked at before, and their ids are claimed and let go of by a call each;
      // with whileExecuting no lock is claimed. A period starts in a step of its own.
      const ofLocks = { whileExecuting: 20, untilExpired: 2 } as { readonly [mode: string]: number }
      expect([mode, steps]).toEqual([mode, 10 + 2 + (ofLocks[mode] ?? 1)])
      if (add !== undefined) expect(calls).toBe(1)
      const waiting = await queue.getJobs(['wait'], 0, -1, true)
      expect(waiting.map(job => job.data.value)).toEqual(numbers(21, -1))
      expect(waiting.map(({ id }) => id).filter(id => id?.startsWith('id-'))).toHaveLength(10)
    }
  })

  test('a job whose key is held up by others does not hold up the rest of its call', async () => {
    const queue = bench.queue({}, { solo: bench.solo, graceMs: 5_000 })
    await queue.add('sync', data(0, 7))
    const [lock = ''] = Object.keys(await bench.held())
    await queue.obliterate()
    // A producer that died between lock and job.
    const gone = `bullmq:${queue.qualifiedName}:gone`
    await bench.solo.jobs.trigger(lock, gone, { running: 'meet', pending: 'meet' })
    const added = queue.addBulk([1, 7, 2].map(key => ({ name: 'sync', data: data(key, key) })))
    await until(async () => (await queue.getJobCounts()).waiting === 2)
    // The grace time is not over.
    expect((await bench.held())[lock]).toBe(gone)
    expect((await added).map(job => job.singleton?.status)).toEqual(['started', 'recovered', 'started'])
  })

  test('what was left with a job that never came is run, whoever finds out', async () => {
    const queue = bench.queue(merging as never, { solo: bench.solo, graceMs: 3_000 })
    await queue.add('sync', data(-1))
    const [lock = ''] = Object.keys(await bench.held())
    await queue.obliterate()
    const gone = `bullmq:${queue.qualifiedName}:gone`
    await bench.solo.jobs.trigger(lock, gone, { running: 'follow', pending: 'follow', begins: true })
    const adds = numbers(20).map(value => queue.addUnique('sync', data(value)))
    const bulk = queue.addBulk(numbers(5, 20).map(value => ({ name: 'sync', data: data(value) })))
    const statuses = (await Promise.all(adds)).map(({ outcome }) => outcome.status)
    await bulk
    expect(statuses.filter(status => status === 'recovered').length).toBeLessThanOrEqual(1)
    const seen: number[] = []
    bench.worker(async job => void seen.push(...valuesOf(job.data)) as never, {
      singleton: { solo: bench.solo, jobs: { sync: merging as never } },
    })
    await untilIdle(bench, queue)
    expect([...new Set(seen)].toSorted((a, b) => a - b)).toEqual(numbers(25))
  })
})
