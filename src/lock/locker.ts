import type { EventEmitter } from 'node:events'
import type {
  AcquireAnswer,
  Backend,
  Claim,
  ClaimId,
  ClaimMode,
  HandedGrant,
  KeptResult,
  LockState,
  StoreEvent,
  WatchReply,
} from '../backend.js'
import { invalidArgument, SoloistError } from '../errors.js'
import type { Clock } from '../internal/clock.js'
import { Calls } from './calls/calls.js'
import { StepCollector } from './calls/collector.js'
import { Deadlines } from './calls/deadlines.js'
import { Failures } from './calls/failures.js'
import type { CallTimes, Done, PendingStep } from './calls/steps.js'
import { News } from './events.js'
import { HeldLease } from './holding/lease.js'
import { Releases, type ReleasesHost } from './holding/releases.js'
import { type RenewalHost, Renewer } from './holding/renewal.js'
import { Expiring, LocalLocks } from './local-locks.js'
import type { LockRequest } from './request.js'
import { Attempt, type AttemptHost, aborted, type Patience } from './waiting/attempt.js'
import { type Waiter, type WaitingHost, WaitingRoom } from './waiting/room.js'
import { type WatchingHost, WatchRoom } from './waiting/watching.js'

export interface LockerOptions {
  /** This client's name, unique among all clients of the datastore; starts every owner. */
  readonly clientId: string
  readonly clock: Clock
  /** From 0 to below 1; spreads renewals and questions. */
  readonly random: () => number
  /** The bound of one call to the backend. */
  readonly callTimeoutMs: number
  readonly emitter: EventEmitter
}

/** What a wait in several parts adds to its request. */
export interface PartPatience extends Pick<Patience, 'unless' | 'onQueued'> {
  /** Since when the caller waits, on the monotonic clock. */
  readonly sinceMs: number
}

/** What nearly all calls have. */
const NO_PART = { unless: null, onQueued: null } as const
const WAITS: Patience = { queues: true, insists: true, ...NO_PART }
const INSISTS: Patience = { queues: false, insists: true, ...NO_PART }
const TRIES: Patience = { queues: false, insists: false, ...NO_PART }

/** How many leases `close` gives up before it looks whether the backend still answers. */
const CLOSE_AT_ONCE = 1_024

/** One client of one backend: turns requests into leases, and keeps every promise made about them until it is closed. */
export class Locker implements AttemptHost, RenewalHost, ReleasesHost, WaitingHost, WatchingHost {
  readonly clock: Clock
  readonly random: () => number
  readonly clientId: string
  readonly kind: string
  readonly beatMs: number
  readonly collector: StepCollector
  readonly locks: LocalLocks = new LocalLocks()
  readonly waiting: WaitingRoom
  readonly watching: WatchRoom
  readonly news: News

  readonly #calls: Calls
  readonly #failures: Failures
  readonly #renewer: Renewer
  readonly #releases: Releases
  #sequence = 0
  #closing: Promise<void> | null = null
  /** Leases that `close` ended and has not given up yet. */
  readonly #ended: HeldLease[] = []
  #closed = false

  constructor(backend: Backend, options: LockerOptions) {
    const { clock, clientId } = options
    this.clock = clock
    this.random = options.random
    this.clientId = clientId
    this.kind = backend.kind
    this.beatMs = backend.beatMs
    this.news = new News(options.emitter, clock)
    const failures = new Failures(backend.kind)
    this.#failures = failures
    const deadlines = new Deadlines(clock, options.callTimeoutMs)
    const onHanded = (grant: HandedGrant, call: CallTimes) => this.#handed(grant, call)
    this.collector = new StepCollector({ backend, clock, deadlines, failures, onHanded })
    this.#calls = new Calls(backend, clock, deadlines, failures)
    this.waiting = new WaitingRoom(this, backend.beatMs)
    this.watching = new WatchRoom(this)
    this.#renewer = new Renewer(this)
    this.#releases = new Releases(this)
    backend.open(clientId, event => this.#told(event))
  }

  /** Waits for the lock as long as the request allows. */
  acquire(request: LockRequest, part: PartPatience | null = null): Promise<HeldLease> {
    const now = this.collector.nowMs
    const sinceMs = part?.sinceMs ?? now
    let patience = now - sinceMs < request.waitMs ? WAITS : INSISTS
    if (part !== null) patience = { ...patience, unless: part.unless, onQueued: part.onQueued }
    // One that insists never resolves with null.
    return this.#attempt(request, patience, sinceMs) as Promise<HeldLease>
  }

  /** Takes the lock if it is free now, else `null`. */
  tryAcquire(request: LockRequest): Promise<HeldLease | null> {
    return this.#attempt(request, TRIES, this.collector.nowMs)
  }

  /** Claims a lock in one step, without a lease that is kept renewed. */
  take(claim: Claim, replaces: string | null): Promise<Done<AcquireAnswer>> {
    return new Promise((resolve, reject) => {
      this.assertOpen()
      const step = { kind: 'acquire', claim, ticket: null, replaces } as const
      this.collector.add<AcquireAnswer>(step, this.locks.at(claim.name), true, { answered: resolve, failed: reject })
    })
  }

  /** An owner that nobody else has. */
  newOwner(): string {
    this.#sequence += 1
    return `${this.clientId}/${this.#sequence}`
  }

  /** Who holds the lock and who waits for it, or `null` when nobody does. */
  async inspect(name: string): Promise<LockState | null> {
    this.assertOpen()
    return await this.#calls.run('inspect', backend => backend.inspect(name))
  }

  /**
   * Gives up a claim for somebody else.
   *
   * @returns whether its owner held the lock until now, and so whether `result` is kept
   */
  async release(claim: ClaimId, result: KeptResult | null = null): Promise<boolean> {
    this.assertOpen()
    return await this.#releases.releaseOf(claim, result)
  }

  /** As {@link Locker.release}, also while this object is being closed. */
  async releaseUnused(claim: ClaimId): Promise<void> {
    if (this.#closed) throw closed()
    await this.#releases.releaseOf(claim, null)
  }

  /** The lease this client has for a claim, while it has one. */
  leaseOf({ name, owner }: ClaimId): HeldLease | undefined {
    const standing = this.locks.find(name, owner)
    return standing instanceof HeldLease ? standing : undefined
  }

  /** What became of a claim that somebody else holds. */
  watch(claim: ClaimId): Promise<WatchReply> {
    return this.#calls.twice('watch', async ({ kind, results }) => {
      if (results === undefined) throw invalidArgument(`the ${kind} backend keeps no results, which jobs need`)
      return await results.watch(claim)
    })
  }

  /**
   * Every lock in use whose name starts with `prefix`, in no promised order. Each step is a call of its own, with its
   * bound and its errors.
   */
  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    this.assertOpen()
    for await (const state of this.#calls.list(prefix, () => this.isOpen)) {
      yield state
      this.assertOpen()
    }
  }

  get isOpen(): boolean {
    return this.#closing === null
  }

  assertOpen(): void {
    if (!this.isOpen) throw closed()
  }

  /**
   * Ends every wait with `CLOSED`, aborts the signal of every lease and gives it up, then closes the backend. While the
   * backend does not answer it takes at most two call time-outs; safe to call twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const standing of this.locks.standing()) {
      if (standing instanceof HeldLease) standing.lose(closed())
      else if (standing instanceof Attempt) standing.fail(closed())
    }
    this.watching.close(closed())
    await this.#releaseEnded()
    // What is not done in time has a fault event of its own.
    await Promise.allSettled([this.#calls.bounded('close', this.#releases.finished())])
    this.#closed = true
    this.#renewer.stop()
    this.collector.cut(closed())
    for (const standing of this.locks.standing()) if (standing instanceof Expiring) standing.timer.cancel()
    await this.#calls.run('close', backend => backend.close())
  }

  /** Gives up what `close` ended, some at a time, so that each has its time to be answered; as long as any is answered. */
  async #releaseEnded(): Promise<void> {
    let answers = true
    for (let leases = this.#ended.splice(0, CLOSE_AT_ONCE); leases.length > 0; ) {
      const before = this.#releases.answered
      for (const lease of leases) {
        if (answers) this.#releases.release(lease, null)
        else
          this.onReleaseFault(
            lease,
            this.#failures.unavailable('release', 'gave no answer for a while', this.#failures.last),
          )
      }
      leases = this.#ended.splice(0, CLOSE_AT_ONCE)
      if (!answers || leases.length === 0) continue
      await this.#releases.finished()
      answers = this.#releases.answered > before
    }
  }

  #attempt(request: LockRequest, patience: Patience, sinceMs: number): Promise<HeldLease | null> {
    this.assertOpen()
    if (request.signal?.aborted) throw aborted(request.signal)
    patience.unless?.throwIfAborted()
    const { name, mode, limit, ttlMs, meta } = request
    const owner = request.owner ?? this.newOwner()
    const lock = this.locks.at(name)
    const standing = lock.find(owner)
    if (standing !== undefined && !(standing instanceof Expiring)) {
      throw invalidArgument('this owner holds or claims the lock already; a run needs an owner of its own')
    }
    const attempt = new Attempt(this, { name, owner, mode, limit, ttlMs, meta }, lock, request, patience, sinceMs)
    lock.put(attempt)
    attempt.start()
    return attempt.result
  }

  // What attempts call back.

  hold(lease: HeldLease, nowMs: number): void {
    this.#renewer.add(lease, nowMs)
    lease.lock.put(lease)
  }

  onHeld(lease: HeldLease, sinceMs: number): void {
    this.news.acquired(lease, sinceMs)
  }

  forget(attempt: Attempt): void {
    attempt.lock.remove(attempt)
  }

  onQueued(attempt: Attempt, holder: string | null): void {
    this.news.waiting(attempt.claim, holder)
  }

  dequeue(attempt: Attempt): PendingStep | null {
    return this.#releaseOrphan(attempt.claim, attempt.claim.mode)
  }

  onWaitFault(waiter: Waiter, error: unknown): void {
    const standing = this.locks.find(waiter.name, waiter.owner)
    const mode = standing instanceof Attempt ? standing.claim.mode : null
    this.news.fault(waiter, mode, 'wait', error)
  }

  // What leases call back.

  renewNow(lease: HeldLease): Promise<void> {
    return this.#renewer.renew(lease)
  }

  onRenewFault(lease: HeldLease, error: unknown): void {
    this.news.fault(lease, lease.claim.mode, 'renew', error)
  }

  releaseLease(lease: HeldLease, result: KeptResult | null): void {
    this.#renewer.remove(lease)
    if (this.#closed) lease.endRelease(false, closed())
    else this.#releases.release(lease, result)
  }

  onLost(lease: HeldLease, reason: SoloistError): void {
    this.#renewer.remove(lease)
    if (reason.code === 'CLOSED') {
      this.#ended.push(lease)
      return
    }
    this.news.lost(lease, reason)
    lease.lock.remove(lease)
    this.#releaseOrphan(lease, lease.claim.mode)
  }

  onReleased(lease: HeldLease): void {
    this.news.released(lease)
  }

  onMissed(name: string): void {
    this.waiting.ask(name)
  }

  onReleaseFault(lease: HeldLease, error: unknown): void {
    this.news.fault(lease, lease.claim.mode, 'release', error)
  }

  onFault(claim: ClaimId, mode: ClaimMode | null, error: unknown): void {
    this.news.fault(claim, mode, 'release', error)
  }

  // What the backend tells.

  #told(event: StoreEvent): void {
    switch (event.type) {
      case 'granted':
        return this.#granted(event)
      case 'ended':
        return this.watching.ended(event)
      case 'fault':
        return this.news.storeFault(event.error)
      case 'gap':
        this.waiting.gap()
        this.watching.gap()
    }
  }

  #handed(grant: HandedGrant, call: CallTimes): void {
    const standing = this.locks.find(grant.name, grant.owner)
    if (!(standing instanceof Attempt) || !standing.handed(grant.fence, call)) this.#granted(grant)
  }

  #granted(claim: ClaimId): void {
    const standing = this.locks.find(claim.name, claim.owner)
    if (standing instanceof Attempt) this.waiting.grant(standing)
    // Nobody waits for it any more.
    else this.#releaseOrphan(claim, null)
  }

  #releaseOrphan(claim: ClaimId, mode: ClaimMode | null): PendingStep | null {
    return this.#closed ? null : this.#releases.releaseOrphan(claim, mode)
  }
}

function closed(): SoloistError {
  return new SoloistError('CLOSED', 'this Soloist object was closed')
}
