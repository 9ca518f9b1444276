import type {
  AcquireAnswer,
  Again,
  BeginAnswer,
  Claim,
  ClaimId,
  Fault,
  KeptResult,
  LockState,
  RenewAnswer,
  TriggerAction,
  TriggerAnswer,
} from '../backend.js'
import { invalidArgument } from '../errors.js'
import { checkMs, checkOptionNames, checkOptions, checkPrefix, checkText, type OptionNames } from '../internal/check.js'
import type { Lease } from '../lock/holding/lease.js'
import type { Locker } from '../lock/locker.js'
import { lockRequest } from '../lock/request.js'
import { checkJobLock, JOB_PREFIX } from './naming/names.js'
import { type JobCount, JobCounter, type JobCounts } from './outcome.js'

/** The longest `meta` of a job lock, in bytes of UTF-8. */
const LONGEST_META_BYTES = 16 * 1024
/** For how long it is kept that a run was displaced. */
const DISPLACED_KEPT_MS = 60_000
/** The longest result that a release may keep, in bytes of UTF-8. */
const LONGEST_RESULT_BYTES = 1024 * 1024

/** Who holds a job lock. */
export interface JobHolder {
  readonly owner: string
  /** `0` when the lock was taken without one: by something that is no Soloist client, or by a job in the step that adds it. */
  readonly fence: number
  /** How long it has held the lock, in milliseconds of the datastore's clock; `null` where nobody noted it. */
  readonly ageMs: number | null
  /** When the lock runs out unless it is renewed, in epoch milliseconds of the datastore's clock; `null`: never. */
  readonly expiresAtMs: number | null
  readonly meta: string | null
}

/** How a job lock is taken. Every field is optional. */
export interface JobTakeOptions {
  /** How long it is held unless it is released, in milliseconds; default `null`: until it is released. */
  readonly ttlMs?: number | null | undefined
  /** A text shown to operators beside the owner, up to 16 KiB; default none. */
  readonly meta?: string | undefined
  /**
   * Take the lock from exactly this owner, with a new fence: compare-and-set. If somebody else holds it the answer is
   * `busy`; if nobody does, it is taken as a free one.
   */
  readonly replaces?: string | undefined
}

/** How a run claims a job lock. */
export interface JobClaimOptions {
  /** The lease's length, in milliseconds; default 30,000. It is renewed in the background. */
  readonly ttlMs?: number | undefined
  /** As in {@link JobTakeOptions}. */
  readonly meta?: string | undefined
  /** As in {@link JobTakeOptions}. */
  readonly replaces?: string | undefined
}

/** How the claim of a job is made that lives in a queue of another system. Every field is optional. */
export interface JobQueueOptions {
  /** How many may run at once; default `null`: one alone. */
  readonly limit?: number | null | undefined
  /** How long the lock is held from the grant on, in milliseconds; default `null`: until it is released. */
  readonly ttlMs?: number | null | undefined
  /** As in {@link JobTakeOptions}. */
  readonly meta?: string | undefined
}

/** How such a claim is made. Every field is optional. */
export interface JobPlaceOptions extends JobQueueOptions {
  /** Take what exactly this owner has, the lock or its place in the queue; the same `limit` is to be asked for. */
  readonly replaces?: string | undefined
}

/** How such a job is triggered. */
export interface JobTriggerOptions extends JobQueueOptions {
  /** What to do while a run is live and none is pending, see the port's `TriggerStep`. */
  readonly running: TriggerAction
  /** What to do while a run is pending. */
  readonly pending: TriggerAction
  /** What the run is to be told; default nothing. */
  readonly note?: string | null | undefined
  /** The run is pending until {@link JobLocks.begin}, also when it is granted at once; default `false`. */
  readonly begins?: boolean | undefined
  /** See the port's `TriggerStep`; default `null`: none. */
  readonly debounce?: { readonly waitMs: number; readonly maxWaitMs: number } | null | undefined
  /** An owner whose job is over: what it has is given up first; default `null`. */
  readonly without?: string | null | undefined
}

/** What taking a job lock came to. */
export type Taken =
  | { readonly status: 'granted'; readonly fence: number }
  /** `holder`: who holds it, or `null` when only waiters stood before this call. */
  | { readonly status: 'busy'; readonly holder: string | null }

/**
 * The locks that stand for jobs: what an adapter for a job framework is built of. Names come from `jobLockNames`, and
 * an owner is any string the adapter can find the job again by, so that whoever meets it can judge whether it is alive.
 *
 * Every method rejects with `INVALID_ARGUMENT` for what cannot be taken, before anything is sent, with
 * `BACKEND_UNAVAILABLE` when there was no answer, and with `CLOSED`.
 */
export class JobLocks {
  readonly #locker: Locker
  readonly #counter = new JobCounter()

  constructor(locker: Locker) {
    this.#locker = locker
  }

  /**
   * Takes the lock for `owner` in one step, without a lease that is kept renewed: for a job that waits in a queue.
   * Repeating it is safe: an owner that holds the lock already is granted it again, with the same fence or a higher one.
   *
   * After `BACKEND_UNAVAILABLE` the lock may have been taken: {@link JobLocks.release} it, or take it again.
   *
   * Held after abort or rejection: after `BACKEND_UNAVAILABLE` perhaps the lock, without an expiry unless `ttlMs` says
   * one; after any other code nothing.
   */
  async take(lock: string, owner: string, options: JobTakeOptions = {}): Promise<Taken> {
    const { replaces } = checked(options)
    const ttlMs = options.ttlMs === undefined || options.ttlMs === null ? null : checkMs('ttlMs', options.ttlMs, 1)
    const claim = {
      ...claimOf(lock, owner),
      mode: 'exclusive',
      limit: null,
      ttlMs,
      meta: options.meta ?? null,
      noted: true,
    } as const
    const answer = await this.#locker.take(claim, replaces ?? null)
    if (answer.status === 'granted') return { status: 'granted', fence: answer.fence }
    return { status: 'busy', holder: answer.holder }
  }

  /**
   * Asks for a run of a job that lives in a queue of another system. Its claim waits and is held until it is released, whatever
   * becomes of this process; {@link JobLocks.hearGranted} tells when it was granted.
   *
   * Held after abort or rejection: after `BACKEND_UNAVAILABLE` perhaps the lock, or a place in its queue, until it is released.
   */
  async trigger(
    lock: string,
    owner: string,
    options: JobTriggerOptions,
  ): Promise<Exclude<TriggerAnswer, Again | Fault>> {
    const { running, pending, note = null, begins = false, debounce = null, without = null } = options
    const claim = durableClaim(lock, owner, options)
    const keepMs = DISPLACED_KEPT_MS
    const step = { kind: 'trigger', claim, running, pending, note, begins, debounce, without, keepMs } as const
    return this.#locker.step<TriggerAnswer>(step, claim.name)
  }

  /**
   * Takes the lock for such a job, or a place in its queue.
   *
   * Held after abort or rejection: as after {@link JobLocks.trigger}.
   */
  async queue(
    lock: string,
    owner: string,
    options: JobPlaceOptions = {},
  ): Promise<Exclude<AcquireAnswer, Again | Fault>> {
    const claim = durableClaim(lock, owner, options)
    const { replaces = null } = options
    if (replaces !== null) checkText('replaces', replaces)
    return this.#locker.step<AcquireAnswer>({ kind: 'acquire', claim, ticket: 'new', replaces }, claim.name)
  }

  /**
   * Begins the run of a job that has the lock: from now on nobody adds to it. It is told what was left with it. Safe to repeat.
   *
   * Held after abort or rejection: what was held before.
   */
  async begin(lock: string, owner: string): Promise<Exclude<BeginAnswer, Again | Fault>> {
    const claim = claimOf(lock, owner)
    return await this.#locker.step<BeginAnswer>({ kind: 'begin', ...claim }, claim.name)
  }

  /**
   * Takes back what the trigger of the owner `by` left with the run of `owner`, of which nobody knows whether it will ever begin,
   * see the port's `BeginStep`. Safe to repeat.
   *
   * Held after abort or rejection: what was held before.
   */
  async takeBack(lock: string, owner: string, by: string): Promise<Exclude<BeginAnswer, Again | Fault>> {
    const claim = claimOf(lock, owner)
    const takesBack = claimOf(lock, by).owner
    return await this.#locker.step<BeginAnswer>({ kind: 'begin', ...claim, takesBack }, claim.name)
  }

  /**
   * Lets the lock run out so many milliseconds from now, unless it is released or renewed before.
   *
   * Held after abort or rejection: what was held before, perhaps with the new expiry.
   *
   * @returns whether this owner holds it
   */
  async renew(lock: string, owner: string, ttlMs: number): Promise<boolean> {
    const claim = claimOf(lock, owner)
    const step = { kind: 'renew', ...claim, ttlMs: checkMs('ttlMs', ttlMs, 1), fence: null } as const
    return (await this.#locker.step<RenewAnswer>(step, claim.name)).status === 'held'
  }

  /** Hears of jobs in queues of other systems that were granted their lock by a step of this client. @returns takes that back */
  hearGranted(tell: (claim: ClaimId) => void): () => void {
    return this.#locker.hearDurable(tell)
  }

  /**
   * Who holds the lock alone, or `null` when nobody does.
   *
   * Held after abort or rejection: nothing; it only looks.
   */
  async holder(lock: string): Promise<JobHolder | null> {
    const state = await this.inspect(lock)
    const [first] = state?.holders ?? []
    if (state === null || first?.mode !== 'exclusive') return null
    const { owner, fence, acquiredAtMs, expiresAtMs, meta } = first
    return { owner, fence, ageMs: acquiredAtMs === null ? null : state.atMs - acquiredAtMs, expiresAtMs, meta }
  }

  /**
   * The lock's whole state, or `null` when nobody holds it or waits for it.
   *
   * Held after abort or rejection: nothing; it only looks.
   */
  async inspect(lock: string): Promise<LockState | null> {
    const name = checkJobLock(lock)
    return await this.#locker.inspect(name)
  }

  /**
   * Gives the lock up for exactly this owner; whoever else holds it keeps it. Ends the lease {@link JobLocks.claim} made
   * for it in this process, too.
   *
   * Held after abort or rejection: after `BACKEND_UNAVAILABLE` perhaps the lock still. It is safe to call again.
   *
   * @param result kept under the lock and its owner for whoever watches, if the owner held the lock until now
   * @returns whether it did
   */
  async release(lock: string, owner: string, result?: KeptResult): Promise<boolean> {
    const claim = claimOf(lock, owner)
    if (result !== undefined) checkResult(result)
    const lease = this.#locker.leaseOf(claim)
    this.#locker.assertOpen()
    return await (lease === undefined ? this.#locker.release(claim, result) : lease.releaseWith(result ?? null))
  }

  /**
   * Takes the lock for a run, and keeps it renewed until the lease is released. The owner must be new for each run, so
   * that an earlier run of the same job can neither renew nor release it: the job's id and a token.
   *
   * Held after abort or rejection: nothing. What the store may have noted is given back in the background, or runs out
   * after `ttlMs`.
   *
   * @returns the lease, or `null` when somebody else holds the lock or waits for it
   */
  async claim(lock: string, owner: string, options: JobClaimOptions = {}): Promise<Lease | null> {
    const { replaces } = checked(options)
    const { name } = claimOf(lock, owner)
    const { ttlMs, meta } = options
    const request = {
      ...lockRequest({ name, mode: 'exclusive', limit: null }, { ttlMs }),
      meta: meta ?? null,
      noted: true,
      owner,
    }
    return await this.#locker.tryAcquire(replaces === undefined ? request : { ...request, replaces })
  }

  /**
   * Every job lock in use of jobs whose name starts with `prefix` (taken literally), in no promised order.
   *
   * Held after abort or rejection: nothing; it only looks.
   */
  async *list(prefix = ''): AsyncGenerator<LockState, void, undefined> {
    yield* this.#locker.list(checkPrefix(`${JOB_PREFIX}${checkPrefix(prefix)}`))
  }

  /** Adds one to what {@link JobLocks.counts} tells: for adapters. */
  count(job: string, what: JobCount): void {
    this.#counter.add(job, what)
  }

  /** How often each happened with this object since it was made: of one job, or of all together. */
  counts(job?: string): JobCounts {
    return this.#counter.read(job)
  }
}

function claimOf(lock: string, owner: string): ClaimId {
  const name = checkJobLock(lock)
  if (checkText('an owner', owner) === '') throw invalidArgument('an owner must not be empty')
  return { name, owner }
}

/** Made of all fields at once: to copy some of them from another object takes several times as long. */
function durableClaim(lock: string, owner: string, { limit = null, ttlMs = null, meta }: JobQueueOptions): Claim {
  if (meta !== undefined) checkBytes('meta', meta, LONGEST_META_BYTES)
  const { name } = claimOf(lock, owner)
  return {
    name,
    owner,
    mode: limit === null ? 'exclusive' : 'shared',
    limit,
    ttlMs: ttlMs === null ? null : checkMs('ttlMs', ttlMs, 1),
    meta: meta ?? null,
    durable: true,
    noted: true,
  }
}

const OPTION_NAMES: OptionNames<JobTakeOptions> = { ttlMs: true, meta: true, replaces: true }
const RESULT_NAMES: OptionNames<KeptResult> = { text: true, keepMs: true }

function checked(options: JobTakeOptions): JobTakeOptions {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  const { meta, replaces } = options
  if (meta !== undefined) checkBytes('meta', meta, LONGEST_META_BYTES)
  if (replaces !== undefined) checkText('replaces', replaces)
  return options
}

function checkResult(result: KeptResult): void {
  checkOptions(result)
  checkOptionNames(result, RESULT_NAMES)
  checkBytes('a result', result.text, LONGEST_RESULT_BYTES)
  checkMs('keepMs', result.keepMs, 1)
}

function checkBytes(what: string, text: unknown, most: number): void {
  if (typeof text !== 'string' || !text.isWellFormed()) throw invalidArgument(`${what} must be a well-formed string`)
  const bytes = Buffer.byteLength(text)
  if (bytes > most) throw invalidArgument(`${what} must not be longer than ${most} bytes; it has ${bytes}`)
}
