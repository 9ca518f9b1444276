import { describe, expect, it, vi } from 'vitest'
import { broken, brokenStores, load } from './broken.js'
import { compare } from './compare.js'
import { simulate } from './simulate.js'

/** One seed for all times: whether a fault is found must not be a matter of luck. */
const seed = Number(process.env.SOLOIST_TEST_SEED ?? 20_260_101)
/** A fault has to show within so many schedules. */
const MOST_RUNS = 4_000

vi.setConfig({ testTimeout: 300_000 })

describe('the simulation', () => {
  it.each(broken)('finds that $fault', async one => {
    const { library, dispose } = await load(one)
    try {
      const found = simulate(library, one.subject ?? 'locks', one.weather ?? 'wild', {
        seed,
        runs: MOST_RUNS,
        shrinks: false,
      })
      await expect(found).rejects.toThrow(/Property failed/)
      const message = await found.then(
        () => '',
        (error: Error) => String((error.cause as Error | undefined)?.message ?? error.message),
      )
      expect(message).toMatch(one.shows)
    } finally {
      await dispose()
    }
  })
})

describe('a failure of the simulation', () => {
  const some = [
    'a lease that ran out is taken again under its old fence',
    'a trigger that starts anew keeps its id when the answer to that is lost',
  ]
  it.each(broken.filter(({ fault }) => some.includes(fault)))(
    'is seen again by its seed and path: $fault',
    async one => {
      const { library, dispose } = await load(one)
      try {
        const run = (path?: string) =>
          simulate(library, one.subject ?? 'locks', one.weather ?? 'wild', { seed, runs: MOST_RUNS, path }).then(
            () => ({ message: 'none', cause: null }),
            (error: Error) => error,
          )
        const failure = await run()
        const path = /--path (\S+)/.exec(failure.message)?.[1]
        // It was made smaller.
        expect(path?.split(':').length).toBeGreaterThan(5)
        const again = await run(path)
        expect(saidBy(again)).toBe(saidBy(failure))
      } finally {
        await dispose()
      }
    },
  )
})

/** Without the ids of clients, which are others each time. */
function saidBy({ cause }: { readonly cause?: unknown }): string {
  return String((cause as Error | null)?.message).replaceAll(/vm:\d+:[0-9a-f]+|[\w-]+:\d+:[0-9a-f]{24}/g, 'client')
}

describe('the comparison with the specification', () => {
  it.each(brokenStores)('finds that $fault', async one => {
    const { library, dispose } = await load(one)
    try {
      await expect(compare(library, { seed, runs: MOST_RUNS, shrinks: false })).rejects.toThrow(/Property failed/)
    } finally {
      await dispose()
    }
  })
})
