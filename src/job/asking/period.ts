import type { Locker } from '../../lock/locker.js'
import type { RunClaim } from '../running/claim.js'
import { throughOutage } from '../running/outage.js'

/**
 * Lets a run take its period from the one before it, as soon as that one's run has ended: it does not wait for the end of the
 * period. Each step follows the end of a run. Never rejects.
 *
 * @param live the lock that shows whether the run of a period is live
 * @param before the run that has the period
 * @param isOver whether the claim waits no more
 */
export async function takePeriod(
  locker: Locker,
  claim: RunClaim,
  live: string,
  before: string,
  ttlMs: number,
  isOver: () => boolean,
): Promise<void> {
  try {
    for (let holder: string | null = before; holder !== null && !isOver(); ) {
      const from: string = holder
      await locker.watching.until(live, from, ttlMs)
      if (isOver()) return
      // Where another has the period by now, its run is next to end.
      holder = await throughOutage(locker, () => claim.takeFrom(from))
    }
  } catch (error) {
    // The claim waits on, and has its turn when the period ends: later than it should.
    if (!isOver() && locker.isOpen) locker.onWaitFault({ name: claim.lock, owner: claim.id }, error)
  }
}
