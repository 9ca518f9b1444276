import type { Backend, Claim, RenewReply } from '../backend.js'
import { SoloistError } from '../errors.js'
import type { Clock } from '../internal/clock.js'

/** A backend's calls, each bounded in time and each failing in one way only: `BACKEND_UNAVAILABLE` with a cause. */
export class Calls {
  readonly backend: Backend
  readonly #clock: Clock
  readonly #timeoutMs: number

  constructor(backend: Backend, clock: Clock, timeoutMs: number) {
    this.backend = backend
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  /**
   * Settles with the call, or rejects once it took too long. The call itself cannot be taken back: whoever must know
   * what became of it keeps the promise.
   */
  bounded<T>(call: Promise<T>, what: string, timeoutMs: number = this.#timeoutMs): Promise<T> {
    const bound = Math.min(timeoutMs, this.#timeoutMs)
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(bound, () => {
        reject(this.#unavailable(what, `gave no answer within ${Math.round(bound)} ms`))
      })
      call.then(
        value => {
          timer.cancel()
          resolve(value)
        },
        (error: unknown) => {
          timer.cancel()
          reject(error instanceof SoloistError ? error : this.#unavailable(what, 'failed', error))
        },
      )
    })
  }

  /** One batch of renewals; a batch that fails as a whole is a fault of each. Never rejects. */
  async renew(claims: readonly Claim[], timeoutMs?: number): Promise<readonly RenewReply[]> {
    try {
      return await this.bounded(
        this.#start(() => this.backend.renew(claims)),
        'renew',
        timeoutMs,
      )
    } catch (error) {
      return claims.map(() => ({ status: 'fault', error }))
    }
  }

  /**
   * Gives a claim up, held or waiting. A failure is met with a second attempt within the same bound, since it may have
   * been a connection that was just lost, and a second release changes nothing.
   */
  async release(claim: Claim): Promise<void> {
    const until = this.#clock.monotonicMs() + this.#timeoutMs
    const attempt = () => {
      const left = Math.max(until - this.#clock.monotonicMs(), 0)
      return this.bounded(
        this.#start(() => this.backend.release(claim)),
        'release',
        left,
      )
    }
    try {
      await attempt()
    } catch (error) {
      if (!isUnavailable(error) || this.#clock.monotonicMs() >= until) throw error
      await attempt()
    }
  }

  /** A backend that throws instead of rejecting is treated alike. */
  async #start<T>(call: () => Promise<T>): Promise<T> {
    return await call()
  }

  #unavailable(what: string, how: string, cause?: unknown): SoloistError {
    const message = `the ${this.backend.kind} backend ${how} (${what})`
    return new SoloistError('BACKEND_UNAVAILABLE', message, cause === undefined ? undefined : { cause })
  }
}

export function isUnavailable(error: unknown): boolean {
  return error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE'
}
