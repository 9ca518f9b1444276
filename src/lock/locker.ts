import type { EventEmitter } from 'node:events'
import type { Backend, Claim, HandedGrant, KeptResult, LockState, PushedGrant } from '../backend.js'
import { invalidArgument, SoloistError } from '../errors.js'
import type { Clock, Instant, Timer } from '../internal/clock.js'
import { Attempt, type Patience } from './attempt.js'
import { Calls, claimKey } from './calls.js'
import { publish, type SoloistEventName, type SoloistEvents } from './events.js'
import type { HeldLease, LeaseHost } from './lease.js'
import { type RenewalHost, Renewer } from './renewal.js'
import { aborted, type LockRequest } from './request.js'
import { type WaitingHost, WaitingRoom } from './waiting.js'
import { type WatchingHost, WatchRoom } from './watching.js'

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

/** One client of one backend: gets leases for requests, has them renewed, and gives them back when it is closed. */
export class Locker implements LeaseHost, RenewalHost, WaitingHost, WatchingHost {
  readonly clock: Clock
  readonly random: () => number
  readonly calls: Calls
  readonly waiting: WaitingRoom
  readonly watching: WatchRoom
  readonly clientId: string

  readonly #emitter: EventEmitter
  readonly #renewer: Renewer
  /** The calls that wait, by claim. */
  readonly #attempts = new Map<string, Attempt>()
  /** Locks that `holdForMs` keeps after their release, by claim, each until it has run out. */
  readonly #left = new Map<string, Timer>()
  /** What `close()` waits for. */
  readonly #unfinished = new Set<Promise<unknown>>()
  #sequence = 0
  #closing: Promise<void> | null = null
  #closed = false

  constructor(backend: Backend, options: LockerOptions) {
    this.clock = options.clock
    this.random = options.random
    this.clientId = options.clientId
    this.#emitter = options.emitter
    this.calls = new Calls(backend, options.clock, options.callTimeoutMs, (...handed) => this.#handed(...handed))
    this.waiting = new WaitingRoom(this, backend.beatMs)
    this.watching = new WatchRoom(this)
    this.#renewer = new Renewer(this)
    backend.onGrant(event => {
      if (event.type === 'granted') this.#granted(event)
      else if (event.type === 'ended') this.watching.ended(event)
      else {
        this.waiting.gap()
        this.watching.gap()
      }
    })
  }

  /** Waits for the lock as long as the request allows. See {@link Patience} for what a wait in several parts adds. */
  async acquire(
    request: LockRequest,
    patience: Omit<Patience, 'queues'> = { sinceMs: this.clock.monotonicMs(), unless: null },
  ): Promise<HeldLease> {
    const queues = this.clock.monotonicMs() - patience.sinceMs < request.waitMs
    const { sinceMs, unless, onQueued } = patience
    const attempt = this.#attempt(request, { sinceMs, queues, unless, onQueued })
    const lease = await attempt.result
    if (lease === null) throw attempt.refusal()
    return lease
  }

  /** Takes the lock if it is free now, else `null`. */
  async tryAcquire(request: LockRequest): Promise<HeldLease | null> {
    return await this.#attempt(request, { sinceMs: this.clock.monotonicMs(), queues: false, unless: null }).result
  }

  /** An owner that nobody else has. */
  newOwner(): string {
    this.#sequence += 1
    return `${this.clientId}/${this.#sequence}`
  }

  /** Runs a backend call made outside of a lease, such as `inspect`, under the same bound and the same errors. */
  async call<T>(what: string, call: (backend: Backend) => Promise<T>): Promise<T> {
    this.assertOpen()
    return await this.calls.run(what, call)
  }

  /**
   * Gives up a claim for somebody else.
   *
   * @returns whether its owner held the lock until now, and so whether `result` is kept
   */
  async release(claim: Claim, result?: KeptResult): Promise<boolean> {
    this.assertOpen()
    return await this.calls.release(claim, result)
  }

  /** The lease this client has for a claim, while it has one. */
  leaseOf(claim: Pick<Claim, 'name' | 'owner'>): HeldLease | undefined {
    return this.#renewer.leases.get(claimKey(claim))
  }

  /**
   * Every lock in use whose name starts with `prefix`, in no promised order. Each step is a call of its own, with its
   * bound and its errors.
   */
  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    this.assertOpen()
    const states = this.calls.backend.list(prefix)[Symbol.asyncIterator]()
    let left = false
    try {
      for (;;) {
        const next = await this.call('list', () => states.next())
        if (next.done === true) return
        left = true
        yield next.value
        left = false
      }
    } finally {
      // Only a caller that stopped reading early leaves something open. A step that failed has closed it, and so has
      // `close()`.
      if (left && this.isOpen) await this.call('list', async () => await states.return?.())
    }
  }

  get isOpen(): boolean {
    return this.#closing === null
  }

  assertOpen(): void {
    if (!this.isOpen) throw closed()
  }

  /**
   * Ends every wait with `CLOSED`, aborts the signal of every lease and gives it up, then closes the backend. Takes at
   * most two call time-outs; safe to call twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const attempt of [...this.#attempts.values()]) attempt.fail(closed())
    this.watching.close(closed())
    for (const lease of [...this.#renewer.leases.values()]) lease.lose(closed())
    // What is not done in time has a fault event of its own.
    await Promise.allSettled([this.calls.bounded('close', this.#finish())])
    this.#closed = true
    this.calls.cut(closed())
    for (const timer of this.#left.values()) timer.cancel()
    await this.calls.run('close', backend => backend.close())
  }

  async #finish(): Promise<void> {
    while (this.#unfinished.size > 0) await Promise.allSettled(this.#unfinished)
  }

  #attempt(request: LockRequest, patience: Patience): Attempt {
    this.assertOpen()
    if (request.signal?.aborted) throw aborted(request.signal)
    patience.unless?.throwIfAborted()
    const { name, mode, limit, ttlMs, meta } = request
    const owner = request.owner ?? this.newOwner()
    const claim = { name, owner, client: this.clientId, mode, limit, ttlMs, meta }
    const attempt = new Attempt(this, claim, request, patience)
    const key = claimKey(claim)
    if (this.#attempts.has(key) || this.#renewer.leases.has(key)) {
      throw invalidArgument('this owner holds or claims the lock already; a run needs an owner of its own')
    }
    this.#attempts.set(key, attempt)
    attempt.start()
    return attempt
  }

  // What attempts call back.

  forget(attempt: Attempt): void {
    this.#attempts.delete(claimKey(attempt.claim))
  }

  hold(lease: HeldLease, waitedMs: number): void {
    this.#renewer.add(lease)
    this.publish('acquired', () => ({ ...subject(lease.claim), fence: lease.fence, waitedMs: Math.round(waitedMs) }))
  }

  onWaitFault(attempt: Attempt, error: unknown): void {
    this.fault(attempt.claim, 'wait', error)
  }

  /**
   * Releases, in the background, a claim that the backend may have granted or queued and that no call or lease here
   * needs.
   */
  giveBack(claim: Claim): void {
    const key = claimKey(claim)
    if (this.#closed || this.#renewer.leases.has(key) || this.#left.has(key)) return
    this.#inBackground(this.calls.release(claim), claim)
  }

  // What leases call back.

  async renewNow(lease: HeldLease): Promise<void> {
    const [reply] = await this.#renewer.renew([lease])
    if (reply?.status === 'fault') throw reply.error
  }

  async giveUp(lease: HeldLease, result: KeptResult | undefined): Promise<boolean> {
    if (this.#closed) throw closed()
    return await this.#unfinishedUntil(this.#giveUp(lease, result))
  }

  async #giveUp(lease: HeldLease, result?: KeptResult): Promise<boolean> {
    const { claim, fence, heldMs, holdForMs } = lease
    this.#renewer.remove(lease)
    const remainderMs = Math.ceil(holdForMs - heldMs)
    let released = true
    if (remainderMs > 0) {
      // The lock is not released but gets the rest of `holdForMs` as its ttl: so it is kept even if this process ends
      // now.
      this.#leave(claim, remainderMs)
      await this.calls.leave(claim, remainderMs)
    } else {
      released = await this.calls.release(claim, result)
      // An earlier try may have released it, and its answer was lost. A grant to this client may have been in that
      // answer.
      if (!released) this.waiting.ask(claim.name)
    }
    this.publish('released', () => ({ ...subject(claim), fence, heldMs: Math.round(heldMs) }))
    return released
  }

  onLost(lease: HeldLease, reason: SoloistError): void {
    const { claim, fence, heldMs } = lease
    if (reason.code === 'CLOSED') return this.#inBackground(this.#giveUp(lease), claim)
    this.#renewer.remove(lease)
    this.publish('lost', () => ({ ...subject(claim), fence, heldMs: Math.round(heldMs), reason }))
    this.giveBack(claim)
  }

  onReleaseFault(lease: HeldLease, error: unknown): void {
    this.fault(lease.claim, 'release', error)
  }

  onRenewFault(lease: HeldLease, error: unknown): void {
    this.fault(lease.claim, 'renew', error)
  }

  publish<E extends SoloistEventName>(event: E, detail: () => SoloistEvents[E][0]): void {
    publish(this.#emitter, event, detail)
  }

  #handed(grant: HandedGrant, sentAt: Instant): void {
    const attempt = this.#attempts.get(claimKey(grant))
    if (attempt === undefined || !attempt.handed(grant, sentAt)) this.#granted(grant)
  }

  #granted(grant: PushedGrant): void {
    const attempt = this.#attempts.get(claimKey(grant))
    if (attempt !== undefined) return void this.waiting.grant(attempt)
    // The call it was granted to has ended.
    const { name, owner, mode, limit } = grant
    this.giveBack({ name, owner, mode, limit, client: this.clientId, ttlMs: null, meta: null })
  }

  #leave(claim: Claim, ttlMs: number): void {
    const key = claimKey(claim)
    this.#left.get(key)?.cancel()
    this.#left.set(
      key,
      this.clock.setTimer(ttlMs, () => this.#left.delete(key), { background: true }),
    )
  }

  /** Lets work go on that no caller waits for; `close()` does. */
  #inBackground(work: Promise<unknown>, claim: Claim): void {
    this.#unfinishedUntil(work).catch((error: unknown) => this.fault(claim, 'release', error))
  }

  #unfinishedUntil<T>(work: Promise<T>): Promise<T> {
    this.#unfinished.add(work)
    return work.finally(() => this.#unfinished.delete(work))
  }

  /** Tells of a failure that no caller can be told. */
  fault(claim: Claim, during: SoloistEvents['fault'][0]['during'], error: unknown): void {
    this.publish('fault', () => ({ ...subject(claim), during, error }))
  }
}

function subject(claim: Claim): { name: string; owner: string; mode: Claim['mode'] } {
  return { name: claim.name, owner: claim.owner, mode: claim.mode }
}

function closed(): SoloistError {
  return new SoloistError('CLOSED', 'this Soloist object was closed')
}
