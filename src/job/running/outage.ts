import { SoloistError } from '../../errors.js'
import type { Locker } from '../../lock/locker.js'
import { OUTAGE_MS, RETRY_MS } from '../../lock/waiting/outage.js'

/**
 * Repeats work while the store does not answer, for as long as an outage may last.
 *
 * @param goesOn whether it is still of use
 * @throws SoloistError `BACKEND_UNAVAILABLE` after that, `CLOSED`, and whatever else the work rejects with
 */
export async function throughOutage<T>(
  locker: Locker,
  work: () => Promise<T>,
  goesOn: () => boolean = () => true,
): Promise<T> {
  let sinceMs: number | null = null
  for (;;) {
    const askedAtMs = locker.clock.monotonicMs()
    try {
      return await work()
    } catch (error) {
      if (!isOutage(error)) throw error
      sinceMs ??= askedAtMs
      if (locker.clock.monotonicMs() - sinceMs >= OUTAGE_MS || !goesOn()) throw error
      await rest(locker, RETRY_MS * (0.5 + locker.random() / 2))
    }
  }
}

/** Resolves after so long. @throws SoloistError `CLOSED` when everything is aborted before */
export function rest(locker: Locker, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = locker.clock.setTimer(ms, () => {
      stop()
      resolve()
    })
    const stop = locker.atAbort(reason => {
      timer.cancel()
      reject(reason)
    })
  })
}

/** Whether the store gave no answer. */
export function isOutage(error: unknown): boolean {
  return error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE'
}
