import { EventEmitter } from 'node:events'
import type { Backend, LockState } from './backend.js'
import { invalidArgument } from './errors.js'
import {
  checkMs,
  checkName,
  checkNoMore,
  checkOptionNames,
  checkOptions,
  checkPrefix,
  type OptionNames,
} from './internal/check.js'
import { type Clock, systemClock } from './internal/clock.js'
import { newClientId } from './internal/ids.js'
import { checkTimers } from './internal/real-time.js'
import type { Job } from './job/job.js'
import { JobLocks } from './job/locks.js'
import type { JobHandler, JobOptions, JobRun } from './job/options.js'
import type { Leader, LeaderOptions } from './leader/leader.js'
import type { SoloistEvents } from './lock/events.js'
import { acquireGroup, type HeldLeaseGroup, type LeaseGroup } from './lock/group.js'
import type { HeldLease, LeaseOf } from './lock/holding/lease.js'
import { holdingOf } from './lock/holding/token.js'
import {
  type Lock,
  NamedLock,
  orRejected,
  type ReadWriteLock,
  readWriteLock,
  runUnder,
  type Work,
  workAndOptions,
} from './lock/lock.js'
import { Locker } from './lock/locker.js'
import {
  counted,
  exclusive,
  type LockOptions,
  lockRequest,
  type TryLockOptions,
  tryLockRequest,
} from './lock/request.js'

/** How a {@link Soloist} talks to its backend. Every field is optional. */
export interface SoloistOptions {
  /**
   * How long one call to the backend may take before it counts as failed, in milliseconds; default 5,000. A wait for a
   * lock is made of many such calls and not bounded by it.
   */
  readonly callTimeoutMs?: number | undefined
  /** The time everything here goes by; for tests. Default: the system's, also where a test has fake timers. */
  readonly clock?: Clock | undefined
  /** A number from 0 to below 1, by which renewals and questions are spread; for tests. Default: `Math.random`. */
  readonly random?: (() => number) | undefined
}

/** How a {@link Soloist} is closed. */
export interface CloseOptions {
  /**
   * How long what is held may take to end by itself before it is aborted, in milliseconds, up to 24 days; default 0.
   * Meanwhile nothing new is taken: calls for locks and jobs are `CLOSED` at once, and so are waits. Only what a block of
   * `withLock` or the handler of a job calls goes on as before, so that it can finish. Looking and giving back work until
   * the end.
   */
  readonly drainMs?: number | undefined
}

/** Which holder {@link Soloist.unlock} is to remove. */
export type UnlockTarget =
  | { readonly owner: string; readonly force?: false }
  | { readonly force: true; readonly owner?: undefined }

// Loaded with the first job or leader, so that who only takes locks does not wait for them.
const loadJob = () => require('./job/job.js') as typeof import('./job/job.js')
const loadJobOptions = () => require('./job/options.js') as typeof import('./job/options.js')
const loadLeader = () => require('./leader/leader.js') as typeof import('./leader/leader.js')

/** What may be the handler of a job: a {@link JobHandler} of any arguments and result. */
// biome-ignore lint/suspicious/noExplicitAny: what functions in the options get before the handler's types are known
type AnyHandler = (args: any, run: JobRun) => unknown

/** The job a handler makes. Its types come from the handler as a whole, so that its parameters may be destructured. */
type JobOf<F extends AnyHandler> = Job<Parameters<F>[0], Awaited<ReturnType<F>>>

const SOLOIST_OPTION_NAMES: OptionNames<SoloistOptions> = { callTimeoutMs: true, clock: true, random: true }
const CLOSE_OPTION_NAMES: OptionNames<CloseOptions> = { drainMs: true }
const LIST_OPTION_NAMES: OptionNames<{ readonly prefix?: string | undefined }> = { prefix: true }
const UNLOCK_OPTION_NAMES: OptionNames<UnlockTarget> = { owner: true, force: true }

const DEFAULT_CALL_TIMEOUT_MS = 5_000
/** A backend tells its grants to one listener: two clients on it would miss each other's, and close it for the other. */
const inUse = new WeakSet<Backend>()
/** How many releases `clear` has under way at once. */
const CLEAR_AT_ONCE = 100

/** What the parts of this package build on that users do not see. */
export let lockerOf: (solo: Soloist) => Locker

/**
 * One client of one backend: takes locks, keeps them renewed, and shows who holds what.
 *
 * Emits `acquired`, `waiting`, `released`, `lost` and `fault` ({@link SoloistEvents}). Made by `connect`.
 */
export class Soloist<Tx = never> extends EventEmitter<SoloistEvents> implements AsyncDisposable {
  static {
    lockerOf = solo => solo.#locker
  }

  /** This client's name: the first part of every owner it makes. */
  readonly clientId: string
  /** The locks that stand for jobs, for adapters of job frameworks and for operators. */
  readonly jobs: JobLocks
  readonly #backend: Backend
  readonly #locker: Locker

  constructor(backend: Backend, options: SoloistOptions = {}) {
    checkTimers()
    const callTimeoutMs = checkSoloistOptions(options)
    if (inUse.has(backend)) throw invalidArgument('this backend belongs to another Soloist object; make one for each')
    super()
    inUse.add(backend)
    this.clientId = newClientId()
    this.#backend = backend
    this.#locker = new Locker(backend, {
      clientId: this.clientId,
      clock: options.clock ?? systemClock,
      random: options.random ?? Math.random,
      callTimeoutMs,
      emitter: this,
    })
    this.jobs = new JobLocks(this.#locker)
  }

  /** The kind of the backend: `'redis'`, `'postgres'`, `'sqlite'`, `'memory'`. */
  get backendKind(): string {
    return this.#backend.kind
  }

  /**
   * Waits for the lock `name`, alone. As {@link Lock.lock}.
   *
   * Held after abort or rejection: nothing. What the store may have noted is given back in the background, or runs out
   * after `ttlMs`.
   */
  lock(name: string, options?: LockOptions): Promise<LeaseOf<Tx>> {
    return orRejected(() => this.#locker.acquire(lockRequest(exclusive(name), options))) as Promise<LeaseOf<Tx>>
  }

  /**
   * Takes the lock `name` if it is free now; else `null`. As {@link Lock.tryLock}.
   *
   * Held after abort or rejection: nothing. What the store may have noted is given back in the background, or runs out
   * after `ttlMs`.
   */
  tryLock(name: string, options?: TryLockOptions): Promise<LeaseOf<Tx> | null> {
    const taken = orRejected(() => this.#locker.tryAcquire(tryLockRequest(exclusive(name), options)))
    return taken as Promise<LeaseOf<Tx> | null>
  }

  /**
   * Makes a lease of what `detach()` handed on, with the same owner and fence, and renews it from now on. The kind of lock
   * does not matter. `waitMs` and such do not apply: it is one question to the store.
   *
   * Held after abort or rejection: nothing by this object. What the token stands for stays held until its ttl is over.
   *
   * @param token as {@link Lease.detach} returned it, in this process or another
   * @throws SoloistError `INVALID_ARGUMENT` for what is no token, or what is attached or held here already; `LEASE_LOST`
   *   when the lock is not held by it any more; `BACKEND_UNAVAILABLE` when there was no answer, after which it may be
   *   attached again as long as its ttl lasts; `CLOSED`
   */
  attach(token: string): Promise<LeaseOf<Tx>> {
    return orRejected(() => this.#locker.attach(holdingOf(token))) as Promise<LeaseOf<Tx>>
  }

  /**
   * Runs `work` while holding the lock `name`, or all of several locks. As {@link Lock.withLock}. Several are taken in
   * one order everywhere, so that no two callers can wait for each other, unless one takes more while holding some.
   *
   * Held after abort or rejection: nothing, once `work` has ended: the lock was released, or is kept for the rest of
   * `holdForMs`. Of several names that could not all be had, none is kept. Where the store does not answer, what was
   * held runs out after `ttlMs`.
   */
  withLock<T>(name: string, work: Work<LeaseOf<Tx>, T>): Promise<T>
  withLock<T>(name: string, options: LockOptions, work: Work<LeaseOf<Tx>, T>): Promise<T>
  withLock<T>(names: readonly string[], work: Work<LeaseGroup<Tx>, T>): Promise<T>
  withLock<T>(names: readonly string[], options: LockOptions, work: Work<LeaseGroup<Tx>, T>): Promise<T>
  async withLock<T>(
    target: string | readonly string[],
    first: LockOptions | Work<LeaseOf<Tx>, T> | Work<LeaseGroup<Tx>, T>,
    second?: Work<LeaseOf<Tx>, T> | Work<LeaseGroup<Tx>, T>,
  ): Promise<T> {
    if (typeof target === 'string') {
      const [options, work] = workAndOptions(first as LockOptions | Work<HeldLease, T>, second as Work<HeldLease, T>)
      const request = lockRequest(exclusive(target), options)
      this.#locker.blocks.assertNoSelfWait(request)
      return await runUnder(this.#locker, await this.#locker.acquire(request), work)
    }
    const [options, work] = workAndOptions(
      first as LockOptions | Work<HeldLeaseGroup, T>,
      second as Work<HeldLeaseGroup, T>,
    )
    if (!Array.isArray(target) || target.length === 0) throw invalidArgument('withLock needs a name or a list of names')
    const requests = target.map(name => lockRequest(exclusive(name), options))
    for (const request of requests) this.#locker.blocks.assertNoSelfWait(request)
    return await runUnder(this.#locker, await acquireGroup(this.#locker, requests), work)
  }

  /**
   * At most `limit` leases at a time. Each call is judged by its own limit: while a new version of a program that raises
   * it takes the place of the old one, the old one's calls wait until fewer hold it than they were told.
   */
  semaphore(name: string, limit: number): Lock<Tx>
  semaphore(name: string, limit: number, ...more: readonly unknown[]): Lock<Tx> {
    checkNoMore('semaphore takes a name and a limit; options go to its lock, tryLock and withLock', more)
    return new NamedLock(this.#locker, counted(name, limit)) as Lock<unknown> as Lock<Tx>
  }

  /** Many readers or one writer, in the order they came. */
  rwLock(name: string): ReadWriteLock<Tx>
  rwLock(name: string, ...more: readonly unknown[]): ReadWriteLock<Tx> {
    checkNoMore('rwLock takes a name; options go to lock, tryLock and withLock of its read and write', more)
    return readWriteLock(this.#locker, name) as ReadWriteLock<unknown> as ReadWriteLock<Tx>
  }

  /**
   * Makes a function a singleton job: while it is live with the same arguments, here or in any other process, triggering
   * it again does what `onDuplicate` says; by default the caller joins the live run. Jobs are the same by their name, so
   * every process that shares one must define it alike.
   *
   * @throws SoloistError `INVALID_ARGUMENT` for options that cannot be taken or contradict each other
   */
  job<F extends AnyHandler>(name: string, handler: F): JobOf<F>
  job<F extends AnyHandler>(name: string, options: JobOptions<Parameters<NoInfer<F>>[0]>, handler: F): JobOf<F>
  job<A, R>(name: string, first: JobOptions<A> | JobHandler<A, R>, second?: JobHandler<A, R>): Job<A, R> {
    const [options, handler] = typeof first === 'function' ? [{}, first] : [first, second as JobHandler<A, R>]
    if (typeof first === 'function') checkNoMore('job takes its options before the function', [second])
    return loadJob().makeJob(this.#locker, this.jobs, loadJobOptions().jobDefinition(name, options, handler))
  }

  /**
   * A candidate for a leadership, of which one leads at a time, and a view of who leads. It does nothing before its
   * `campaign()` is called.
   *
   * @throws SoloistError `INVALID_ARGUMENT`
   */
  leader(name: string, options?: LeaderOptions): Leader
  leader(name: string, options?: LeaderOptions, ...more: readonly unknown[]): Leader {
    checkNoMore('leader takes a name and options', more)
    const { Leader } = loadLeader()
    return new Leader(this.#locker, name, options)
  }

  /**
   * Who holds the lock and who waits for it, or `null` when nobody does.
   *
   * Held after abort or rejection: nothing; it only looks.
   */
  async inspect(name: string): Promise<LockState | null> {
    checkName(name)
    return await this.#locker.inspect(name)
  }

  /**
   * Every lock in use whose name starts with `prefix` (taken literally; default: all), in no promised order.
   *
   * Held after abort or rejection: nothing; it only looks.
   */
  async *list(options: { readonly prefix?: string | undefined } = {}): AsyncGenerator<LockState, void, undefined> {
    checkOptions(options)
    checkOptionNames(options, LIST_OPTION_NAMES)
    const prefix = options.prefix === undefined ? '' : checkPrefix(options.prefix)
    yield* this.#locker.list(prefix)
  }

  /**
   * Takes the lock away from one owner, or with `force` from whoever holds it; the next in line gets it at once. The
   * work of the previous holder is not stopped by this: it learns of it at its next renewal, and its fence is lower.
   *
   * Held after abort or rejection: the lock may have been taken away, or not, where the store gave no answer. It is
   * safe to call again.
   *
   * @returns whether a holder was removed
   */
  async unlock(name: string, target: UnlockTarget): Promise<boolean> {
    const byOwner = typeof target?.owner === 'string'
    if (byOwner === (target?.force === true)) throw invalidArgument('unlock needs { owner } or { force: true }')
    checkOptionNames(target, UNLOCK_OPTION_NAMES)
    checkName(name)
    if (!byOwner) return (await this.#removeAll(name)) > 0
    const state = await this.inspect(name)
    if (state === null || !mayHold(state, target.owner)) return false
    return await this.#locker.release({ name, owner: target.owner })
  }

  /**
   * Takes away every lock that is held now and whose name starts with `prefix`, taken literally. Claims that wait are
   * served as after any release. `''` is every lock that this client can see: also those of clients whose key prefix
   * begins with that of this one.
   *
   * Held after abort or rejection: what was cleared by then stays cleared, and the rest is held as before. It is safe
   * to call again.
   *
   * @returns how many locks were cleared
   */
  async clear(prefix: string): Promise<number> {
    checkPrefix(prefix)
    let cleared = 0
    let batch: string[] = []
    const clearBatch = async () => {
      const removed = await Promise.all(batch.map(name => this.#removeAll(name)))
      cleared += removed.filter(count => count > 0).length
      batch = []
    }
    for await (const { name, holding } of this.list({ prefix })) {
      if (holding > 0 && batch.push(name) >= CLEAR_AT_ONCE) await clearBatch()
    }
    await clearBatch()
    return cleared
  }

  /**
   * Ends this object. Every wait ends with `CLOSED`, every lease is aborted and given back, and everything this object
   * opened is let go; a client that was passed in stays open.
   *
   * With `drainMs` it first waits for what is held to end by itself, and keeps it renewed meanwhile; see
   * {@link CloseOptions.drainMs}.
   *
   * **What becomes of a lock.** A lease of `lock` or `tryLock` that is still held is given back, and its signal fires with
   * `CLOSED`. The signals of blocks of `withLock` and of runs of jobs fire too, but their locks are given back only once
   * the block or the handler has ended, for which it has a second. A lock whose block runs on is not given back: it is not
   * renewed any more, so others get it after what is left of its ttl, and a `fault` event tells so.
   *
   * Beyond `drainMs` it takes a second for such blocks, and two call time-outs while the backend does not answer. Safe to
   * call again; the sooner end of draining counts. Called in a block of this object, it does not wait for that block.
   *
   * Held after abort or rejection: nothing that is renewed. What could not be given back, since its block runs on or the
   * store did not answer, runs out after its `ttlMs`.
   *
   * @throws SoloistError `INVALID_ARGUMENT`; `BACKEND_UNAVAILABLE` when the backend's own end failed or hangs
   */
  async close(options: CloseOptions = {}): Promise<void> {
    checkOptions(options)
    checkOptionNames(options, CLOSE_OPTION_NAMES)
    const { drainMs } = options
    await this.#locker.close(drainMs === undefined ? 0 : checkMs('drainMs', drainMs, 0))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Releases everybody who holds the lock now, in their names. @returns how many did until then */
  async #removeAll(name: string): Promise<number> {
    let removed = 0
    let left: number | null = null
    // A lock shows its first holders only. Who comes meanwhile is none of those that hold it now.
    while (left === null || left > 0) {
      const state = await this.inspect(name)
      if (state === null || state.holders.length === 0) break
      left ??= state.holding
      const holders = state.holders.slice(0, left)
      left -= holders.length
      const released = await Promise.all(holders.map(({ owner }) => this.#locker.release({ name, owner })))
      removed += released.filter(Boolean).length
    }
    return removed
  }
}

/** Whether the owner is among the holders, as far as they are shown, and not among those that wait. */
function mayHold({ holders, holding, waiters }: LockState, owner: string): boolean {
  if (holders.some(holder => holder.owner === owner)) return true
  return holding > holders.length && !waiters.some(waiter => waiter.owner === owner)
}

/**
 * Checks the options before anything is opened.
 *
 * @returns the bound of one call, in milliseconds
 */
export function checkSoloistOptions(options: SoloistOptions): number {
  checkOptions(options)
  checkOptionNames(options, SOLOIST_OPTION_NAMES)
  const { callTimeoutMs } = options
  return callTimeoutMs === undefined ? DEFAULT_CALL_TIMEOUT_MS : checkMs('callTimeoutMs', callTimeoutMs, 1)
}
