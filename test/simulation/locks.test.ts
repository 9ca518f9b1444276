// Guards invariants S1, S2, S5, S6, S7, S8, L2, L4, H1, H2 and H3 of docs/guarantees.md.
import { connect } from 'soloist'
import { describe, expect, it, vi } from 'vitest'
import { simulate, type Weather, weathers } from './simulate.js'

const { SOLOIST_TEST_SEED, SOLOIST_SIMULATIONS, SOLOIST_SIMULATION_PATH, SOLOIST_SIMULATION_WEATHER } = process.env
/** Set it to a seed that was printed to run the same schedules again. */
const seed = Number(SOLOIST_TEST_SEED ?? 20_261_129)
/** Together 20,000. */
const usual: Record<Weather, number> = { wild: 12_000, lossy: 4_000, calm: 4_000 }
/** Set it to a path that was printed to run one schedule alone, and to see all that happens in it. */
const path = SOLOIST_SIMULATION_PATH
const weather = SOLOIST_SIMULATION_WEATHER as Weather | undefined

vi.setConfig({ testTimeout: 24 * 60 * 60_000 })

describe('any schedule of calls, crashes, pauses, set clocks, and lost, late, repeated or reordered messages', () => {
  const all = Object.keys(weathers) as Weather[]
  it.each(weather === undefined ? all : [weather])('keeps every promise while the weather is %s', async weather => {
    const runs = Number(SOLOIST_SIMULATIONS ?? usual[weather])
    const log = path === undefined ? undefined : console.log
    const { schedules, grants, messages } = await simulate({ connect }, 'locks', weather, { seed, runs, path, log })
    console.log(`${weather}: seed ${seed}, ${schedules} schedules, ${messages} messages, ${grants} grants`)
    // Or it showed nothing.
    if (path === undefined) expect(grants).toBeGreaterThan(schedules / 2)
  })
})
