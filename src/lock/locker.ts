import type { EventEmitter } from 'node:events'
import type { Backend, Claim, PushedGrant } from '../backend.js'
import { SoloistError } from '../errors.js'
import { type Clock, elapsedMs } from '../internal/clock.js'
import { Attempt } from './attempt.js'
import { Calls } from './calls.js'
import { publish, type SoloistEventName, type SoloistEvents } from './events.js'
import type { HeldLease, LeaseHost } from './lease.js'
import { Renewer } from './renewal.js'
import type { LockRequest } from './request.js'
import { WaitingRoom } from './waiting.js'

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

/** One client of one backend: turns requests into leases, and keeps every promise made about them until it is closed. */
export class Locker implements LeaseHost {
  readonly clock: Clock
  readonly calls: Calls
  readonly waiting: WaitingRoom

  readonly #options: LockerOptions
  readonly #renewer: Renewer
  /** The calls that wait, by owner. */
  readonly #attempts = new Map<string, Attempt>()
  readonly #background = new Set<Promise<void>>()
  #sequence = 0
  #closing: Promise<void> | null = null

  constructor(backend: Backend, options: LockerOptions) {
    this.#options = options
    this.clock = options.clock
    this.calls = new Calls(backend, options.clock, options.callTimeoutMs)
    this.waiting = new WaitingRoom(options.clock, options.random, backend.beatMs)
    this.#renewer = new Renewer(this.calls, options.clock, options.random, (lease, error) => {
      this.#fault(lease.claim, 'renew', error)
    })
    backend.onGrant(event => {
      if (event.type === 'gap') this.waiting.gap()
      else this.#granted(event)
    })
  }

  /** Waits for the lock as long as the request allows. */
  async acquire(request: LockRequest): Promise<HeldLease> {
    const attempt = this.#attempt(request, request.waitMs > 0)
    const lease = await attempt.result
    if (lease === null) throw attempt.refusal()
    return lease
  }

  /** Takes the lock if it is free now, else `null`. */
  async tryAcquire(request: LockRequest): Promise<HeldLease | null> {
    return await this.#attempt(request, false).result
  }

  /** Runs a backend call made outside of a lease, such as `inspect`, under the same bound and the same errors. */
  async call<T>(what: string, call: (backend: Backend) => Promise<T>): Promise<T> {
    this.assertOpen()
    return await this.calls.bounded(this.start(call), what)
  }

  assertOpen(): void {
    if (this.#closing !== null) throw closed()
  }

  /**
   * Ends every wait with `CLOSED`, aborts the signal of every lease and gives it up, then closes the backend.
   * Bounded like any call; safe to call twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const attempt of [...this.#attempts.values()]) attempt.fail(closed())
    for (const lease of [...this.#renewer.leases.values()]) lease.lose(closed())
    this.#renewer.stop()
    while (this.#background.size > 0) await Promise.all(this.#background)
    await this.calls.bounded(this.calls.backend.close(), 'close')
  }

  #attempt(request: LockRequest, queues: boolean): Attempt {
    this.assertOpen()
    const claim = {
      name: request.name,
      owner: this.newOwner(),
      client: this.#options.clientId,
      mode: request.mode,
      limit: request.limit,
      ttlMs: request.ttlMs,
      meta: request.meta,
    }
    const attempt = new Attempt(this, claim, request, queues)
    this.#attempts.set(claim.owner, attempt)
    attempt.start()
    return attempt
  }

  newOwner(): string {
    this.#sequence += 1
    return `${this.#options.clientId}/${this.#sequence}`
  }

  // What attempts and leases call back.

  async start<T>(call: (backend: Backend) => Promise<T>): Promise<T> {
    return await call(this.calls.backend)
  }

  forget(attempt: Attempt): void {
    this.#attempts.delete(attempt.claim.owner)
  }

  hold(lease: HeldLease, waitedMs: number): void {
    this.#renewer.add(lease)
    this.publish('acquired', { ...subject(lease.claim), fence: lease.fence, waitedMs })
  }

  async renewNow(lease: HeldLease): Promise<void> {
    const [reply] = await this.#renewer.renew([lease])
    if (reply?.status === 'fault') throw reply.error
  }

  async giveUp(lease: HeldLease): Promise<void> {
    this.#renewer.remove(lease)
    const heldMs = elapsedMs(this.clock, lease.grantedAt)
    const remainderMs = Math.ceil(lease.holdForMs - heldMs)
    if (remainderMs > 0) {
      // Left to run out instead of being released: so it is kept even if this process ends now.
      const [reply] = await this.calls.renew([{ ...lease.claim, ttlMs: remainderMs }])
      if (reply?.status === 'fault') throw reply.error
    } else {
      await this.calls.release(lease.claim)
    }
    this.publish('released', { ...subject(lease.claim), fence: lease.fence, heldMs })
  }

  onLost(lease: HeldLease, reason: SoloistError): void {
    if (reason.code === 'CLOSED') return this.background(this.giveUp(lease), lease.claim, 'release')
    this.#renewer.remove(lease)
    const heldMs = elapsedMs(this.clock, lease.grantedAt)
    this.publish('lost', { ...subject(lease.claim), fence: lease.fence, heldMs, reason })
    this.background(this.calls.release(lease.claim), lease.claim, 'release')
  }

  onReleaseFault(lease: HeldLease, error: unknown): void {
    this.#fault(lease.claim, 'release', error)
  }

  /** Work nobody waits for, except `close()`. A failure becomes a `fault` event. */
  background(work: Promise<unknown>, claim: Claim, during: 'release' | 'wait'): void {
    const settled = work.then(
      () => undefined,
      (error: unknown) => this.#fault(claim, during, error),
    )
    this.#background.add(settled)
    void settled.then(() => this.#background.delete(settled))
  }

  publish<E extends SoloistEventName>(event: E, detail: SoloistEvents[E][0]): void {
    publish(this.#options.emitter, event, detail)
  }

  #granted(event: PushedGrant): void {
    const attempt = this.#attempts.get(event.owner)
    if (attempt !== undefined) return this.waiting.grant(attempt, event)
    if (this.#renewer.leases.has(event.owner)) return
    // Nobody waits for it any more: it overtook the release it should have met.
    const { name, owner, mode, limit } = event
    const claim = { name, owner, mode, limit, client: this.#options.clientId, ttlMs: null, meta: null }
    this.background(this.calls.release(claim), claim, 'release')
  }

  #fault(claim: Claim, during: SoloistEvents['fault'][0]['during'], error: unknown): void {
    this.publish('fault', { ...subject(claim), during, error })
  }
}

function subject(claim: Claim): { name: string; owner: string; mode: Claim['mode'] } {
  return { name: claim.name, owner: claim.owner, mode: claim.mode }
}

function closed(): SoloistError {
  return new SoloistError('CLOSED', 'this Soloist object was closed')
}
