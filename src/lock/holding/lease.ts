import type { Claim, KeptResult } from '../../backend.js'
import { invalidArgument, SoloistError } from '../../errors.js'
import { type Clock, elapsedMs, type Instant } from '../../internal/clock.js'
import { RingLink } from '../../internal/ring.js'
import type { CallTimes } from '../calls/steps.js'
import type { LocalLock } from '../local-locks.js'
import { outsideBlocks } from './blocks.js'
import { tokenOf } from './token.js'

/**
 * One holding of a lock, renewed in the background until it is released.
 *
 * A lease is a promise about time, not about your writes: while {@link Lease.signal} has not fired, nobody else is
 * granted the lock. A process that was paused may still act after its lease is over, so a resource that must never see
 * a late write has to compare {@link Lease.fence} itself.
 */
export interface Lease extends AsyncDisposable {
  readonly name: string
  /** The string that holds the lock in the backend. */
  readonly owner: string
  /**
   * A number greater than that of every earlier grant of this lock. Send it along with each write and let the resource
   * reject a lower one than it has seen (Kleppmann, "How to do distributed locking", 2016).
   *
   * It stays the same as long as the lease does, but for one that may be retaken (`onLost: 'retake'`): then read
   * it anew for each write.
   */
  readonly fence: number
  /** When the request that was granted was sent, on this process's clock. */
  readonly acquiredAt: Date
  /** Until when ownership is proven so far, on this process's clock; moves with every renewal. */
  readonly expiresAt: Date
  /**
   * Aborts once ownership can no longer be proven: the lease ran out unrenewed, was taken over or cleared, or the
   * Soloist object was closed. Its reason is a {@link SoloistError}. It comes from a local timer, so it fires on time
   * also when the backend is unreachable, and it does not fire on `release()`.
   */
  readonly signal: AbortSignal
  /**
   * Returns if ownership is proven at this moment, judged by the clock and not by a timer: also right after the process
   * was paused or its event loop was blocked.
   *
   * @throws SoloistError `LEASE_LOST`, also after `release()`; `CLOSED` after `close()`.
   */
  assertValid(): void
  /**
   * Renews now, for those who want to know before a long step. Not needed to keep the lease.
   *
   * Held after abort or rejection: the lease stands until `expiresAt`, and is renewed in the background, unless it is
   * `LEASE_LOST` or `CLOSED`.
   *
   * @throws SoloistError `LEASE_LOST`; `BACKEND_UNAVAILABLE` when there was no answer (the lease stands until it runs out).
   */
  renew(): Promise<void>
  /**
   * Gives the lock to the next in line. Resolves without effect when the lease is over already.
   *
   * Held after abort or rejection: the lock is not renewed any more, and runs out after its `ttlMs` at the latest.
   *
   * @throws SoloistError `BACKEND_UNAVAILABLE` when there was no answer; may be called again, and the lock expires anyway.
   */
  release(): Promise<void>
  /**
   * Hands the holding on: `solo.attach` with the token makes a lease of it again, in another process or later. The lock
   * stays held meanwhile, for one `ttlMs` from now; nobody renews it until it is attached. This lease is over then:
   * `assertValid()` throws, `release()` has no effect, and `signal` does not fire. At the end of its `withLock` block
   * nothing is given back.
   *
   * The token is text without spaces. It names the lock, the owner and the fence and holds no secret, but whoever has it
   * and may use the store can attach it. It is to be attached once: two who attach it both stand for the one holding, and
   * neither learns of the other.
   *
   * Held after abort or rejection: what was held before, unless it is `LEASE_LOST` or `CLOSED`.
   *
   * @throws SoloistError `LEASE_LOST`, also on a second call; `BACKEND_UNAVAILABLE` when there was no answer, and then the
   *   lease is still this one and is renewed; `CLOSED`
   */
  detach(): Promise<string>
  /** As `release()`, but reports a failure as a `fault` event, so that it never hides the error of the block it ends. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A lease of a store in a database that the application writes to as well. `Tx` is one of its transactions there. */
export interface GuardedLease<Tx> extends Lease {
  /**
   * Binds a transaction of the application's to this lease: it can be committed only if the lock is held now, and nobody else is
   * granted the lock before it has ended. So a holder that was paused, overtaken or cleared changes nothing. To be called within
   * the transaction, best as its first statement; a transaction may be bound to several leases.
   *
   * Where it rejects, the transaction must be rolled back, which is what becomes of it if the error is not caught.
   *
   * Held after abort or rejection: what was held before.
   *
   * @throws SoloistError `LEASE_LOST` when the lock is not held by this lease any more; `INVALID_ARGUMENT` for what is no open
   *   transaction; else what the transaction's own client threw
   */
  guard(tx: Tx): Promise<void>
}

/** A lease, and a {@link GuardedLease} where the store takes transactions. */
export type LeaseOf<Tx> = [Tx] extends [never] ? Lease : GuardedLease<Tx>

/** What a lease was granted for. */
export type LeaseClaim = Claim & { readonly ttlMs: number }

/** What a lease needs from the one who granted it. */
export interface LeaseHost {
  readonly clock: Clock
  renewNow(lease: HeldLease): Promise<void>
  /** Give the lock up in the backend, and tell the lease what came of it: {@link HeldLease.endRelease}. */
  releaseLease(lease: HeldLease, result: KeptResult | null): void
  /** The lease ran out and is to be taken again: it is told {@link HeldLease.retaken}, or lost. */
  retake(lease: HeldLease, reason: SoloistError): { cancel(): void }
  /** Whether it is held, in a transaction of the application's; `null`: this store takes none. */
  guardNow(lease: HeldLease, tx: unknown): Promise<boolean> | null
  /** The lease was handed on. */
  onDetached(lease: HeldLease): void
  /** The lease ended although its owner did not release it. */
  onLost(lease: HeldLease, reason: SoloistError): void
  onReleaseFault(lease: HeldLease, error: unknown): void
}

/** The part of a lease's length that is not counted on, for clocks that run at slightly different speeds. */
export function driftMs(ttlMs: number): number {
  return Math.min(ttlMs * 0.01 + 2, ttlMs / 2)
}

/** Who waits for a release. */
interface Releasing {
  readonly resolve: (held: boolean | undefined) => void
  readonly reject: (error: unknown) => void
  /** Whether it is told if the lock was held until then. */
  readonly tells: boolean
  /** Who began to wait before. */
  readonly before: Releasing | null
}

/** A lease as the client that holds it sees it. */
export class HeldLease implements GuardedLease<unknown> {
  /** In the wheel of what is to be renewed. */
  readonly link: RingLink<HeldLease> = new RingLink<HeldLease>(this)
  readonly claim: LeaseClaim
  fence: number
  /** When the granted request was sent. */
  grantedAt: Instant
  /** When renewal is next due, on the monotonic clock. Kept by the renewer. */
  renewalDueMs = 0
  readonly lock: LocalLock
  /** Whether work runs under it that ends it. Kept by the blocks. */
  inBlock = false
  /** What takes the place of this claim when it is given up, in one step; `null`: nothing, the lock is released. */
  successor: Claim | null = null

  readonly #host: LeaseHost
  /** When this process learned of the grant, on the monotonic clock: not before the backend made it. */
  readonly #heldSinceMs: number
  #holdForMs: number
  #provenAt: Instant
  /** Takes the lock again while the lease is neither valid nor lost. */
  #retake: { cancel(): void } | null = null
  /** Who waits until that is decided. */
  #onDecided: (() => void)[] = []
  readonly #retakes: boolean
  /** How many calls are about to hand it on. */
  #handingOn = 0
  #state: 'held' | 'retaking' | 'releasing' | 'released' | 'detached' | 'lost' = 'held'
  #releasing: Releasing | null = null
  #controller: AbortController | null = null
  #lostReason: SoloistError | null = null

  /**
   * @param terms `retakes`: whether the lock is taken again when the lease ran out
   * @param call what it was granted in
   */
  constructor(
    host: LeaseHost,
    lock: LocalLock,
    claim: LeaseClaim,
    terms: { readonly holdForMs: number; readonly retakes?: boolean | undefined },
    fence: number,
    call: CallTimes,
  ) {
    this.#host = host
    this.lock = lock
    this.claim = claim
    this.fence = fence
    this.grantedAt = call
    this.#provenAt = call
    this.#holdForMs = terms.holdForMs
    this.#retakes = terms.retakes === true
    this.#heldSinceMs = call.answeredAtMs
  }

  /** As a group of one. */
  get leases(): readonly HeldLease[] {
    return [this]
  }

  get name(): string {
    return this.claim.name
  }

  get owner(): string {
    return this.claim.owner
  }

  get acquiredAt(): Date {
    return new Date(this.grantedAt.wallMs)
  }

  get expiresAt(): Date {
    return new Date(this.#provenAt.wallMs + this.termMs - driftMs(this.termMs))
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#lostReason !== null) this.#controller.abort(this.#lostReason)
    }
    return this.#controller.signal
  }

  /** How long it is held after the last request that was granted or renewed it, in milliseconds. */
  get termMs(): number {
    return this.claim.ttlMs
  }

  /** Whether what is held ends with this process. */
  get endsWithProcess(): boolean {
    return this.claim.endsWithProcess === true && this.#handingOn === 0
  }

  get held(): boolean {
    return this.#state === 'held'
  }

  /** Whether ownership is proven at this moment. */
  get valid(): boolean {
    this.#expireIfDue()
    return this.held
  }

  /** As {@link HeldLease.valid}, for who only looks: a lease that has run out is not ended by it. */
  get proven(): boolean {
    return this.held && this.remainingMs > 0
  }

  /** How long it has been held, in milliseconds. */
  get heldMs(): number {
    return this.#host.clock.monotonicMs() - this.#heldSinceMs
  }

  /** How much longer the lock is to be kept although it is released, in milliseconds; not positive: no longer. */
  get keptForMs(): number {
    return this.#holdForMs === 0 ? 0 : Math.ceil(this.#holdForMs - this.heldMs)
  }

  /** How much longer ownership is proven, in milliseconds; not positive when it no longer is. */
  get remainingMs(): number {
    return this.termMs - driftMs(this.termMs) - elapsedMs(this.#host.clock, this.#provenAt)
  }

  /** When it ends unless it is renewed, on the monotonic clock; sooner where the machine sleeps. */
  get endsAtMs(): number {
    return this.#provenAt.monotonicMs + this.termMs - driftMs(this.termMs)
  }

  assertValid(): void {
    this.assertNotLost()
    if (this.#state !== 'held') {
      const how = this.#state === 'detached' ? 'handed on' : 'released'
      throw new SoloistError('LEASE_LOST', `the lease on ${JSON.stringify(this.name)} was ${how}`)
    }
  }

  /** As `assertValid()`, but does not throw for a lease that its owner has released. */
  assertNotLost(): void {
    this.#expireIfDue()
    // A new error, so that its stack shows this call. It has no `cause`, which would only say the same again.
    if (this.#lostReason !== null) throw new SoloistError(this.#lostReason.code, this.#lostReason.message)
    if (this.#state !== 'retaking') return
    throw new SoloistError('LEASE_LOST', `the lease on ${JSON.stringify(this.name)} ran out, and is being taken again`)
  }

  /** Resolves once it is known whether a lease that ran out is held again; `null` where there is nothing to wait for. */
  decision(): Promise<void> | null {
    this.#expireIfDue()
    return this.#state === 'retaking' ? new Promise(resolve => this.#onDecided.push(resolve)) : null
  }

  async renew(): Promise<void> {
    const decision = this.decision()
    if (decision !== null) {
      await decision
      return this.assertValid()
    }
    this.assertValid()
    await this.#host.renewNow(this)
    this.assertValid()
  }

  async guard(tx: unknown): Promise<void> {
    await this.decision()
    this.assertValid()
    const guarded = this.#host.guardNow(this, tx)
    if (guarded === null) throw invalidArgument('the locks of this store are in no database that takes a transaction')
    if (await guarded) return
    const message = `the lock ${JSON.stringify(this.name)} is not held by this lease any more: roll back`
    throw new SoloistError('LEASE_LOST', message)
  }

  async detach(): Promise<string> {
    await this.decision()
    this.assertValid()
    // From now on it stands by itself, for as long as its ttl lasts.
    this.#handingOn += 1
    try {
      await this.#host.renewNow(this)
    } finally {
      this.#handingOn -= 1
    }
    this.assertValid()
    this.#state = 'detached'
    this.#host.onDetached(this)
    const { claim, fence } = this
    return tokenOf({ ...claim, fence, holdForMs: Math.max(this.keptForMs, 0) })
  }

  release(): Promise<void> {
    return new Promise((resolve, reject) => this.#release(null, resolve as Releasing['resolve'], reject, false))
  }

  /** As `release()`, leaving a result for whoever watches. @returns whether the lock was held until now, so it is kept */
  releaseWith(result: KeptResult | null): Promise<boolean> {
    return new Promise((resolve, reject) => this.#release(result, resolve as Releasing['resolve'], reject, true))
  }

  /**
   * As `releaseWith`, also when nothing is left of the lease by this process's clocks, as long as that was not noticed: the
   * answer decides whether the lock was held until now.
   */
  conclude(result: KeptResult): Promise<boolean> {
    return new Promise((resolve, reject) => this.#release(result, resolve as Releasing['resolve'], reject, true, true))
  }

  /** Keeps the lock at least this long from its grant on, in milliseconds, also when it is released sooner. */
  holdFor(ms: number): void {
    this.#holdForMs = ms
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.release()
    } catch (error) {
      this.#host.onReleaseFault(this, error)
    }
  }

  /** The backend confirmed, in answer to a request sent at `sentAt`, that the lease runs from then on. */
  extend(sentAt: Instant): void {
    if (this.#state !== 'held' || sentAt.monotonicMs <= this.#provenAt.monotonicMs) return
    this.#provenAt = sentAt
  }

  /** The backend answered to a renewal with this fence that it is not held any more. */
  denied(fence: number): void {
    if (fence !== this.fence || this.#state !== 'held') return
    const message = `the lock ${JSON.stringify(this.name)} is not held by this lease any more`
    const reason = new SoloistError('LEASE_LOST', message)
    // What was taken away before its time is not to be taken again.
    if (this.remainingMs > 0) this.lose(reason)
    else this.#runOut(reason)
  }

  /** It ran out, and is held again. */
  retaken(fence: number, call: CallTimes): void {
    this.#state = 'held'
    this.fence = fence
    this.grantedAt = call
    this.#provenAt = call
    this.#decided()
  }

  /** Ends a lease that was not released. */
  lose(reason: SoloistError): void {
    if (this.#state !== 'held' && this.#state !== 'retaking') return
    this.#state = 'lost'
    this.#decided()
    this.#lostReason = reason
    this.#host.onLost(this, reason)
    const controller = this.#controller
    if (controller !== null) outsideBlocks(() => controller.abort(reason))
  }

  /**
   * What the release came to: whether the lock was held until then, or an error, after which it may be tried again.
   *
   * @returns whether anybody waited for it
   */
  endRelease(held: boolean, error: unknown): boolean {
    const last = this.#releasing
    this.#releasing = null
    if (error === null && this.#state === 'releasing') this.#state = 'released'
    for (let waiting = last; waiting !== null; waiting = waiting.before) {
      if (error === null) waiting.resolve(waiting.tells ? held : undefined)
      else waiting.reject(error)
    }
    return last !== null
  }

  #release(
    result: KeptResult | null,
    resolve: Releasing['resolve'],
    reject: Releasing['reject'],
    tells: boolean,
    late = false,
  ): void {
    if (!late && this.held && this.remainingMs <= 0) this.lose(this.#outReason())
    if (this.#state !== 'held' && this.#state !== 'retaking' && this.#state !== 'releasing')
      return resolve(tells ? false : undefined)
    const before = this.#releasing
    this.#releasing = { resolve, reject, tells, before }
    if (before !== null) return
    this.#state = 'releasing'
    this.#decided()
    try {
      this.#host.releaseLease(this, result)
    } catch (error) {
      this.endRelease(false, error)
    }
  }

  #expireIfDue(): void {
    if (!this.held || this.remainingMs > 0) return
    this.#runOut(this.#outReason())
  }

  #outReason(): SoloistError {
    const message = `the lease on ${JSON.stringify(this.name)} ran out: it was not renewed within ${this.termMs} ms`
    return new SoloistError('LEASE_LOST', message)
  }

  #runOut(reason: SoloistError): void {
    if (!this.#retakes) return this.lose(reason)
    this.#state = 'retaking'
    this.#retake = this.#host.retake(this, reason)
  }

  #decided(): void {
    this.#retake?.cancel()
    this.#retake = null
    for (const resolve of this.#onDecided.splice(0)) resolve()
  }
}
