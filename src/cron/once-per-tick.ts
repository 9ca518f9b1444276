import { invalidArgument } from '../errors.js'
import { lockerOf, type Soloist } from '../soloist.js'
import { checkCronName, checkScheduledAt } from './names.js'
import { checkOnce, type OncePerTickOptions } from './options.js'
import type { TickOutcome } from './outcome.js'
import { runTick, type TickWork } from './run.js'
import { claimTick, TickHold } from './tick.js'

/**
 * Runs `work` if no instance has come to this tick before: of all calls with the same name and scheduled time, one runs it.
 * The tick is what is unique, not the run, so it stays so for `keepForMs` after the run has ended, or after its process
 * died. For schedulers that know when a tick was due; see `tickOf` for those that do not.
 *
 * Held after abort or rejection: nothing. After `BACKEND_UNAVAILABLE` the tick may be kept although it was not run, where
 * what the store noted could not be given back.
 *
 * @param scheduledAt when the tick was due, the same on every instance: not the time at which this one woke up
 * @throws SoloistError `INVALID_ARGUMENT`, `BACKEND_UNAVAILABLE`, `ABORTED` or `CLOSED`; never what `work` threw, which is
 *   an outcome
 */
export async function oncePerTick<T>(
  solo: Soloist,
  name: string,
  scheduledAt: Date | number,
  work: TickWork<T>,
  options: OncePerTickOptions = {},
): Promise<TickOutcome<T>> {
  checkCronName(name)
  const scheduledAtMs = checkScheduledAt(scheduledAt)
  if (typeof work !== 'function') throw invalidArgument('oncePerTick needs a function to run')
  const { signal, ...how } = checkOnce(options)
  const locker = lockerOf(solo)
  const claimed = await claimTick(locker, { name, scheduledAtMs, ...how, owner: locker.newOwner() }, signal)
  if (!(claimed instanceof TickHold)) return claimed
  const { maxRunMs, ttlMs } = how
  const order = { name, scheduledAtMs, caughtUp: false, maxRunMs, ttlMs, plan: () => ({}), noted: false }
  return await runTick(locker, claimed, null, order, work)
}
