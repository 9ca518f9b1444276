import { DuplicateJobError, type JobMode, type JobOutcome, type JobStrategy, type TriggerStatus } from 'soloist'
import { describe, expect, test } from 'vitest'
import { Journal, kinds, Store } from './support.js'

/** A strategy with what becomes of a second and a third trigger while the first one's run executes. */
interface Cell {
  readonly mode: JobMode
  readonly strategy: JobStrategy
  readonly second: TriggerStatus | 'error'
  readonly third: TriggerStatus | 'error'
  /** The triggers whose arguments run, in their order. */
  readonly runs: readonly number[]
  /** Which trigger's run each of the three has the result of; `null`: an error. */
  readonly results: readonly (number | null)[]
}

/** Where the gate is open again once the run executes, the second trigger queues, and the third is the duplicate. */
const rows: readonly (readonly [
  readonly JobMode[],
  JobStrategy,
  Cell['second'],
  Cell['third'],
  Cell['runs'],
  Cell['results'],
])[] = [
  [['untilExecuted', 'whileExecuting', 'untilExpired'], 'join', 'duplicate', 'duplicate', [1], [1, 1, 1]],
  [['untilExecuted', 'whileExecuting', 'untilExpired'], 'reject', 'error', 'error', [1], [1, null, null]],
  [['untilExecuted', 'whileExecuting', 'untilExpired'], 'skip', 'duplicate', 'duplicate', [1], [1, null, null]],
  [['untilExecuted', 'whileExecuting', 'untilExpired'], 'replace', 'replaced', 'replaced', [1, 3], [1, 3, 3]],
  [['untilExecuted', 'whileExecuting', 'untilExpired'], 'rerun', 'deferred', 'deferred', [1, 3], [1, 3, 3]],
  [['untilExecuted', 'whileExecuting', 'untilExpired'], 'delay', 'deferred', 'deferred', [1, 2, 3], [1, 2, 3]],
  [['untilExecuting', 'untilAndWhileExecuting'], 'join', 'deferred', 'duplicate', [1, 2], [1, 2, 2]],
  [['untilExecuting', 'untilAndWhileExecuting'], 'reject', 'deferred', 'error', [1, 2], [1, 2, null]],
  [['untilExecuting', 'untilAndWhileExecuting'], 'skip', 'deferred', 'duplicate', [1, 2], [1, 2, null]],
  [['untilExecuting', 'untilAndWhileExecuting'], 'replace', 'deferred', 'replaced', [1, 3], [1, 3, 3]],
  [['untilExecuting', 'untilAndWhileExecuting'], 'rerun', 'deferred', 'deferred', [1, 3], [1, 3, 3]],
  [['untilExecuting', 'untilAndWhileExecuting'], 'delay', 'deferred', 'deferred', [1, 2, 3], [1, 2, 3]],
]

const cells: readonly Cell[] = rows.flatMap(([modes, strategy, second, third, runs, results]) =>
  modes.map(mode => ({ mode, strategy, second, third, runs, results })),
)

interface Args {
  readonly key: string
  readonly n: number
}

type Triggered = JobOutcome<number> | DuplicateJobError

function errorOrOutcome(triggered: Promise<JobOutcome<number>>): Promise<Triggered> {
  return triggered.catch((error: unknown) => {
    if (error instanceof DuplicateJobError) return error
    throw error
  })
}

describe.concurrent.each(kinds)('on %s', kind => {
  test('the grid is whole', () => {
    expect(new Set(cells.map(({ mode, strategy }) => `${mode} ${strategy}`)).size).toBe(5 * 6)
  })

  test.for(cells)('$mode × $strategy', async ({ mode, strategy, second, third, runs, results }, { expect }) => {
    await using store = Store.of(kind)
    const journal = new Journal<Args, number>()
    const [one, two] = [store.client(), store.client()]
    const waitsForPeriod = mode === 'untilExpired' && (strategy === 'rerun' || strategy === 'delay')
    const period = mode === 'untilExpired' ? { expiryMs: 600_000 } : {}
    const options = { mode, onDuplicate: strategy, uniqueOn: ['key'] as const, ...period }
    const here = one.job(
      'sync',
      options,
      journal.handler('one', ({ n }) => n * 10),
    )
    const there = two.job(
      'sync',
      options,
      journal.handler('two', ({ n }) => n * 10),
    )

    const gate = `job:sync:${here.key({ key: 'k', n: 0 })}`
    const outcomes: Triggered[] = [await here.trigger({ key: 'k', n: 1 })]
    await journal.started(1)
    outcomes.push(await errorOrOutcome(there.trigger({ key: 'k', n: 2 })))
    outcomes.push(await errorOrOutcome(here.trigger({ key: 'k', n: 3 })))
    const id = journal.runs[0]?.id
    const owners = (await one.inspect(`${gate}:run`))?.holders ?? []
    const gates = (await one.inspect(gate))?.holders ?? []
    journal.open()
    if (waitsForPeriod) {
      // The periods are ended by hand.
      for (let i = 1; i < runs.length; i += 1) {
        await journal.ended(i)
        await one.unlock(gate, { owner: journal.runs[i - 1]?.id as string })
        await journal.started(i + 1)
      }
    }
    const ends = await Promise.all(
      outcomes.map(async outcome => {
        if (outcome instanceof DuplicateJobError) return null
        return await outcome.result().catch((error: unknown) => {
          expect(error).toBeInstanceOf(DuplicateJobError)
          return null
        })
      }),
    )

    const told = outcomes.map(outcome => (outcome instanceof DuplicateJobError ? 'error' : outcome.status))
    expect(told).toEqual(['started', second, third])
    expect(journal.runs.map(({ args }) => args.n)).toEqual(runs)
    expect(ends).toEqual(results.map(n => n && n * 10))
    expect(journal.most, 'runs at once').toBe(1)
    // Who holds what while the first run executes.
    expect(gates.map(({ owner }) => owner)).toEqual([id])
    if (mode === 'untilExpired') expect(owners[0]?.owner).toBe(id)
    else expect(owners).toEqual([])
    // The fences of a key's runs rise.
    const fences = journal.runs.map(({ fence }) => fence)
    expect(fences).toEqual([...fences].sort((a, b) => a - b))
    expect(new Set(fences).size).toBe(fences.length)
    // Who a duplicate met, and for how long.
    const [, twice] = outcomes
    if (second !== 'deferred' || mode !== 'untilExpired') {
      expect(twice).toMatchObject(second === 'error' ? { id, state: 'running' } : { owner: id, state: 'running' })
    }
    expect((twice as { ageMs?: number }).ageMs).toBeGreaterThanOrEqual(0)
    expect((twice as { ageMs?: number }).ageMs).toBeLessThan(20_000)
    // Nothing is left but the period.
    await expect.poll(() => store.inUse()).toEqual(mode === 'untilExpired' ? [gate] : [])
    expect(store.troubles).toEqual([])
  })
})
