import type { Backend, Claim, HandedGrant, KeptResult, RenewReply } from '../backend.js'
import { causedBy, SoloistError } from '../errors.js'
import { type Clock, type Instant, instant } from '../internal/clock.js'

/** What became of one lease in a batch of renewals, with a fault in the form users get. */
export type Renewal =
  | Exclude<RenewReply, { status: 'fault' }>
  | { readonly status: 'fault'; readonly error: SoloistError }

/** A backend's calls, each bounded in time and each failing in one way only: with a `SoloistError`. */
export class Calls {
  readonly backend: Backend
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #onHanded: (grant: HandedGrant, sentAt: Instant) => void
  /** Ends each call under way. */
  readonly #underWay = new Set<(reason: SoloistError) => void>()
  #lastFailure: unknown

  /** @param onHanded hears of each grant told in the answer to a release, and when that release was sent */
  constructor(
    backend: Backend,
    clock: Clock,
    timeoutMs: number,
    onHanded: (grant: HandedGrant, sentAt: Instant) => void,
  ) {
    this.backend = backend
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#onHanded = onHanded
  }

  /** The backend's last failure, until a call succeeds; else `undefined`. It says more than a time-out can. */
  get lastFailure(): unknown {
    return this.#lastFailure
  }

  /** Makes a call. One that throws instead of rejecting is treated alike. */
  run<T>(what: string, call: (backend: Backend) => Promise<T>, timeoutMs?: number): Promise<T> {
    const start = async () => await call(this.backend)
    return this.bounded(what, start(), timeoutMs)
  }

  /**
   * Makes a call that is safe to repeat, and repeats it once within the same bound when it failed: its reply may have
   * been lost with a connection, and the same question again is answered with what became of the first.
   */
  async twice<T>(what: string, call: (backend: Backend) => Promise<T>): Promise<T> {
    const until = this.#clock.monotonicMs() + this.#timeoutMs
    try {
      return await this.run(what, call)
    } catch (error) {
      const leftMs = until - this.#clock.monotonicMs()
      if (!isUnavailable(error) || leftMs < 1) throw error
      return await this.run(what, call, leftMs)
    }
  }

  /**
   * Settles with the work, or rejects once it took too long. The work itself cannot be taken back: whoever must know
   * what became of it keeps its promise.
   */
  bounded<T>(what: string, work: Promise<T>, timeoutMs: number = this.#timeoutMs): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = () => {
        timer.cancel()
        this.#underWay.delete(cut)
      }
      const cut = (reason: SoloistError) => {
        end()
        reject(reason)
      }
      const timer = this.#clock.setTimer(timeoutMs, () => {
        cut(this.#unavailable(what, `gave no answer within ${this.#timeoutMs} ms (callTimeoutMs)`, this.#lastFailure))
      })
      this.#underWay.add(cut)
      work.then(
        value => {
          this.#lastFailure = undefined
          end()
          resolve(value)
        },
        (error: unknown) => {
          this.#lastFailure = error
          cut(this.faultOf(what, error))
        },
      )
    })
  }

  /** One batch of renewals, in the order of the claims. What fails as a whole failed for each. Never rejects. */
  async renew(claims: readonly Claim[]): Promise<readonly Renewal[]> {
    try {
      const replies = await this.run('renew', backend => backend.renew(claims))
      return claims.map((_, i) => this.#renewal(replies[i]))
    } catch (reason) {
      const error = this.faultOf('renew', reason)
      return claims.map(() => ({ status: 'fault', error }))
    }
  }

  /** Gives a claim up, held or waiting. @returns whether its owner held the lock until now, by the last answer */
  async release(claim: Claim, result?: KeptResult): Promise<boolean> {
    const { released } = await this.twice('release', async backend => {
      const sentAt = instant(this.#clock)
      const reply = await backend.release(claim, result)
      // Also when the answer came too late for who asked.
      for (const grant of reply.handed ?? []) this.#onHanded(grant, sentAt)
      return reply
    })
    return released
  }

  /** Leaves a lock to run out after `ttlMs`. */
  async leave(claim: Claim, ttlMs: number): Promise<void> {
    await this.twice('renew', async backend => {
      const [reply] = await backend.renew([{ ...claim, ttlMs }])
      if (reply?.status === 'fault') throw reply.error
    })
  }

  /** Rejects every call under way. */
  cut(reason: SoloistError): void {
    for (const cut of this.#underWay) cut(reason)
  }

  #renewal(reply: RenewReply | undefined): Renewal {
    if (reply?.status === undefined) return { status: 'fault', error: this.#unavailable('renew', 'gave no answer') }
    if (reply?.status === 'held' || reply?.status === 'lost') return reply
    return { status: 'fault', error: this.faultOf('renew', reply.error) }
  }

  /** What a call failed with, in the form users get. */
  faultOf(what: string, error: unknown): SoloistError {
    return error instanceof SoloistError ? error : this.#unavailable(what, 'failed', error)
  }

  #unavailable(what: string, how: string, cause?: unknown): SoloistError {
    return new SoloistError('BACKEND_UNAVAILABLE', `the ${this.backend.kind} backend ${how} (${what})`, causedBy(cause))
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE'
}

/** What tells a claim from any other: its owner and its lock's name. */
export function claimKey({ name, owner }: Pick<Claim, 'name' | 'owner'>): string {
  return `${owner.length} ${owner}${name}`
}
