import { SoloistError } from '../../errors.js'
import { onAbort } from '../../internal/abort.js'
import type { Timer } from '../../internal/clock.js'
import { outsideBlocks } from '../../lock/holding/blocks.js'
import type { HeldLease } from '../../lock/holding/lease.js'
import type { Locker } from '../../lock/locker.js'
import type { JobDefinition, JobRun } from '../options.js'
import type { Hold } from './claim.js'
import { throughOutage } from './outage.js'
import { keptText, type Settled } from './result.js'
import { StopRequest } from './stop.js'

/** What is kept for longer than a period, so that a result is there for as long as the period lasts. */
const PERIOD_MARGIN_MS = 1_000

/** How a run ended. */
export interface RunEnd<R> {
  readonly settled: Settled<R>
  /** Whether it had lost its lease by then. */
  readonly lapsed: boolean
  /** Whether its handler was called, or could not be for what is its own fault. Else nothing has happened yet. */
  readonly called: boolean
}

/** What is to be run. */
export interface RunOrder<A> {
  readonly id: string
  readonly args: () => A
  readonly hold: Hold
  /** The lock that is taken away from the run to ask it to stop; `null`: nobody asks. */
  readonly stop: string | null
}

/**
 * Runs a handler under its hold, with its attempts, and leaves the result with the release. Never rejects. The handler is
 * not called when the lease is known to be lost. A run that held its lock until its end is a success, whenever the store
 * says so; one that did not is a failure with `LEASE_LOST`, for then it was not alone.
 */
export async function execute<A, R>(
  locker: Locker,
  definition: JobDefinition<A, R>,
  order: RunOrder<A>,
): Promise<RunEnd<R>> {
  const { lease } = order.hold
  const run = new Run(locker, definition, order)
  const settled = await locker.blocks.run([lease], () => run.settle())
  return { ...(await conclude(locker, definition, lease, settled, run.called)), called: run.called }
}

/** One run while it executes. */
class Run<A, R> {
  called = false
  readonly #locker: Locker
  readonly #definition: JobDefinition<A, R>
  readonly #order: RunOrder<A>
  /** What the signal fires with, beside the loss of the lease. */
  #reason: SoloistError | null = null
  #controller: AbortController | null = null
  #stopListening = () => {}

  constructor(locker: Locker, definition: JobDefinition<A, R>, order: RunOrder<A>) {
    this.#locker = locker
    this.#definition = definition
    this.#order = order
  }

  async settle(): Promise<Settled<R>> {
    try {
      return await this.#bounded()
    } catch (error) {
      return { ok: false, error }
    } finally {
      this.#stopListening()
    }
  }

  /** Made when somebody first asks for it. */
  get #signal(): AbortSignal {
    if (this.#controller === null) {
      const controller = new AbortController()
      this.#controller = controller
      const { signal } = this.#order.hold.lease
      if (this.#reason !== null) controller.abort(this.#reason)
      else this.#stopListening = onAbort(signal, () => controller.abort(signal.reason))
    }
    return this.#controller.signal
  }

  #abort(reason: SoloistError): void {
    this.#reason ??= reason
    outsideBlocks(() => this.#controller?.abort(reason))
  }

  /** The run, for as long as it may take. A handler that does not end then is not waited for. */
  async #bounded(): Promise<Settled<R>> {
    const { maxRunMs } = this.#definition
    if (maxRunMs === null) return await this.#stoppable()
    let timer: Timer | null = null
    let stopListening = () => {}
    try {
      const late = new Promise<Settled<R>>(resolve => {
        timer = this.#locker.clock.setTimer(maxRunMs, () => {
          const error = new SoloistError('RUN_TIMEOUT', `the run took longer than ${maxRunMs} ms (maxRunMs)`)
          this.called = true
          resolve({ ok: false, error })
          this.#abort(error)
        })
        const { signal } = this.#order.hold.lease
        stopListening = onAbort(signal, () => {
          if (signal.reason.code === 'CLOSED') timer?.cancel()
        })
      })
      return await Promise.race([this.#stoppable(), late])
    } finally {
      ;(timer as Timer | null)?.cancel()
      stopListening()
    }
  }

  async #stoppable(): Promise<Settled<R>> {
    const { stop, id, hold } = this.#order
    if (stop === null) return await this.#attempts()
    const abort = (reason: SoloistError) => this.#abort(reason)
    const wait = () => StopRequest.await(this.#locker, stop, id, this.#definition.ttlMs, abort)
    const asked = await throughOutage(this.#locker, wait, () => hold.lease.valid)
    try {
      return await this.#attempts()
    } finally {
      await asked.end()
    }
  }

  async #attempts(): Promise<Settled<R>> {
    const { handler, attempts: most, backoffMs } = this.#definition
    this.#assertValid()
    const args = this.#arguments()
    for (let attempt = 1; ; attempt += 1) {
      this.#assertValid()
      this.called = true
      try {
        return { ok: true, value: await handler(args, this.#context(attempt)) }
      } catch (error) {
        if (attempt >= most || this.#isOver) return { ok: false, error }
        await this.#pause(backoffMs * 2 ** (attempt - 1))
        if (this.#isOver) return { ok: false, error }
      }
    }
  }

  /** What cannot be made of the arguments fails the run, as its handler would. */
  #arguments(): A {
    try {
      return this.#order.args()
    } catch (error) {
      this.called = true
      throw error
    }
  }

  get #isOver(): boolean {
    return this.#reason !== null || !this.#order.hold.lease.valid
  }

  #assertValid(): void {
    if (this.#reason !== null) throw new SoloistError(this.#reason.code, this.#reason.message)
    this.#order.hold.lease.assertValid()
  }

  #context(attempt: number): JobRun {
    const { id, hold } = this.#order
    const signal = () => this.#signal
    return {
      id,
      fence: hold.fence,
      attempt,
      get signal() {
        return signal()
      },
      assertValid: () => this.#assertValid(),
    }
  }

  /** Resolves after so long, or sooner when the signal fires. */
  #pause(delayMs: number): Promise<void> {
    const signal = this.#signal
    return new Promise(resolve => {
      let stop = () => {}
      const timer = this.#locker.clock.setTimer(delayMs, () => end())
      const end = () => {
        timer.cancel()
        stop()
        resolve()
      }
      stop = onAbort(signal, end)
    })
  }
}

/** Gives the hold up together with the result. */
async function conclude<A, R>(
  locker: Locker,
  definition: JobDefinition<A, R>,
  lease: HeldLease,
  settled: Settled<R>,
  called: boolean,
): Promise<Omit<RunEnd<R>, 'called'>> {
  const lapsed = (error: unknown) => ({ settled: settled.ok ? ({ ok: false, error } as const) : settled, lapsed: true })
  // Noticed before: then its lock was given up already.
  if (!lease.held) {
    try {
      lease.assertValid()
    } catch (error) {
      return lapsed(error)
    }
  }
  // Was it alone until now? By its own clock, if that says so; else by the store's answer.
  const wasValid = lease.remainingMs > 0
  try {
    // A run that never began leaves nothing: whoever relied on it starts anew.
    const held = called ? await lease.conclude(kept(definition, settled)) : await lease.releaseWith(null)
    if (held) return { settled, lapsed: false }
    // Either the lock had been taken away, or the release was sent twice since the first answer was lost: then the
    // result is there. Or the release came to the store later than the lease lasted.
    const { status } = await locker.watching.look(lease.name, lease.owner)
    if (status === 'result' || (wasValid && lease.remainingMs <= 0)) return { settled, lapsed: false }
  } catch (error) {
    // The lease was valid until now, and runs out by itself. Others that joined find no result, and one runs the job
    // again.
    locker.onReleaseFault(lease, error)
    if (wasValid) return { settled, lapsed: false }
  }
  return lapsed(new SoloistError('LEASE_LOST', `the lock ${JSON.stringify(lease.name)} was lost during the run`))
}

function kept<A, R>(definition: JobDefinition<A, R>, settled: Settled<R>): { text: string; keepMs: number } {
  const { resultTtlMs, resultLimitBytes, expiryMs, key } = definition
  const keepMs = Math.max(resultTtlMs, expiryMs === 0 ? 0 : expiryMs + PERIOD_MARGIN_MS)
  return { text: keptText(settled, resultLimitBytes, key.serialize), keepMs }
}
