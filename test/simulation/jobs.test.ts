// Guards invariants L5, H1, H2, J1, J2, J4, J8, J9 and J10 of docs/guarantees.md.
import { connect } from 'soloist'
import { describe, expect, it, vi } from 'vitest'
import { simulate, type Weather, weathers } from './simulate.js'

const { SOLOIST_TEST_SEED, SOLOIST_SIMULATIONS, SOLOIST_SIMULATION_PATH, SOLOIST_SIMULATION_WEATHER } = process.env
/** Set it to a seed that was printed to run the same schedules again. */
const seed = Number(SOLOIST_TEST_SEED ?? 20_261_129)
const usual: Record<Weather, number> = { wild: 4_000, lossy: 2_000, calm: 2_000 }
/** Set it to a path that was printed to run one schedule alone, and to see all that happens in it. */
const path = SOLOIST_SIMULATION_PATH
const weather = SOLOIST_SIMULATION_WEATHER as Weather | undefined

vi.setConfig({ testTimeout: 24 * 60 * 60_000 })

describe('any schedule of triggers, ends of handlers, crashes, pauses, and lost, late, repeated or reordered messages', () => {
  const all = Object.keys(weathers) as Weather[]
  it.each(weather === undefined ? all : [weather])(
    'keeps every promise of jobs while the weather is %s',
    async weather => {
      const runs = Number(SOLOIST_SIMULATIONS ?? usual[weather])
      const log = path === undefined ? undefined : console.log
      const { schedules, grants, messages } = await simulate({ connect }, 'jobs', weather, { seed, runs, path, log })
      console.log(
        `${weather}: seed ${seed}, ${schedules} schedules, ${messages} messages, ${grants} calls of a handler`,
      )
      // Or it showed nothing.
      if (path === undefined) expect(grants).toBeGreaterThan(schedules)
    },
  )
})
