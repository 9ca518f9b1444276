import { invalidArgument } from '../errors.js'
import { checkNoMore } from '../internal/check.js'
import type { HeldLeaseGroup } from './group.js'
import type { HeldLease, LeaseOf } from './holding/lease.js'
import type { Locker } from './locker.js'
import {
  exclusive,
  type LockOptions,
  lockRequest,
  shared,
  type Target,
  type TryLockOptions,
  tryLockRequest,
} from './request.js'

/** A lock bound to its name and kind: a semaphore, or one side of a read/write lock. */
export interface Lock<Tx = never> {
  readonly name: string
  /**
   * Waits for the lock.
   *
   * Held after abort or rejection: nothing. What the store may have noted is given back in the background, or runs out
   * after `ttlMs`.
   *
   * @throws LockTimeoutError after `waitMs`
   * @throws SoloistError `INVALID_ARGUMENT`, `BACKEND_UNAVAILABLE`, `ABORTED` or `CLOSED`
   */
  lock(options?: LockOptions): Promise<LeaseOf<Tx>>
  /**
   * Takes the lock if it is free now and nobody waits for it; else `null`. Never waits for a holder.
   *
   * Held after abort or rejection: nothing. What the store may have noted is given back in the background, or runs out
   * after `ttlMs`.
   */
  tryLock(options?: TryLockOptions): Promise<LeaseOf<Tx> | null>
  /**
   * Runs `work` while holding the lock, and releases it after, also when `work` throws.
   *
   * A call within `work` that asks for a lock `work` holds itself would never be granted it, so it is refused at once.
   * For work that is started there and not awaited, use {@link Lock.lock}, which waits.
   *
   * Held after abort or rejection: nothing, once `work` has ended: the lock was released, or is kept for the rest of
   * `holdForMs`. Where the store does not answer, it runs out after `ttlMs`.
   *
   * @returns what `work` returned
   * @throws what `work` threw; else `LEASE_LOST` when the lease was lost before `work` ended, for then it was not alone;
   *   else `SELF_WAIT`, or as {@link Lock.lock}
   */
  withLock<T>(work: Work<LeaseOf<Tx>, T>): Promise<T>
  withLock<T>(options: LockOptions, work: Work<LeaseOf<Tx>, T>): Promise<T>
}

/** The two sides of a read/write lock. Writers are alone; readers are together; whoever came first goes first. */
export interface ReadWriteLock<Tx = never> {
  readonly name: string
  readonly read: Lock<Tx>
  readonly write: Lock<Tx>
}

/** What runs under a lock. `L` is a {@link Lease}, or a `LeaseGroup` for several names. */
export type Work<L, T> = (lease: L) => T | Promise<T>

/** Takes the two call forms of `withLock` apart. */
export function workAndOptions<L, T>(
  first: LockOptions | Work<L, T>,
  second: Work<L, T> | undefined,
): [LockOptions, Work<L, T>] {
  const [options, work] = typeof first === 'function' ? [{}, first] : [first, second]
  if (typeof first === 'function') checkNoMore('withLock takes its options before the function', [second])
  if (typeof work !== 'function') throw invalidArgument('withLock needs a function to run')
  return [options, work]
}

/** Runs `work` under a lease, or a group of them, and ends the lease. */
export async function runUnder<L extends HeldLease | HeldLeaseGroup, T>(
  { blocks }: Locker,
  lease: L,
  work: Work<L, T>,
): Promise<T> {
  try {
    const value = await blocks.run(lease.leases, () => work(lease))
    const decision = lease.decision()
    if (decision !== null) await decision
    lease.assertNotLost()
    return value
  } finally {
    await lease[Symbol.asyncDispose]()
  }
}

/** A claim on one name, with the verbs of a lock. Every kind of lock is this with another target. */
export class NamedLock implements Lock<unknown> {
  readonly name: string
  readonly #locker: Locker
  readonly #target: Target

  constructor(locker: Locker, target: Target) {
    this.name = target.name
    this.#locker = locker
    this.#target = target
  }

  lock(options?: LockOptions): Promise<HeldLease> {
    return orRejected(() => this.#locker.acquire(lockRequest(this.#target, options)))
  }

  tryLock(options?: TryLockOptions): Promise<HeldLease | null> {
    return orRejected(() => this.#locker.tryAcquire(tryLockRequest(this.#target, options)))
  }

  async withLock<T>(first: LockOptions | Work<HeldLease, T>, second?: Work<HeldLease, T>): Promise<T> {
    const [options, work] = workAndOptions(first, second)
    const request = lockRequest(this.#target, options)
    this.#locker.blocks.assertNoSelfWait(request)
    return await runUnder(this.#locker, await this.#locker.acquire(request), work)
  }
}

/** What a call came to; one that throws is a rejection. With no promise of its own, since every lock goes through here. */
export function orRejected<T>(call: () => Promise<T>): Promise<T> {
  try {
    return call()
  } catch (error) {
    return Promise.reject(error)
  }
}

export function readWriteLock(locker: Locker, name: string): ReadWriteLock<unknown> {
  const read = new NamedLock(locker, shared(name))
  return { name, read, write: new NamedLock(locker, exclusive(name)) }
}
