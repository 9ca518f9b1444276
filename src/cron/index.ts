import { checkPrefix } from '../internal/check.js'
import { lockerOf, type Soloist } from '../soloist.js'
import { allEntries, type CronState } from './entry.js'

export { type CoordinatorOptions, coordinator, type RunCoordinator } from './coordinator.js'
export type { CronState, LastTick } from './entry.js'
export { oncePerTick } from './once-per-tick.js'
export type { CronOptions, CronOverlap, OncePerTickOptions, TickOptions } from './options.js'
export type { TickOutcome, TickResult } from './outcome.js'
export type { TickRun, TickWork } from './run.js'
export { type CronEvents, type CronSchedule, cron } from './schedule.js'
export { type TickOfOptions, tickOf } from './tick-of.js'

/**
 * Every cron job that is known to the store, by name: its last tick, who ran it, how long that took, how it ended, and when
 * the next is due. A job is known for 100 days after its last tick.
 *
 * @param prefix the start of the names, taken literally; default: all
 * @throws SoloistError `INVALID_ARGUMENT`, `BACKEND_UNAVAILABLE`, `CLOSED`
 */
export async function crons(solo: Soloist, prefix: string = ''): Promise<readonly CronState[]> {
  return await allEntries(lockerOf(solo), checkPrefix(prefix))
}
