import { onAbort } from '../internal/abort.js'
import type { HeldLease, LeaseOf } from './holding/lease.js'
import type { Locker } from './locker.js'
import type { LockRequest } from './request.js'

/** Several locks held together. Over as a whole as soon as one of them is lost. */
export interface LeaseGroup<Tx = never> extends AsyncDisposable {
  /** One lease per name, in the order the names were given, each name once. */
  readonly leases: readonly LeaseOf<Tx>[]
  /** Aborts as soon as one lease's does. */
  readonly signal: AbortSignal
  /** The lease on one of the names. @throws RangeError when the name is not among them. */
  get(name: string): LeaseOf<Tx>
  /** As {@link Lease.assertValid}, for every lease. */
  assertValid(): void
  /**
   * As {@link Lease.renew}, for every lease.
   *
   * Held after abort or rejection: each lease that is not lost stands, and is renewed in the background.
   */
  renew(): Promise<void>
  /**
   * As {@link Lease.release}, for every lease, the last taken first.
   *
   * Held after abort or rejection: those that could be released are; the others are not renewed any more and run out
   * after their `ttlMs`.
   */
  release(): Promise<void>
}

/**
 * Takes several locks, one after the other in the order of their names' code units. Everybody who takes several takes
 * them in that one order, so no two can wait for each other. `waitMs` bounds the wait as a whole, and a lock that is
 * lost while waiting for the next ends it. Then, and with any other failure, those taken are given back at once: none is
 * kept for its `holdForMs`, which counts only when all are held.
 */
export async function acquireGroup(locker: Locker, requests: readonly LockRequest[]): Promise<HeldLeaseGroup> {
  const sinceMs = locker.clock.monotonicMs()
  const byName = new Map(requests.map(request => [request.name, request]))
  const group = new HeldLeaseGroup([...byName.keys()])
  try {
    for (const name of [...byName.keys()].sort()) {
      const request = { ...(byName.get(name) as LockRequest), holdForMs: 0 }
      group.add(await locker.acquire(request, { sinceMs, unless: group.signal, onQueued: null }))
    }
    group.assertValid()
    for (const lease of group.leases) lease.holdFor((byName.get(lease.name) as LockRequest).holdForMs)
  } catch (error) {
    // Not awaited: a backend that does not answer must not prolong the wait. It never rejects.
    void group[Symbol.asyncDispose]()
    throw error
  }
  return group
}

export class HeldLeaseGroup implements LeaseGroup<unknown> {
  readonly #names: readonly string[]
  /** In the order they were taken. */
  readonly #held = new Map<string, HeldLease>()
  readonly #controller = new AbortController()

  constructor(names: readonly string[]) {
    this.#names = names
  }

  get leases(): readonly HeldLease[] {
    return this.#names.map(name => this.#held.get(name) as HeldLease)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  add(lease: HeldLease): void {
    this.#held.set(lease.name, lease)
    const { signal } = lease
    onAbort(signal, () => this.#controller.abort(signal.reason))
  }

  get(name: string): HeldLease {
    const lease = this.#held.get(name)
    if (lease === undefined) throw new RangeError(`the group holds no lock ${JSON.stringify(name)}`)
    return lease
  }

  assertValid(): void {
    for (const lease of this.#held.values()) lease.assertValid()
  }

  /** As {@link HeldLease.decision}, for every lease. */
  decision(): Promise<unknown> | null {
    const decisions = this.leases.map(lease => lease.decision()).filter(decision => decision !== null)
    return decisions.length === 0 ? null : Promise.all(decisions)
  }

  assertNotLost(): void {
    for (const lease of this.#held.values()) lease.assertNotLost()
  }

  async renew(): Promise<void> {
    await Promise.all(this.leases.map(lease => lease.renew()))
  }

  async release(): Promise<void> {
    const results = await Promise.allSettled(this.#lastTakenFirst().map(lease => lease.release()))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#lastTakenFirst().map(lease => lease[Symbol.asyncDispose]()))
  }

  #lastTakenFirst(): readonly HeldLease[] {
    return [...this.#held.values()].reverse()
  }
}
