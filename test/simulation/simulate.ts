import fc from 'fast-check'
import { calm, lossy, type Schedule, wild } from './commands.js'
import { calmJobs, type JobSchedule, lossyJobs, wildJobs } from './job-commands.js'
import { JobWorld } from './job-world.js'
import type { Library } from './stage.js'
import { World } from './world.js'

/** What schedules are made of. */
export const weathers = { wild, lossy, calm } as const
export type Weather = keyof typeof weathers
/** What processes do: ask for locks, or trigger jobs. */
export type Subject = 'locks' | 'jobs'
const jobWeathers = { wild: wildJobs, lossy: lossyJobs, calm: calmJobs } as const

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
  /** Of locks; of jobs, how often a handler was called. */
  grants: number
  messages: number
}

/** What is run for one schedule. */
interface Runs {
  readonly grants: number
  readonly messages: number
  run(): Promise<void>
}

/** Runs schedules until one shows a fault, which is thrown with its seed and path and in its smallest form. */
export async function simulate(
  library: Library,
  subject: Subject,
  weather: Weather,
  { seed, runs, path, shrinks = true, log = undefined }: Simulation,
): Promise<Simulated> {
  const done: Simulated = { schedules: 0, grants: 0, messages: 0 }
  const problems: unknown[] = []
  const note = (problem: unknown) => problems.push(problem)
  const follow = async (world: Runs) => {
    await world.run()
    done.schedules += 1
    done.grants += world.grants
    done.messages += world.messages
    const [problem] = problems.splice(0)
    if (problem !== undefined) throw problem
  }
  const parameters = {
    seed,
    numRuns: runs,
    endOnFailure: !shrinks || path !== undefined,
    ...(path === undefined ? {} : { path }),
  }
  const told = log ?? null
  process.on('unhandledRejection', note)
  process.on('uncaughtException', note)
  try {
    if (subject === 'locks') {
      const each = (schedule: Schedule) => follow(new World(library, schedule, told))
      await check(fc.asyncProperty(weathers[weather], each), parameters, subject, weather)
    } else {
      const each = (schedule: JobSchedule) => follow(new JobWorld(library, schedule, told))
      await check(fc.asyncProperty(jobWeathers[weather], each), parameters, subject, weather)
    }
  } finally {
    process.off('unhandledRejection', note)
    process.off('uncaughtException', note)
  }
  return done
}

/** Says of a failure how it is seen again. */
async function check<T>(
  property: fc.IAsyncProperty<T>,
  parameters: fc.Parameters<T>,
  subject: Subject,
  weather: Weather,
): Promise<void> {
  const details = await fc.check(property, parameters)
  if (!details.failed) return
  const { seed, counterexamplePath, errorInstance } = details
  const again = `npm run simulate -- --of ${subject} --weather ${weather} --seed ${seed} --path ${counterexamplePath}`
  const report = await fc.asyncDefaultReportMessage(details)
  throw new Error(`${report}\nAgain, as a time line: ${again}`, { cause: errorInstance })
}
