import type { EventEmitter } from 'node:events'
import type {
  AcquireAnswer,
  Answer,
  Backend,
  BeginAnswer,
  Claim,
  ClaimId,
  ClaimMode,
  HandedGrant,
  KeptResult,
  LockState,
  Step,
  StoreEvent,
  WatchReply,
} from '../backend.js'
import { invalidArgument, type SoloistError } from '../errors.js'
import { onAbort } from '../internal/abort.js'
import type { Clock } from '../internal/clock.js'
import { Calls } from './calls/calls.js'
import { StepCollector } from './calls/collector.js'
import { Deadlines } from './calls/deadlines.js'
import { Failures } from './calls/failures.js'
import type { CallTimes, Done, PendingStep } from './calls/steps.js'
import { Closing, type ClosingHost, closedError } from './closing.js'
import { News } from './events.js'
import { Attachment, type AttachmentHost } from './holding/attachment.js'
import { Blocks, type BlocksHost } from './holding/blocks.js'
import { HeldLease } from './holding/lease.js'
import { Releases, type ReleasesHost } from './holding/releases.js'
import { type RenewalHost, Renewer } from './holding/renewal.js'
import { Retake, type RetakeHost } from './holding/retake.js'
import type { Holding } from './holding/token.js'
import { Expiring, type LocalLock, LocalLocks } from './local-locks.js'
import type { LockRequest, TriggerTerms } from './request.js'
import { Attempt, type AttemptHost } from './waiting/attempt.js'
import { aborted, INSISTS, type PartPatience, type Patience, TRIES, WAITS } from './waiting/patience.js'
import { type WaitingHost, WaitingRoom } from './waiting/room.js'
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

/** What the backend may still tell of a claim so long after it was handed on. */
const NEWS_LATE_MS = 60_000

/** One client of one backend: turns requests into leases, and keeps every promise made about them until it is closed. */
export class Locker
  implements
    AttachmentHost,
    AttemptHost,
    BlocksHost<HeldLease>,
    ClosingHost,
    RenewalHost,
    ReleasesHost,
    RetakeHost,
    WaitingHost,
    WatchingHost
{
  readonly clock: Clock
  readonly random: () => number
  readonly clientId: string
  readonly kind: string
  readonly beatMs: number
  readonly collector: StepCollector
  readonly locks: LocalLocks = new LocalLocks()
  readonly blocks: Blocks<HeldLease> = new Blocks<HeldLease>(this)
  readonly releases: Releases
  readonly waiting: WaitingRoom
  readonly watching: WatchRoom
  readonly news: News
  readonly failures: Failures

  readonly #backend: Backend
  readonly #calls: Calls
  readonly #renewer: Renewer
  readonly #onDurable = new Set<(claim: ClaimId) => void>()
  readonly #atAbort = new Set<(reason: SoloistError) => void>()
  #sequence = 0
  /** How many leases this client holds. */
  held = 0
  #closing: Closing | null = null
  #end: Promise<void> | null = null
  #closed = false
  readonly #onClose = new Set<() => void>()

  constructor(backend: Backend, options: LockerOptions) {
    const { clock, clientId } = options
    this.clock = clock
    this.random = options.random
    this.clientId = clientId
    this.#backend = backend
    this.kind = backend.kind
    this.beatMs = backend.beatMs
    this.news = new News(options.emitter, clock)
    const failures = new Failures(backend.kind)
    this.failures = failures
    const deadlines = new Deadlines(clock, options.callTimeoutMs)
    const onHanded = (grant: HandedGrant, call: CallTimes) => this.#handed(grant, call)
    this.collector = new StepCollector({ backend, clock, deadlines, failures, onHanded })
    this.#calls = new Calls(backend, clock, deadlines, failures)
    this.waiting = new WaitingRoom(this, backend.beatMs)
    this.watching = new WatchRoom(this)
    this.#renewer = new Renewer(this)
    this.releases = new Releases(this)
    backend.open(clientId, event => this.#told(event))
  }

  /** Waits for the lock as long as the request allows. */
  acquire(request: LockRequest, part: PartPatience | null = null): Promise<HeldLease> {
    const now = this.collector.nowMs
    const sinceMs = part?.sinceMs ?? now
    let patience = now - sinceMs < request.waitMs ? WAITS : INSISTS
    if (part !== null) patience = { ...patience, unless: part.unless, onQueued: part.onQueued }
    // One that insists never resolves with null.
    return this.#attempt(request, patience, sinceMs).result as Promise<HeldLease>
  }

  /** Takes the lock if it is free now, else `null`. */
  tryAcquire(request: LockRequest): Promise<HeldLease | null> {
    return this.#attempt(request, TRIES, this.collector.nowMs).result
  }

  /** Asks for a run of a job, and waits for its turn as long as it has a place. */
  trigger(request: LockRequest & { readonly trigger: TriggerTerms }): Attempt {
    return this.#attempt(request, WAITS, this.collector.nowMs)
  }

  /** Begins a run whose claim was granted. */
  begin({ name, owner }: ClaimId): Promise<Done<BeginAnswer>> {
    return new Promise((resolve, reject) => {
      const listener = { answered: resolve, failed: reject }
      this.collector.add<BeginAnswer>({ kind: 'begin', name, owner }, this.locks.at(name), true, listener)
    })
  }

  /** Claims a lock in one step, without a lease that is kept renewed. */
  take(claim: Claim, replaces: string | null): Promise<Done<AcquireAnswer>> {
    return new Promise((resolve, reject) => {
      this.assertTakesWork()
      const step = { kind: 'acquire', claim, ticket: null, replaces } as const
      this.collector.add<AcquireAnswer>(step, this.locks.at(claim.name), true, { answered: resolve, failed: reject })
    })
  }

  /** Does one step of a claim that has no lease here. */
  step<A extends Answer>(step: Step, name: string): Promise<Done<A>> {
    return new Promise((resolve, reject) => {
      this.assertOpen()
      this.collector.add<A>(step, this.locks.at(name), true, { answered: resolve, failed: reject })
    })
  }

  /** Hears of durable claims that steps of this client granted. @returns takes that back */
  hearDurable(tell: (claim: ClaimId) => void): () => void {
    this.#onDurable.add(tell)
    return () => this.#onDurable.delete(tell)
  }

  /** Makes a lease of what somebody handed on. */
  attach(holding: Holding): Promise<HeldLease> {
    this.assertTakesWork()
    const lock = this.#lockFor(holding.name, holding.owner)
    const attachment = new Attachment(this, lock, holding, this.blocks.isInside)
    lock.put(attachment)
    attachment.start()
    return attachment.result
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
    return await this.releases.releaseOf(claim, result)
  }

  /** As {@link Locker.release}, also while this object is being closed. */
  async releaseUnused(claim: ClaimId): Promise<void> {
    if (this.#closed) throw closedError()
    await this.releases.releaseOf(claim, null)
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

  /** Whether nothing but taking locks is refused, if anything. */
  get isOpen(): boolean {
    return this.#closing === null || this.#closing.draining
  }

  assertOpen(): void {
    if (!this.isOpen) throw closedError()
  }

  /** While what is held may end by itself, only the blocks that hold something take more. */
  assertTakesWork(): void {
    if (this.#closing !== null && !(this.#closing.draining && this.blocks.isInside)) throw closedError()
  }

  /** Calls `run` when closing begins, for what would start work later. @returns takes that back */
  onClose(run: () => void): () => void {
    this.#onClose.add(run)
    return () => void this.#onClose.delete(run)
  }

  /**
   * Resolves after so many milliseconds, or sooner when the signal fires.
   *
   * @throws SoloistError `CLOSED` as soon as closing begins
   */
  async pause(delayMs: number, signal: AbortSignal | null): Promise<void> {
    if (this.#closing !== null) throw closedError()
    await new Promise<void>((resolve, reject) => {
      const stops = [this.onClose(() => end(() => reject(closedError())))]
      const end = (settle: () => void) => {
        timer.cancel()
        for (const stop of stops) stop()
        settle()
      }
      const timer = this.clock.setTimer(delayMs, () => end(resolve))
      if (signal !== null) stops.push(onAbort(signal, () => end(resolve)))
    })
  }

  /**
   * Ends every wait with `CLOSED`, lets what is held end for up to `drainMs`, aborts what is left and gives it up, then
   * closes the backend. While the backend does not answer, that takes two call time-outs at most beyond `drainMs` and
   * what aborted blocks are waited for. Safe to call twice: the sooner end counts.
   */
  close(drainMs = 0): Promise<void> {
    if (this.#closing === null) {
      this.#closing = new Closing(this)
      for (const run of this.#onClose) run()
      this.#end = this.#close(this.#closing, drainMs)
    } else this.#closing.hurry(drainMs)
    return this.#end as Promise<void>
  }

  async #close(closing: Closing, drainMs: number): Promise<void> {
    if (drainMs > 0) await closing.drain(drainMs)
    await closing.abort()
    // What is not done in time has a fault event of its own.
    await Promise.allSettled([this.#calls.bounded('close', this.releases.finished())])
    this.#closed = true
    this.#renewer.stop()
    this.collector.cut(closedError())
    for (const standing of this.locks.standing()) if (standing instanceof Expiring) standing.timer.cancel()
    await this.#calls.run('close', backend => backend.close()).finally(() => this.collector.cut(closedError()))
  }

  #attempt(request: LockRequest, patience: Patience, sinceMs: number): Attempt {
    this.assertTakesWork()
    if (request.signal?.aborted) throw aborted(request.signal)
    patience.unless?.throwIfAborted()
    const { name, mode, limit, ttlMs, meta, noted } = request
    const owner = request.owner ?? this.newOwner()
    const lock = this.#lockFor(name, owner)
    const endsWithProcess = request.holdForMs === 0 && request.outlives !== true
    const claim = { name, owner, mode, limit, ttlMs, meta, noted, endsWithProcess }
    const attempt = new Attempt(this, claim, lock, request, patience, sinceMs, this.blocks.isInside)
    lock.put(attempt)
    attempt.start()
    return attempt
  }

  /** @throws SoloistError `INVALID_ARGUMENT` when something stands for this claim */
  #lockFor(name: string, owner: string): LocalLock {
    const lock = this.locks.at(name)
    const standing = lock.find(owner)
    // What comes in its place stands for the claim from now on.
    if (standing instanceof Expiring) standing.timer.cancel()
    else if (standing !== undefined) {
      throw invalidArgument('this owner holds or claims the lock here already; a run needs an owner of its own')
    }
    return lock
  }

  // What attempts and attachments call back.

  hold(lease: HeldLease, nowMs: number): void {
    this.#renewer.add(lease, nowMs)
    lease.lock.put(lease)
    this.held += 1
  }

  onHeld(lease: HeldLease, sinceMs: number): void {
    this.news.acquired(lease, sinceMs)
  }

  onAttached(lease: HeldLease): void {
    this.news.attached(lease)
  }

  forget(attempt: Attempt): void {
    attempt.lock.remove(attempt)
  }

  onQueued(attempt: Attempt, holder: string | null): void {
    this.news.waiting(attempt.claim, holder)
  }

  onContradiction({ claim }: Attempt, error: SoloistError): void {
    this.news.fault(claim, claim.mode, 'wait', error)
  }

  dequeue(attempt: Attempt): PendingStep | null {
    return this.#releaseOrphan(attempt.claim, attempt.claim.mode)
  }

  onWaitFault(claim: ClaimId, error: unknown): void {
    const standing = this.locks.find(claim.name, claim.owner)
    const mode = standing instanceof Attempt ? standing.claim.mode : null
    this.news.fault(claim, mode, 'wait', error)
  }

  // What leases call back.

  renewNow(lease: HeldLease): Promise<void> {
    return this.#renewer.renew(lease)
  }

  guardNow({ claim, fence }: HeldLease, tx: unknown): Promise<boolean> | null {
    return this.#backend.guard === undefined ? null : this.#backend.guard(claim, fence, tx as never)
  }

  onRenewFault(lease: HeldLease, error: unknown): void {
    this.news.fault(lease, lease.claim.mode, 'renew', error)
  }

  releaseLease(lease: HeldLease, result: KeptResult | null): void {
    this.#renewer.remove(lease)
    // A release that is tried again is none that ends it.
    if (lease.lock.find(lease.owner) === lease) this.#ended()
    if (this.#closed) lease.endRelease(false, closedError())
    else this.releases.release(lease, result)
  }

  retake(lease: HeldLease, reason: SoloistError): Retake {
    this.#renewer.remove(lease)
    const retake = new Retake(this, lease, reason)
    retake.ask()
    return retake
  }

  onRetaken(lease: HeldLease, fenceBefore: number): void {
    this.#renewer.add(lease, this.clock.monotonicMs())
    if (lease.fence !== fenceBefore) this.news.retaken(lease, fenceBefore)
  }

  onUnwanted(lease: HeldLease): void {
    this.#releaseOrphan(lease, lease.claim.mode)
  }

  onDetached(lease: HeldLease): void {
    const { lock, owner, termMs } = lease
    this.#renewer.remove(lease)
    this.news.detached(lease)
    // What the backend tells late of this claim is not for us any more, and nothing that is to be given back.
    const timer = this.clock.setTimer(Math.max(termMs, NEWS_LATE_MS), () => lock.remove(detached), { background: true })
    const detached = new Expiring(owner, timer)
    lock.put(detached)
    this.#ended()
  }

  onLost(lease: HeldLease, reason: SoloistError): void {
    this.#renewer.remove(lease)
    if (reason.code === 'CLOSED') {
      this.#ended()
      this.#closing?.aborted(lease)
      return
    }
    this.news.lost(lease, reason)
    lease.lock.remove(lease)
    this.#ended()
    this.#releaseOrphan(lease, lease.claim.mode)
  }

  // What blocks and closing call back.

  onBlockEnded(lease: HeldLease): void {
    this.#closing?.blockEnded(lease)
  }

  endWatching(reason: SoloistError): void {
    this.watching.close(reason)
    for (const run of [...this.#atAbort]) run(reason)
  }

  /** Calls `run` when everything is aborted, at once when it was. @returns takes that back */
  atAbort(run: (reason: SoloistError) => void): () => void {
    if (!this.isOpen) {
      run(closedError())
      return () => {}
    }
    this.#atAbort.add(run)
    return () => this.#atAbort.delete(run)
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
    // A durable claim, of something that has a life of its own.
    else if (!claim.owner.startsWith(`${this.clientId}/`)) for (const tell of this.#onDurable) tell(claim)
    // Nobody waits for it any more.
    else this.#releaseOrphan(claim, null)
  }

  /** A lease is not held any more. */
  #ended(): void {
    this.held -= 1
    this.#closing?.leaseEnded()
  }

  #releaseOrphan(claim: ClaimId, mode: ClaimMode | null): PendingStep | null {
    return this.#closed ? null : this.releases.releaseOrphan(claim, mode)
  }
}
