import { SoloistError } from '../errors.js'
import { onAbort } from '../internal/abort.js'
import { outsideBlocks } from '../lock/holding/blocks.js'
import type { HeldLease } from '../lock/holding/lease.js'
import type { Locker } from '../lock/locker.js'
import { shared } from '../lock/request.js'
import type { JobDefinition } from './options.js'
import type { Hold } from './places.js'
import { keptText, type Settled } from './result.js'

/** What is kept for longer than a period, so that a result is there for as long as the period lasts. */
const PERIOD_MARGIN_MS = 1_000

/** How a run ended, and whether it had lost its lease by then. */
export interface RunEnd<R> {
  readonly settled: Settled<R>
  readonly lapsed: boolean
}

/** What is to be run. */
export interface RunOrder<A> {
  readonly id: string
  readonly args: A
  readonly hold: Hold
  /** The lock that is taken away from the run to ask it to stop; `null`: nobody asks. */
  readonly stop: string | null
}

/**
 * Runs a handler under its hold, with its attempts, and leaves the result with the release. Never rejects: a lease that
 * was lost makes a success a failure with `LEASE_LOST`, for then the run was not alone.
 */
export async function execute<A, R>(
  locker: Locker,
  definition: JobDefinition<A, R>,
  order: RunOrder<A>,
): Promise<RunEnd<R>> {
  const { lease } = order.hold
  const controller = new AbortController()
  const stopListening = onAbort(lease.signal, () => controller.abort(lease.signal.reason))
  let settled: Settled<R>
  try {
    settled = await locker.blocks.run([lease], async () => {
      const { stop, id } = order
      const abort = (reason: SoloistError) => controller.abort(reason)
      const asked = stop === null ? null : await StopRequest.await(locker, stop, id, definition.ttlMs, abort)
      try {
        return await attempts(locker, definition, order, controller.signal)
      } finally {
        await asked?.end()
      }
    })
  } catch (error) {
    settled = { ok: false, error }
  }
  stopListening()
  return await conclude(locker, definition, lease, settled)
}

async function attempts<A, R>(
  locker: Locker,
  { handler, attempts: most, backoffMs }: JobDefinition<A, R>,
  { id, args, hold }: RunOrder<A>,
  signal: AbortSignal,
): Promise<Settled<R>> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return { ok: true, value: await handler(args, { id, signal, fence: hold.fence, attempt }) }
    } catch (error) {
      if (attempt >= most || signal.aborted) return { ok: false, error }
      await pause(locker, backoffMs * 2 ** (attempt - 1), signal)
      if (signal.aborted) return { ok: false, error }
    }
  }
}

/** Gives the hold up together with the result. */
async function conclude<A, R>(
  locker: Locker,
  definition: JobDefinition<A, R>,
  lease: HeldLease,
  settled: Settled<R>,
): Promise<RunEnd<R>> {
  const { resultTtlMs, resultLimitBytes, expiryMs, key } = definition
  const keepMs = Math.max(resultTtlMs, expiryMs === 0 ? 0 : expiryMs + PERIOD_MARGIN_MS)
  const text = keptText(settled, resultLimitBytes, key.serialize)
  try {
    lease.assertValid()
  } catch (error) {
    return { settled: settled.ok ? { ok: false, error } : settled, lapsed: true }
  }
  try {
    if (await lease.releaseWith({ text, keepMs })) return { settled, lapsed: false }
    // Either the lock had been taken away, or the release was sent twice since the first answer was lost: then the
    // result is there.
    const { status } = await locker.watching.look(lease.name, lease.owner)
    if (status === 'result') return { settled, lapsed: false }
  } catch (error) {
    // The lease was valid until now, and runs out by itself. Others that joined find no result, and one runs the job
    // again.
    locker.onReleaseFault(lease, error)
    return { settled, lapsed: false }
  }
  const error = new SoloistError('LEASE_LOST', `the lock ${JSON.stringify(lease.name)} was taken away during the run`)
  return { settled: settled.ok ? { ok: false, error } : settled, lapsed: true }
}

/** Resolves after so many milliseconds, or sooner when the signal fires. */
export function pause(locker: Locker, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      timer.cancel()
      stop()
      resolve()
    }
    const timer = locker.clock.setTimer(delayMs, end)
    let stop = () => {}
    stop = onAbort(signal, end)
  })
}

/**
 * The lock `stop`, which a run holds beside its own. Another client asks the run to stop by releasing this lock in the
 * run's name; the store pushes that to the run at once. The lock is shared, since with `untilExpired` runs of one job
 * may overlap.
 */
class StopRequest {
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
