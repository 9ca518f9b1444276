import { type Job, type JobRun, parseJobMeta } from 'soloist'
import { describe, expect, test } from 'vitest'
import { ManualClock } from '../support/manual-clock.js'
import { deferred, kinds, Store } from './support.js'

// The options beyond mode and strategy, with a thousand triggers in one tick.

const KEY = { uniqueOn: () => 1 } as const
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)
const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b)

async function thousand<R>(job: Job<number, R>) {
  const outcomes = await Promise.all(numbers(1_000).map(n => job.trigger(n)))
  const statuses: Record<string, number> = {}
  for (const { status } of outcomes) statuses[status] = (statuses[status] ?? 0) + 1
  return { outcomes, statuses }
}

// This waits most of its time.
describe.concurrent.each(kinds)('a thousand triggers in one tick, on %s', kind => {
  test.concurrent('debounce: one run, of the last', { timeout: 120_000 }, async ({ expect }) => {
    await using store = Store.of(kind)
    const ran: number[] = []
    const job = store.client().job('many', { ...KEY, debounce: { waitMs: 10_000 } }, (n: number) => ran.push(n))
    const { outcomes } = await thousand(job)
    await Promise.all(outcomes.map(outcome => outcome.result()))
    expect(ran).toEqual([999])
  })
})

describe.each(kinds)('a thousand triggers in one tick, on %s', kind => {
  test('limit: never more at once, and all of them run', async () => {
    await using store = Store.of(kind)
    let [live, most] = [0, 0]
    const full = deferred()
    const ran: number[] = []
    const job = store.client().job('many', { ...KEY, limit: 3, onDuplicate: 'delay' }, async (n: number) => {
      live += 1
      most = Math.max(most, live)
      ran.push(n)
      if (live === 3) full.resolve()
      await full.promise
      await new Promise(setImmediate)
      live -= 1
    })
    const { outcomes } = await thousand(job)
    await Promise.all(outcomes.map(outcome => outcome.result()))
    expect([most, sorted(ran)]).toEqual([3, numbers(1_000)])
    await expect.poll(() => store.inUse()).toEqual([])
    expect(store.troubles).toEqual([])
  })

  test('maxRunMs: what came while a run hangs is run when its time is up', async ({ expect }) => {
    await using store = Store.of(kind)
    const clock = new ManualClock()
    const ran: number[] = []
    const hung: JobRun[] = []
    // By the store's clock its lease stands all the while.
    const options = { ...KEY, ttlMs: 600_000, maxRunMs: 10_000, onDuplicate: 'rerun' } as const
    const job = store.client({ clock }).job('many', options, async (n: number, run) => {
      ran.push(n)
      if (n >= 0) return
      hung.push(run)
      await new Promise(() => {})
    })
    const first = await job.trigger(-1)
    const { outcomes, statuses } = await thousand(job)
    expect(statuses).toEqual({ deferred: 1_000 })
    await clock.advance(9_990)
    expect([ran, hung[0]?.signal.aborted]).toEqual([[-1], false])
    await clock.advance(20)
    await expect(first.result()).rejects.toMatchObject({ code: 'RUN_TIMEOUT' })
    expect(() => hung[0]?.assertValid()).toThrow(expect.objectContaining({ code: 'RUN_TIMEOUT' }))
    await Promise.all(outcomes.map(outcome => outcome.result()))
    expect(ran).toEqual([-1, 999])
    await expect.poll(() => store.inUse()).toEqual([])
  })

  test('releaseOnFailure: one starts; when it fails, one of the next thousand does', async ({ expect }) => {
    await using store = Store.of(kind)
    const options = { ...KEY, mode: 'untilExpired', expiryMs: 600_000, releaseOnFailure: true } as const
    let gate = deferred()
    const job = store.client().job('many', options, async (_: number) => {
      await gate.promise
      throw new Error('as it should')
    })
    for (let i = 0; i < 3; i += 1) {
      gate = deferred()
      const { outcomes, statuses } = await thousand(job)
      expect(statuses).toEqual({ started: 1, duplicate: 999 })
      gate.resolve()
      for (const outcome of outcomes) await expect(outcome.result()).rejects.toThrow('as it should')
    }
  })

  test('describe: each that waits is shown with its own', async () => {
    await using store = Store.of(kind)
    const solo = store.client()
    const gate = deferred()
    const options = { ...KEY, onDuplicate: 'delay', describe: (n: number) => `value ${n}` } as const
    const job = solo.job('many', options, (_: number) => gate.promise)
    await job.trigger(-1)
    const { outcomes } = await thousand(job)
    const state = await solo.jobs.inspect(`job:many:${job.key(1)}`)
    const shown = (state?.waiters ?? []).map(({ owner, meta }) => [owner, parseJobMeta(meta)?.description])
    const ids = new Map(outcomes.map(({ id }, n) => [id, `value ${n}`]))
    expect(shown.length).toBeGreaterThan(0)
    for (const [owner, description] of shown) expect(description).toBe(ids.get(owner as string))
    expect(parseJobMeta(state?.holders[0]?.meta ?? null)?.description).toBe('value -1')
    gate.resolve()
    await Promise.all(outcomes.map(outcome => outcome.result()))
  })
})
