import { elapsedMs, instant } from '../internal/clock.js'
import type { HeldLease, Lease } from './lease.js'
import type { Locker } from './locker.js'
import type { LockRequest } from './request.js'

/** Several locks held together. Over as a whole as soon as one of them is lost. */
export interface LeaseGroup extends AsyncDisposable {
  /** One lease per name, in the order the names were given, each name once. */
  readonly leases: readonly Lease[]
  /** Aborts as soon as one lease's does. */
  readonly signal: AbortSignal
  /** The lease on one of the names. @throws RangeError when the name is not among them. */
  get(name: string): Lease
  /** As {@link Lease.assertValid}, for every lease. */
  assertValid(): void
  /** As {@link Lease.renew}, for every lease. */
  renew(): Promise<void>
  /** As {@link Lease.release}, for every lease, the last taken first. */
  release(): Promise<void>
}

/**
 * Takes several locks, one after the other in the order of their names' code units. Everybody who takes several takes
 * them in that one order, so no two can wait for each other; the wait as a whole is bounded by `waitMs`.
 */
export async function acquireGroup(locker: Locker, requests: readonly LockRequest[]): Promise<HeldLeaseGroup> {
  const startedAt = instant(locker.clock)
  const byName = new Map(requests.map(request => [request.name, request]))
  const held = new Map<string, HeldLease>()
  try {
    for (const name of [...byName.keys()].sort()) {
      const request = byName.get(name) as LockRequest
      const waitMs = Math.max(request.waitMs - elapsedMs(locker.clock, startedAt), 0)
      held.set(name, await locker.acquire({ ...request, waitMs }))
    }
  } catch (error) {
    for (const lease of [...held.values()].reverse()) await lease[Symbol.asyncDispose]()
    throw error
  }
  return new HeldLeaseGroup([...byName.keys()].map(name => held.get(name) as HeldLease))
}

export class HeldLeaseGroup implements LeaseGroup {
  readonly leases: readonly HeldLease[]
  readonly signal: AbortSignal

  constructor(leases: readonly HeldLease[]) {
    this.leases = leases
    this.signal = AbortSignal.any(leases.map(lease => lease.signal))
  }

  get(name: string): Lease {
    const lease = this.leases.find(candidate => candidate.name === name)
    if (lease === undefined) throw new RangeError(`the group holds no lock ${JSON.stringify(name)}`)
    return lease
  }

  assertValid(): void {
    for (const lease of this.leases) lease.assertValid()
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
    return [...this.leases].sort((a, b) => (a.name < b.name ? 1 : -1))
  }
}
