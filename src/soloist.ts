import { EventEmitter } from 'node:events'
import type { Backend, Holder, LockState } from './backend.js'
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
import { type Job, makeJob } from './job/job.js'
import { JobLocks } from './job/locks.js'
import { type JobHandler, type JobOptions, type JobRun, jobDefinition } from './job/options.js'
import type { SoloistEvents } from './lock/events.js'
import { acquireGroup, type LeaseGroup } from './lock/group.js'
import type { Lease } from './lock/lease.js'
import {
  type Lock,
  NamedLock,
  type ReadWriteLock,
  readWriteLock,
  runUnder,
  type Work,
  workAndOptions,
} from './lock/lock.js'
import { Locker } from './lock/locker.js'
import { counted, exclusive, type LockOptions, lockRequest, type TryLockOptions } from './lock/request.js'

/** How a {@link Soloist} talks to its backend. Every field is optional. */
export interface SoloistOptions {
  /**
   * How long one call to the backend may take before it counts as failed, in milliseconds; default 5,000. A wait for a
   * lock is made of many such calls and not bounded by it.
   */
  readonly callTimeoutMs?: number | undefined
  /** The time everything here goes by; for tests. Default: the system's. */
  readonly clock?: Clock | undefined
  /** A number from 0 to below 1, by which renewals and questions are spread; for tests. Default: `Math.random`. */
  readonly random?: (() => number) | undefined
}

/** Which holder {@link Soloist.unlock} is to remove. */
export type UnlockTarget =
  | { readonly owner: string; readonly force?: false }
  | { readonly force: true; readonly owner?: undefined }

/** What may be the handler of a job: a {@link JobHandler} of any arguments and result. */
// biome-ignore lint/suspicious/noExplicitAny: what functions in the options get before the handler's types are known
type AnyHandler = (args: any, run: JobRun) => unknown

/** The job a handler makes. Its types come from the handler as a whole, so that its parameters may be destructured. */
type JobOf<F extends AnyHandler> = Job<Parameters<F>[0], Awaited<ReturnType<F>>>

const SOLOIST_OPTION_NAMES: OptionNames<SoloistOptions> = { callTimeoutMs: true, clock: true, random: true }
const LIST_OPTION_NAMES: OptionNames<{ readonly prefix?: string | undefined }> = { prefix: true }
const UNLOCK_OPTION_NAMES: OptionNames<UnlockTarget> = { owner: true, force: true }

const DEFAULT_CALL_TIMEOUT_MS = 5_000
/** A backend tells its grants to one listener: two clients on it would miss each other's, and close it for the other. */
const inUse = new WeakSet<Backend>()
/** How many releases `clear` has under way at once. */
const CLEAR_AT_ONCE = 100

/**
 * One client of one backend: takes locks, keeps them renewed, and shows who holds what.
 *
 * Emits `acquired`, `waiting`, `released`, `lost` and `fault` ({@link SoloistEvents}). Made by `connect`.
 */
export class Soloist extends EventEmitter<SoloistEvents> implements AsyncDisposable {
  /** This client's name: the first part of every owner it makes. */
  readonly clientId: string
  /** The locks that stand for jobs, for adapters of job frameworks and for operators. */
  readonly jobs: JobLocks
  readonly #backend: Backend
  readonly #locker: Locker

  constructor(backend: Backend, options: SoloistOptions = {}) {
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
    this.jobs = new JobLocks(this.#locker, this.clientId)
  }

  /** The kind of the backend: `'redis'`, `'sqlite'`, `'memory'`. */
  get backendKind(): string {
    return this.#backend.kind
  }

  /** Waits for the lock `name`, alone. As {@link Lock.lock}. */
  async lock(name: string, options?: LockOptions): Promise<Lease> {
    return await this.#mutex(name).lock(options)
  }

  /** Takes the lock `name` if it is free now; else `null`. As {@link Lock.tryLock}. */
  async tryLock(name: string, options?: TryLockOptions): Promise<Lease | null> {
    return await this.#mutex(name).tryLock(options)
  }

  /**
   * Runs `work` while holding the lock `name`, or all of several locks. As {@link Lock.withLock}. Several are taken in
   * one order everywhere, so that no two callers can wait for each other, unless one takes more while holding some.
   */
  withLock<T>(name: string, work: Work<Lease, T>): Promise<T>
  withLock<T>(name: string, options: LockOptions, work: Work<Lease, T>): Promise<T>
  withLock<T>(names: readonly string[], work: Work<LeaseGroup, T>): Promise<T>
  withLock<T>(names: readonly string[], options: LockOptions, work: Work<LeaseGroup, T>): Promise<T>
  async withLock<T>(
    target: string | readonly string[],
    first: LockOptions | Work<Lease, T> | Work<LeaseGroup, T>,
    second?: Work<Lease, T> | Work<LeaseGroup, T>,
  ): Promise<T> {
    if (typeof target === 'string') {
      const [options, work] = workAndOptions(first as LockOptions | Work<Lease, T>, second as Work<Lease, T>)
      return await this.#mutex(target).withLock(options, work)
    }
    const [options, work] = workAndOptions(first as LockOptions | Work<LeaseGroup, T>, second as Work<LeaseGroup, T>)
    if (!Array.isArray(target) || target.length === 0) throw invalidArgument('withLock needs a name or a list of names')
    const requests = target.map(name => lockRequest(exclusive(name), options))
    return await runUnder(await acquireGroup(this.#locker, requests), work)
  }

  /** At most `limit` leases at a time. Everybody must name the same limit while the semaphore is in use. */
  semaphore(name: string, limit: number): Lock
  semaphore(name: string, limit: number, ...more: readonly unknown[]): Lock {
    checkNoMore('semaphore takes a name and a limit; options go to its lock, tryLock and withLock', more)
    return new NamedLock(this.#locker, counted(name, limit))
  }

  /** Many readers or one writer, in the order they came. */
  rwLock(name: string): ReadWriteLock
  rwLock(name: string, ...more: readonly unknown[]): ReadWriteLock {
    checkNoMore('rwLock takes a name; options go to lock, tryLock and withLock of its read and write', more)
    return readWriteLock(this.#locker, name)
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
    return makeJob(this.#locker, this.jobs, jobDefinition(name, options, handler))
  }

  /** Who holds the lock and who waits for it, or `null` when nobody does. */
  async inspect(name: string): Promise<LockState | null> {
    checkName(name)
    return await this.#locker.call('inspect', backend => backend.inspect(name))
  }

  /** Every lock in use whose name starts with `prefix` (taken literally; default: all), in no promised order. */
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
   * @returns whether a holder was removed
   */
  async unlock(name: string, target: UnlockTarget): Promise<boolean> {
    const byOwner = typeof target?.owner === 'string'
    if (byOwner === (target?.force === true)) throw invalidArgument('unlock needs { owner } or { force: true }')
    checkOptionNames(target, UNLOCK_OPTION_NAMES)
    const state = await this.inspect(name)
    if (state === null) return false
    const { holders } = state
    return await this.#removeAll(state, byOwner ? holders.filter(({ owner }) => owner === target.owner) : holders)
  }

  /**
   * Takes away every lock that is held now and whose name starts with `prefix`, taken literally. Claims that wait are
   * served as after any release.
   *
   * @returns how many locks were cleared
   */
  async clear(prefix: string): Promise<number> {
    checkPrefix(prefix)
    let cleared = 0
    let batch: LockState[] = []
    const clearBatch = async () => {
      const removed = await Promise.all(batch.map(state => this.#removeAll(state, state.holders)))
      cleared += removed.filter(Boolean).length
      batch = []
    }
    for await (const state of this.list({ prefix })) {
      if (batch.push(state) >= CLEAR_AT_ONCE) await clearBatch()
    }
    await clearBatch()
    return cleared
  }

  /**
   * Ends every wait with `CLOSED`, aborts the signal of every lease and gives it back, and lets go of everything this
   * object opened; a client that was passed in stays open. Safe to call twice.
   */
  async close(): Promise<void> {
    await this.#locker.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #mutex(name: string): NamedLock {
    return new NamedLock(this.#locker, exclusive(name))
  }

  /** Releases these holders in their name; whether any of them still held the lock. */
  async #removeAll(state: LockState, holders: readonly Holder[]): Promise<boolean> {
    const released = await Promise.all(
      holders.map(({ owner, mode }) => {
        const limit = mode === 'shared' ? state.limit : null
        return this.#locker.release({
          name: state.name,
          owner,
          client: this.clientId,
          mode,
          limit,
          ttlMs: null,
          meta: null,
        })
      }),
    )
    return released.some(Boolean)
  }
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
