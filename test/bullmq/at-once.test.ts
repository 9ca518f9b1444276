import { SoloistError } from 'soloist'
import type { SingletonOutcome } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, numbers, type Recorder, until, untilIdle, useBench } from './support.js'

// A thousand triggers in one tick: under ids of their callers', that take the place of a job which a worker takes up just then, of
// flows, and behind claims of producers that died. Of four processes see `crowds.test.ts`.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const MANY = 1_000
const all = numbers(MANY)
const data = (value: number, key = 0) => ({ key, value })
const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b)

/** What each came to: the outcomes in order. */
async function outcomesOf(adds: readonly Promise<SingletonOutcome>[]): Promise<SingletonOutcome[]> {
  return await Promise.all(adds)
}

function counted(outcomes: readonly { readonly status: string }[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { status } of outcomes) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** The values of those that were told something else than that another stands for them. */
const own = (outcomes: readonly SingletonOutcome[]) =>
  all.filter(value => !['duplicate', 'refused'].includes((outcomes[value] as SingletonOutcome).status))

/** No lock is held or waited for, no id is claimed, and nothing of the locks lasts. */
async function untilClean(): Promise<void> {
  await until(async () => {
    const keys = await bench.redis.keys(`*${bench.lockPrefix}*`)
    const left = await Promise.all(keys.map(async key => (await bench.redis.pttl(key)) === -1))
    return Object.keys(await bench.held()).length === 0 && !left.includes(true)
  })
}

describe.each(['one step', 'two steps'] as const)('lock and job in %s', steps => {
  // Longer than a busy machine takes for a thousand triggers: then who has the lock counts as one that died.
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo, graceMs: 20_000 })
  const worker = (concurrency: number) => bench.worker(runs.run, { singleton: solo(), concurrency })

  describe('under ids of their own', () => {
    const add = async (
      onDuplicate: 'join' | 'reject' | 'replace' | 'rerun',
      of: (value: number) => [number, string],
    ) => {
      const queue = bench.queue({ onDuplicate }, solo())
      await queue.waitUntilReady()
      const outcomes = await outcomesOf(
        all.map(async value => {
          const [key, jobId] = of(value)
          try {
            return (await queue.addUnique('sync', data(value, key), { jobId })).outcome
          } catch (error) {
            if (!(error instanceof SoloistError) || error.code !== 'DUPLICATE_JOB') throw error
            return { status: 'refused', id: '', guaranteed: true } as never
          }
        }),
      )
      return { queue, outcomes }
    }

    test.each(['join', 'reject'] as const)(
      'one id and one key, one id and a thousand keys: one runs, %s',
      async strategy => {
        for (const keys of [1, MANY]) {
          const { queue, outcomes } = await add(strategy, value => [value % keys, `mine-${keys}`])
          const other = strategy === 'join' ? 'duplicate' : 'refused'
          expect(counted(outcomes)).toEqual({ started: 1, [other]: MANY - 1 })
          if (strategy === 'join') expect(new Set(outcomes.map(({ id }) => id))).toEqual(new Set([`mine-${keys}`]))
          runs.started.length = 0
          const done = worker(5)
          await untilIdle(bench, queue)
          await done.close()
          expect(runs.started).toEqual(own(outcomes))
          await untilClean()
        }
      },
    )

    test('a thousand ids and one key: one runs, and has its id', async () => {
      const { queue, outcomes } = await add('join', value => [0, `mine-${value}`])
      expect(counted(outcomes)).toEqual({ started: 1, duplicate: MANY - 1 })
      const [value] = own(outcomes)
      expect(new Set(outcomes.map(({ id }) => id))).toEqual(new Set([`mine-${value}`]))
      worker(5)
      await untilIdle(bench, queue)
      expect(runs.started).toEqual([value])
      await untilClean()
    })

    test('rerun, one id and a thousand keys: each runs', async () => {
      const { queue, outcomes } = await add('rerun', value => [value, 'mine'])
      expect(counted(outcomes)).toEqual({ started: MANY })
      const ids = new Set(outcomes.map(({ id }) => id))
      expect([ids.size, ids.has('mine')]).toEqual([MANY, true])
      worker(50)
      await untilIdle(bench, queue)
      expect(sorted(runs.started)).toEqual(all)
      await untilClean()
    })

    test('replace, one id and one key: one runs', async () => {
      const { queue, outcomes } = await add('replace', () => [0, 'mine'])
      expect(counted(outcomes)).toEqual({ started: 1, replaced: MANY - 1 })
      expect(await queue.getJobCountByTypes('waiting', 'delayed')).toBe(1)
      worker(5)
      await untilIdle(bench, queue)
      const [ran] = runs.started as [number]
      expect(runs.started).toHaveLength(1)
      // Whose place nobody took.
      const taken = new Set(outcomes.map(({ owner }) => owner))
      expect(all.filter(value => !taken.has(ownerOf((outcomes[value] as SingletonOutcome).id)))).toEqual([ran])
      await untilClean()
    })
  })

  const ownerOf = (id: string) => `bullmq:${bench.prefix}:work:${id}`

  test.each([{}, { delay: 30 }] as const)(
    'replace of a job that a worker takes up just then: who was not replaced runs, and nobody else, %o',
    async opts => {
      const queue = bench.queue({ onDuplicate: 'replace' }, solo())
      await queue.waitUntilReady()
      worker(5)
      const outcomes = await outcomesOf(
        all.map(async value => (await queue.addUnique('sync', data(value), opts)).outcome),
      )
      await untilIdle(bench, queue)
      expect(new Set(runs.started).size).toBe(runs.started.length)
      expect(runs.mostAtOnce).toBe(1)
      const places = outcomes.filter(({ status, state }) => status === 'replaced' && state !== 'running')
      const taken = new Set(places.map(({ owner }) => owner))
      const rest = all.filter(value => !taken.has(ownerOf((outcomes[value] as SingletonOutcome).id)))
      expect(sorted(runs.started)).toEqual(rest)
      const { failed, completed } = await queue.getJobCounts()
      expect([failed, completed]).toEqual([0, rest.length])
      await untilClean()
    },
  )

  describe('flows', () => {
    const flow = (value: number, key: number, jobId?: string) => ({
      ...{ name: 'sync', queueName: 'work', data: data(value, key) },
      ...(jobId === undefined ? {} : { opts: { jobId } }),
    })
    const toldOf = ({ job }: { readonly job: object }) => (job as { singleton: SingletonOutcome }).singleton

    test('join, of one key: one runs with its child, and stands for the others', async () => {
      const flows = bench.flows({}, solo())
      await flows.waitUntilReady()
      const child = { name: 'other', queueName: 'work', data: data(-1) }
      const outcomes = await outcomesOf(
        all.map(async value => toldOf(await flows.add({ ...flow(value, 0), children: [child] }))),
      )
      expect(counted(outcomes)).toEqual({ started: 1, duplicate: MANY - 1 })
      expect(new Set(outcomes.map(({ id }) => id)).size).toBe(1)
      worker(5)
      await untilIdle(bench, bench.queue({}, solo()))
      expect(runs.started).toEqual([-1, ...own(outcomes)])
      await untilClean()
    })

    test('under one id, of a thousand keys, and as many adds beside them: who started runs', async () => {
      const flows = bench.flows({}, solo())
      const queue = bench.queue({ onDuplicate: 'join' }, solo())
      await Promise.all([flows.waitUntilReady(), queue.waitUntilReady()])
      const half = MANY / 2
      const outcomes = await outcomesOf(
        all.map(async value =>
          value < half
            ? toldOf(await flows.add(flow(value, value, 'mine')))
            : (await queue.addUnique('sync', data(value, value), { jobId: 'mine' })).outcome,
        ),
      )
      expect(outcomes.slice(0, half).every(({ status }) => status === 'started')).toBe(true)
      worker(50)
      await untilIdle(bench, queue)
      expect(sorted(runs.started)).toEqual(own(outcomes))
      expect(outcomes.filter(({ status, id }) => status === 'started' && id === 'mine')).toHaveLength(1)
      await untilClean()
    })
  })
})

describe('behind a producer that died between lock and job', () => {
  const GRACE_MS = 20_000
  const GONE_MS = 60_000

  /** For this client the claims of an owner are as old as if it were gone. */
  function ages(gone: string) {
    const solo = bench.client()
    const older = <R extends { owner: string; ageMs: number | null } | null>(run: R): R =>
      run?.owner === gone ? { ...run, ageMs: GONE_MS } : run
    const { trigger, inspect } = solo.jobs
    solo.jobs.trigger = async (...args) => {
      const told = await trigger.apply(solo.jobs, args)
      if (!('seen' in told)) return told
      const { running, pending, waiting } = told.seen
      return { ...told, seen: { running: older(running), pending: older(pending), waiting: older(waiting) } }
    }
    solo.jobs.inspect = async lock => {
      const state = await inspect.call(solo.jobs, lock)
      if (state === null) return null
      const holders = state.holders.map(one =>
        one.owner === gone ? { ...one, acquiredAtMs: state.atMs - GONE_MS } : one,
      )
      return { ...state, holders }
    }
    return solo
  }

  test.each(['join', 'replace', 'rerun', 'delay'] as const)(
    'one key, %s: its place is taken once',
    async onDuplicate => {
      const count = onDuplicate === 'delay' ? 200 : MANY
      const gone = `bullmq:${bench.prefix}:work:gone`
      const solo = ages(gone)
      const queue = bench.queue({ onDuplicate }, { solo, graceMs: GRACE_MS })
      await queue.add('sync', data(-1))
      const [lock = ''] = Object.keys(await bench.held())
      await queue.obliterate()
      const begins = onDuplicate === 'replace' || onDuplicate === 'rerun'
      await bench.solo.jobs.trigger(lock, gone, { running: 'meet', pending: 'meet', begins })
      const outcomes = await outcomesOf(
        numbers(count).map(async value => (await queue.addUnique('sync', data(value))).outcome),
      )
      const counts = counted(outcomes)
      if (onDuplicate === 'join') expect(counts).toEqual({ recovered: 1, duplicate: count - 1 })
      if (onDuplicate === 'delay') expect(counts).toEqual({ recovered: 1, deferred: count - 1 })
      expect(counts.started).toBeUndefined()
      bench.worker(runs.run, { singleton: { solo, graceMs: GRACE_MS }, concurrency: 20 })
      await untilIdle(bench, queue)
      expect(runs.started).toHaveLength(onDuplicate === 'delay' ? count : 1)
      expect(new Set(runs.started).size).toBe(runs.started.length)
      await untilClean()
    },
  )

  test('one id: one of the others has it once the claim has run out', async () => {
    const name = `job:bullmq:${bench.prefix}:work:mine`
    await bench.solo.jobs.take(name, 'who died', { ttlMs: 700 })
    const queue = bench.queue({}, { solo: bench.solo, graceMs: GRACE_MS })
    const outcomes = await outcomesOf(
      all.map(async value => (await queue.addUnique('sync', data(value, value), { jobId: 'mine' })).outcome),
    )
    expect(counted(outcomes)).toEqual({ started: 1, duplicate: MANY - 1 })
    bench.worker(runs.run, { singleton: { solo: bench.solo } })
    await untilIdle(bench, queue)
    expect(runs.started).toEqual(own(outcomes))
    await untilClean()
  })
})
