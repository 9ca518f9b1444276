import fc from 'fast-check'
import { calm, lossy, type Schedule, wild } from './commands.js'
import { type Library, World } from './world.js'

/** What schedules are made of. */
export const weathers = { wild, lossy, calm } as const
export type Weather = keyof typeof weathers

export interface Simulation {
  readonly seed: number
  readonly runs: number
  /** Where in the tree of schedules one is, as a failure prints it. */
  readonly path?: string | undefined
  /** Whether a schedule that shows a fault is made smaller; default `true`. */
  readonly shrinks?: boolean | undefined
  /** Told every line of what happens. */
  readonly log?: ((line: string) => void) | undefined
}

/** How much happened. */
export interface Simulated {
  schedules: number
  grants: number
  messages: number
}

/** Runs schedules until one shows a fault, which is thrown with its seed and path and in its smallest form. */
export async function simulate(
  library: Library,
  weather: Weather,
  { seed, runs, path, shrinks = true, log }: Simulation,
): Promise<Simulated> {
  const done: Simulated = { schedules: 0, grants: 0, messages: 0 }
  const problems: unknown[] = []
  const note = (problem: unknown) => problems.push(problem)
  process.on('unhandledRejection', note)
  process.on('uncaughtException', note)
  try {
    await fc.assert(
      fc.asyncProperty(weathers[weather] as fc.Arbitrary<Schedule>, fc.scheduler(), async (schedule, scheduler) => {
        const world = new World(library, schedule, scheduler, log ?? null)
        await world.run()
        done.schedules += 1
        done.grants += world.grants
        done.messages += world.messages
        const [problem] = problems.splice(0)
        if (problem !== undefined) throw problem
      }),
      { seed, numRuns: runs, endOnFailure: !shrinks || path !== undefined, ...(path === undefined ? {} : { path }) },
    )
  } finally {
    process.off('unhandledRejection', note)
    process.off('uncaughtException', note)
  }
  return done
}
