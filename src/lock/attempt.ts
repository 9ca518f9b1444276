import type { AcquireReply, Backend, Claim, HandedGrant } from '../backend.js'
import { causedBy, LockTimeoutError, SoloistError } from '../errors.js'
import { onAbort } from '../internal/abort.js'
import { elapsedMs, type Instant, instant, type Timer } from '../internal/clock.js'
import { driftMs, type Grant, HeldLease, type LeaseClaim } from './lease.js'
import type { Locker } from './locker.js'
import { aborted, type LockRequest } from './request.js'

/** After this many grants that had run out before they were known here, the backend counts as too slow. */
const LATE_GRANTS = 3

/** What one `acquire` call came to. The waiting room plans the next call by it. */
export type Asked =
  /** The attempt has its lease. */
  | { readonly status: 'granted' }
  /** The attempt ended meanwhile, in whatever way. */
  | { readonly status: 'ended' }
  | { readonly status: 'busy'; readonly retryAfterMs: number | null; readonly requeued: boolean }
  | { readonly status: 'fault'; readonly error: SoloistError; readonly askedAtMs: number }

/** What ends a wait, apart from the request's own signal. */
export interface Patience {
  /** Since when the caller waits, on the monotonic clock: `waitMs` counts from then. */
  readonly sinceMs: number
  /** Whether the claim may be queued; without, the answer to the first question decides. */
  readonly queues: boolean
  /** Ends the wait with its reason. */
  readonly unless: AbortSignal | null
  /** Called once the claim is queued. */
  readonly onQueued?: (() => void) | undefined
}

/**
 * One call for a lock that is under way: from its first `acquire` until it has a lease, is refused, times out or is
 * aborted. It ends exactly once. What the backend grants it afterwards is given back.
 */
export class Attempt {
  readonly claim: LeaseClaim
  /** `null` when the lock is not free and the claim was not to be queued. */
  readonly result: Promise<HeldLease | null>
  /** The place in the queue, once there is one. */
  ticket: number | null = null

  readonly #locker: Locker
  readonly #request: LockRequest
  readonly #patience: Patience
  #settle!: { resolve(lease: HeldLease | null): void; reject(error: unknown): void }
  #over = false
  #timer: Timer | null = null
  readonly #stopListening: (() => void)[] = []
  #answered = false
  #holder: string | null = null
  #lastFault: unknown
  #lateGrants = 0

  constructor(locker: Locker, claim: LeaseClaim, request: LockRequest, patience: Patience) {
    this.#locker = locker
    this.claim = claim
    this.#request = request
    this.#patience = patience
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }

  /** Sends the first question and starts the bounds of the wait. */
  start(): void {
    const { waitMs, signal } = this.#request
    const { queues, unless } = this.#patience
    if (queues && waitMs !== Infinity) {
      this.#timer = this.#locker.clock.setTimer(waitMs - this.#waitedMs(), () => this.fail(this.refusal()))
    }
    if (signal !== null) this.#stopListening.push(onAbort(signal, () => this.fail(aborted(signal))))
    if (unless !== null) this.#stopListening.push(onAbort(unless, () => this.fail(unless.reason)))
    void this.#first()
  }

  async #first(): Promise<void> {
    const asked = await this.ask()
    if (asked.status === 'fault') return this.fail(asked.error)
    if (asked.status !== 'busy' || this.#over) return
    if (this.#patience.queues) {
      const holder = this.#holder
      this.#locker.publish('waiting', () => ({ ...this.#subject(), holder }))
      this.#locker.waiting.add(this, asked.retryAfterMs)
      this.#patience.onQueued?.()
    } else {
      this.#end()
      this.#settle.resolve(null)
    }
  }

  /** Asks the backend for the lock, at this attempt's place. Never rejects: also an answer that is none is a fault. */
  async ask(): Promise<Asked> {
    const sentAt = instant(this.#locker.clock)
    try {
      const reply = await this.#locker.calls.twice('acquire', backend => this.#send(backend))
      return await this.#heard(reply, sentAt)
    } catch (error) {
      return this.#faulty(this.#locker.calls.faultOf('acquire', error), sentAt)
    }
  }

  async #heard(reply: AcquireReply, sentAt: Instant): Promise<Asked> {
    if (this.#over) return { status: 'ended' }
    this.#answered = true
    this.#lastFault = undefined
    switch (reply.status) {
      case 'granted':
        return await this.#granted(reply.fence, sentAt)
      case 'limit':
        this.#refuse(this.#limitMismatch(reply.limit))
        return { status: 'ended' }
      case 'busy':
        this.ticket = reply.ticket ?? this.ticket
        this.#holder = reply.holder
        return { status: 'busy', retryAfterMs: reply.retryAfterMs, requeued: reply.requeued }
      default:
        throw new TypeError('an answer to acquire of no known kind')
    }
  }

  /** A grant was pushed. It counts once the backend has confirmed that it still stands. */
  async confirm(): Promise<Asked> {
    const sentAt = instant(this.#locker.clock)
    const [reply] = await this.#locker.calls.renew([this.claim])
    if (this.#over) return { status: 'ended' }
    if (reply?.status === 'fault') return this.#faulty(reply.error, sentAt)
    if (reply?.status !== 'held') return await this.ask()
    try {
      return await this.#granted(reply.fence, sentAt)
    } catch (error) {
      return this.#faulty(this.#locker.calls.faultOf('renew', error), sentAt)
    }
  }

  /**
   * The lock was granted in answer to a release sent at `sentAt`: held from then on for the grant lease, within which the
   * first renewal confirms it. Answers whether there is a lease now; else the grant is to be confirmed first.
   */
  handed({ fence, leaseMs }: HandedGrant, sentAt: Instant): boolean {
    const termMs = Math.min(leaseMs, this.claim.ttlMs)
    if (elapsedMs(this.#locker.clock, sentAt) >= termMs - driftMs(termMs)) return false
    this.#hold({ fence, sentAt, termMs })
    return true
  }

  /** Ends the wait without a lease. What the backend may have noted of the claim is taken back. */
  fail(error: unknown): void {
    if (this.#over) return
    this.#refuse(error)
    this.#locker.giveBack(this.claim)
  }

  /** Why there is no lease: the lock was not free, not free in time, or the backend did not answer. */
  refusal(): SoloistError {
    const { backend, lastFailure } = this.#locker.calls
    if (!this.#answered) {
      const message = `the ${backend.kind} backend gave no answer within the ${this.#request.waitMs} ms this call may wait (waitMs)`
      return new SoloistError('BACKEND_UNAVAILABLE', message, causedBy(this.#lastFault ?? lastFailure))
    }
    return new LockTimeoutError({
      lockName: this.claim.name,
      holder: this.#holder,
      waitedMs: this.#waitedMs(),
      bound: `${this.#request.waitMs} ms (waitMs)`,
      ...causedBy(this.#lastFault),
    })
  }

  #send(backend: Backend): Promise<AcquireReply> {
    const { queues } = this.#patience
    const { replaces } = this.#request
    const call = backend.acquire(this.claim, { ticket: queues ? (this.ticket ?? 'new') : undefined, replaces })
    // An answer that arrives after the end may have granted or queued the claim anew: behind a time-out, or since the
    // client sent it once more on a new connection. After a failure it is unknown what the backend did.
    const check = (reply: AcquireReply | null) => {
      const noted = reply?.status !== 'limit' && (reply?.status !== 'busy' || queues)
      if (noted && this.#over) this.#locker.giveBack(this.claim)
    }
    call.then(check, () => check(null))
    return call
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
      return { status: 'ended' }
    }
    this.#hold({ fence, sentAt, termMs: ttlMs })
    return { status: 'granted' }
  }

  #hold(grant: Grant): void {
    const lease = new HeldLease(this.#locker, this.claim, grant, this.#request.holdForMs)
    this.#end()
    this.#locker.hold(lease, this.#waitedMs())
    this.#settle.resolve(lease)
  }

  #faulty(error: SoloistError, sentAt: Instant): Asked {
    if (this.#over) return { status: 'ended' }
    if (error.code !== 'BACKEND_UNAVAILABLE') {
      this.#refuse(error)
      return { status: 'ended' }
    }
    this.#lastFault = error
    return { status: 'fault', error, askedAtMs: sentAt.monotonicMs }
  }

  /** Ends the wait when the backend is known to have noted nothing. */
  #refuse(error: unknown): void {
    this.#end()
    this.#settle.reject(error)
  }

  #end(): void {
    this.#over = true
    this.#timer?.cancel()
    for (const stop of this.#stopListening) stop()
    this.#locker.waiting.remove(this)
    this.#locker.forget(this)
  }

  #waitedMs(): number {
    return this.#locker.clock.monotonicMs() - this.#patience.sinceMs
  }

  #subject(): { name: string; owner: string; mode: Claim['mode'] } {
    return { name: this.claim.name, owner: this.claim.owner, mode: this.claim.mode }
  }

  #limitMismatch(limit: number | null): SoloistError {
    const name = JSON.stringify(this.claim.name)
    const kind = (of: number | null) => (of === null ? 'a read lock' : `a semaphore of ${of}`)
    const message = `lock ${name} is in use as ${kind(limit)}, not as ${kind(this.claim.limit)}`
    return new SoloistError('LIMIT_MISMATCH', message)
  }
}
