import { describe, expect, it, vi } from 'vitest'
import { broken, brokenStores, load } from './broken.js'
import { compare } from './compare.js'
import { simulate } from './simulate.js'

/** One seed for all times: whether a fault is found must not be a matter of luck. */
const seed = Number(process.env.SOLOIST_TEST_SEED ?? 20_260_101)
/** A fault has to show within so many schedules. */
const MOST_RUNS = 4_000

vi.setConfig({ testTimeout: 120_000 })

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
