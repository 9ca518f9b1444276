import { SoloistError } from '../../errors.js'
import { onAbort } from '../../internal/abort.js'
import { outsideBlocks } from '../../lock/holding/blocks.js'
import type { HeldLease } from '../../lock/holding/lease.js'
import type { Locker } from '../../lock/locker.js'
import { shared } from '../../lock/request.js'
import { rest } from './outage.js'

/** A run that cannot be asked to stop yet is asked again after this long, and then after twice as long each time. */
const ASK_AGAIN_MS = 100
const ASK_AGAIN_MOST_MS = 5_000

/**
 * The lock `stop`, which a run holds beside its own. Another client asks the run to stop by releasing this lock in the
 * run's name; the store pushes that to the run at once. The lock is shared, since with `untilExpired` runs of one job
 * may overlap.
 */
export class StopRequest {
  readonly #lease: HeldLease
  #over = false

  private constructor(lease: HeldLease) {
    this.#lease = lease
  }

  static async await(
    locker: Locker,
    name: string,
    owner: string,
    ttlMs: number,
    onAsked: (reason: SoloistError) => void,
  ): Promise<StopRequest> {
    const request = { ...shared(name), ttlMs, waitMs: Infinity, holdForMs: 0, meta: null, signal: null, owner }
    const stop = new StopRequest(await locker.acquire(request))
    const asked = () => {
      if (stop.#over) return
      const reason = new SoloistError('JOB_REPLACED', `run ${owner} was asked to stop for a newer one`)
      outsideBlocks(() => onAsked(reason))
    }
    // If the push is lost or the watch fails, the next renewal of this lease finds that the lock was released.
    locker.watching.until(name, owner).then(asked, () => {})
    onAbort(stop.#lease.signal, () => {
      if (stop.#lease.signal.reason.code === 'LEASE_LOST') asked()
    })
    return stop
  }

  async end(): Promise<void> {
    this.#over = true
    await this.#lease[Symbol.asyncDispose]()
  }
}

/**
 * Asks a run to stop, again and again until the request has arrived, or the run has ended.
 *
 * @param stop the lock `stop` of its job
 * @param live the lock that shows whether it is live
 * @param isOver whether nobody waits for its end any more
 */
export async function askToStop(
  locker: Locker,
  stop: string,
  live: string,
  owner: string,
  isOver: () => boolean,
): Promise<void> {
  const claim = { name: stop, owner }
  try {
    for (let delayMs = ASK_AGAIN_MS; !isOver(); delayMs = Math.min(delayMs * 2, ASK_AGAIN_MOST_MS)) {
      if (await locker.release(claim)) return
      // It has only just begun, or it ended, or it was started by a version of this job that nobody may stop.
      if ((await locker.watching.look(live, owner)).status !== 'live') return
      await rest(locker, delayMs)
    }
  } catch (error) {
    if (!(error instanceof SoloistError) || error.code !== 'CLOSED')
      locker.news.fault(claim, 'shared', 'release', error)
  }
}
