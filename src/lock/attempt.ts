import type { AcquireReply, Claim, PushedGrant } from '../backend.js'
import { LockTimeoutError, SoloistError } from '../errors.js'
import { elapsedMs, type Instant, instant, type Timer } from '../internal/clock.js'
import { driftMs, HeldLease } from './lease.js'
import type { Locker } from './locker.js'
import { aborted, type LockRequest } from './request.js'

/** A grant that comes too late to be used is asked for again this often before the backend counts as too slow. */
const LATE_GRANTS = 3

/** What one question to the backend came to, for whoever plans the next one. */
export type Asked =
  | { readonly status: 'over' }
  | { readonly status: 'busy'; readonly retryAfterMs: number | null; readonly requeued: boolean }
  | { readonly status: 'fault'; readonly error: unknown }

/**
 * One pending call for a lock: from the first question until a lease, a refusal, or the caller's patience ends it.
 * It ends exactly once; whatever the backend grants it afterwards is given back.
 */
export class Attempt {
  readonly claim: Claim & { readonly ttlMs: number }
  readonly result: Promise<HeldLease | null>
  /** The place in the queue, once there is one. */
  ticket: number | null = null

  readonly #locker: Locker
  readonly #request: LockRequest
  /** Whether the claim may be queued. */
  readonly #queues: boolean
  readonly #startedAt: Instant
  #settle!: { resolve(lease: HeldLease | null): void; reject(error: unknown): void }
  #over = false
  #lease: HeldLease | null = null
  #timer: Timer | null = null
  #onAbort: (() => void) | null = null
  #answered = false
  #holder: string | null = null
  #lastFault: unknown
  #lateGrants = 0
  /** A grant that was pushed before the answer that the claim was queued. */
  #early: PushedGrant | null = null

  constructor(locker: Locker, claim: Claim & { readonly ttlMs: number }, request: LockRequest, queues: boolean) {
    this.#locker = locker
    this.claim = claim
    this.#request = request
    this.#queues = queues
    this.#startedAt = instant(locker.clock)
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }

  get over(): boolean {
    return this.#over
  }

  /** Sends the first question and starts the bounds of the wait. */
  start(): void {
    const { waitMs, signal } = this.#request
    if (this.#queues && waitMs !== Infinity) {
      this.#timer = this.#locker.clock.setTimer(waitMs, () => this.fail(this.#timeout()))
    }
    if (signal !== null) {
      this.#onAbort = () => this.fail(aborted(signal))
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    void this.#first()
  }

  async #first(): Promise<void> {
    let asked = await this.ask()
    // The reply may be all that was lost: the same question again is answered with what became of the first.
    if (asked.status === 'fault' && !this.#over) asked = await this.ask()
    if (asked.status === 'fault') this.fail(asked.error)
    if (asked.status !== 'busy' || this.#over) return
    if (!this.#queues) {
      this.#end()
      return this.#settle.resolve(null)
    }
    this.#locker.publish('waiting', { ...this.#subject(), holder: this.#holder })
    this.#locker.waiting.add(this, asked.retryAfterMs)
    if (this.#early !== null) this.#locker.waiting.grant(this, this.#early)
  }

  /** Keeps a pushed grant until the answer to the first question, which it overtook, is there. */
  grantedEarly(event: PushedGrant): void {
    this.#early = event
  }

  /** Why an attempt that was not to be queued came back without a lease. */
  refusal(): SoloistError {
    return this.#timeout()
  }

  /** Asks the backend for the lock, at this attempt's place. Never rejects. */
  async ask(): Promise<Asked> {
    const sentAt = instant(this.#locker.clock)
    const ticket = this.ticket ?? 'new'
    const call = this.#locker.start(backend => backend.acquire(this.claim, this.#queues ? { ticket } : {}))
    this.#giveBackIfLate(call)
    let reply: AcquireReply
    try {
      reply = await this.#locker.calls.bounded(call, 'acquire')
    } catch (error) {
      this.#lastFault = error
      return this.#over ? { status: 'over' } : { status: 'fault', error }
    }
    if (this.#over) return { status: 'over' }
    this.#answered = true
    this.#lastFault = undefined
    switch (reply.status) {
      case 'granted':
        return this.#granted(reply.fence, sentAt)
      case 'limit':
        this.fail(this.#limitMismatch(reply.limit))
        return { status: 'over' }
      case 'busy':
        this.ticket = reply.ticket ?? this.ticket
        this.#holder = reply.holder
        return { status: 'busy', retryAfterMs: reply.retryAfterMs, requeued: reply.requeued }
    }
  }

  /** A pushed grant: it counts once the backend confirms that it still stands. */
  async confirm(event: PushedGrant): Promise<Asked> {
    const sentAt = instant(this.#locker.clock)
    const [reply] = await this.#locker.calls.renew([this.claim])
    if (this.#over) return { status: 'over' }
    if (reply?.status === 'held') return this.#granted(event.fence, sentAt)
    if (reply?.status === 'fault') return { status: 'fault', error: reply.error }
    return await this.ask()
  }

  /** Ends the wait without a lease. What the backend may have noted of the claim is taken back. */
  fail(error: unknown): void {
    if (this.#over) return
    this.#end()
    this.#giveBack()
    this.#settle.reject(error)
  }

  async #granted(fence: number, sentAt: Instant): Promise<Asked> {
    const { ttlMs } = this.claim
    if (elapsedMs(this.#locker.clock, sentAt) >= ttlMs - driftMs(ttlMs)) {
      // Paused, or the answer took longer than the lease. Who asks again while still holding gets a fresh ttl.
      this.#lateGrants += 1
      if (this.#lateGrants < LATE_GRANTS) return await this.ask()
      const { kind } = this.#locker.calls.backend
      const message = `the ${kind} backend's answers take longer than the lease's ttl of ${ttlMs} ms`
      this.fail(new SoloistError('BACKEND_UNAVAILABLE', message))
      return { status: 'over' }
    }
    this.#end()
    const lease = new HeldLease(this.#locker, this.claim, { fence, sentAt, holdForMs: this.#request.holdForMs })
    this.#lease = lease
    this.#locker.hold(lease, elapsedMs(this.#locker.clock, this.#startedAt))
    this.#settle.resolve(lease)
    return { status: 'over' }
  }

  #end(): void {
    this.#over = true
    this.#timer?.cancel()
    if (this.#onAbort !== null) this.#request.signal?.removeEventListener('abort', this.#onAbort)
    this.#locker.waiting.remove(this)
    this.#locker.forget(this)
  }

  #giveBack(): void {
    this.#locker.background(this.#locker.calls.release(this.claim), this.claim, 'release')
  }

  /**
   * An answer that arrives after the attempt ended may have granted or queued the claim anew: behind a timeout, or
   * since the client sent it once more on a new connection. Unless the lease still stands, or was left to run out, it
   * is given back. After a failure it is unknown what the backend did.
   */
  #giveBackIfLate(call: Promise<AcquireReply>): void {
    const stands = () => !this.#over || (this.#lease !== null && (this.#lease.held || this.#lease.holdForMs > 0))
    const check = (reply: AcquireReply | null) => {
      const lingers = reply === null || reply.status === 'granted' || (reply.status === 'busy' && this.#queues)
      if (lingers && !stands()) this.#giveBack()
    }
    call.then(check, () => check(null))
  }

  #subject(): { name: string; owner: string; mode: Claim['mode'] } {
    return { name: this.claim.name, owner: this.claim.owner, mode: this.claim.mode }
  }

  #timeout(): SoloistError {
    if (!this.#answered) {
      const { kind } = this.#locker.calls.backend
      const message = `the ${kind} backend gave no answer within the ${this.#request.waitMs} ms this call may wait`
      return new SoloistError('BACKEND_UNAVAILABLE', message, { cause: this.#lastFault })
    }
    return new LockTimeoutError({
      lockName: this.claim.name,
      holder: this.#holder,
      waitedMs: elapsedMs(this.#locker.clock, this.#startedAt),
      cause: this.#lastFault,
    })
  }

  #limitMismatch(limit: number | null): SoloistError {
    const asked = this.claim.limit === null ? 'none' : String(this.claim.limit)
    const stands = limit === null ? 'none' : String(limit)
    const name = JSON.stringify(this.claim.name)
    return new SoloistError('LIMIT_MISMATCH', `lock ${name} is in use with the limit ${stands}, not ${asked}`)
  }
}
