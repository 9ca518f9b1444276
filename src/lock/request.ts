import type { ClaimMode, Seen, SeenRun, TriggerStep } from '../backend.js'
import { invalidArgument } from '../errors.js'
import {
  checkLimit,
  checkMs,
  checkName,
  checkOptionNames,
  checkOptions,
  checkSignal,
  checkText,
  type OptionNames,
} from '../internal/check.js'

/** The lease's length when the caller names none. */
const DEFAULT_TTL_MS = 30_000

/** What every call for a lock may say of it. */
interface LeaseOptions {
  /**
   * How long the lease lasts unless it is renewed, in milliseconds; default 30,000, at most 24 days. It is renewed in
   * the background at a third of this, so it bounds how long others wait after this process dies, not how long the
   * work may take.
   */
  readonly ttlMs?: number | undefined
  /**
   * Keep the lock at least this long after it was granted, in milliseconds, even when it is released sooner; default 0.
   * For jobs that every instance starts at the same tick: the quick run of one must not be followed by another's.
   */
  readonly holdForMs?: number | undefined
  /** A short text (up to 1 KiB) shown to operators beside the owner; default none. */
  readonly meta?: string | undefined
  /**
   * What becomes of a lease that ran out since it could not be renewed in time, as when the machine slept; default `'end'`:
   * it is lost. With `'retake'` the lock is taken again if it is free then: the lease goes on, with a new fence, and a
   * `retaken` event tells so. Somebody may have held the lock in between and given it back: the new fence keeps what they
   * wrote from being overwritten unnoticed, if the resource checks it. If somebody holds it or waits for it, the lease is
   * lost as ever; so is one that was taken away by `unlock` or `clear` while it lasted.
   *
   * While the store does not answer, it is asked for one more ttl. Meanwhile the lease is not valid, so `assertValid()`
   * throws, and its signal has not fired yet.
   */
  readonly onLost?: 'end' | 'retake' | undefined
  /**
   * Whether the lease stands for its ttl also when this process has died; default `false`. It makes a difference on SQLite,
   * where others of the same machine take the lock of a process at once that provably ended. For work that goes on without
   * this process, such as that of a child process.
   */
  readonly outlivesProcess?: boolean | undefined
  /** Gives up the attempt when it fires; a lease that was granted is not affected by it. */
  readonly signal?: AbortSignal | undefined
}

/** How one attempt to take a lock behaves. Every field is optional; an option there is not is `INVALID_ARGUMENT`. */
export interface TryLockOptions extends LeaseOptions {
  /** Not here: `tryLock` never waits. */
  readonly waitMs?: undefined
}

/** How a call that may wait for a lock behaves. Every field is optional; an option there is not is `INVALID_ARGUMENT`. */
export interface LockOptions extends LeaseOptions {
  /**
   * How long to wait for the lock, in milliseconds, from 0 (only if free now) to 24 days; default `Infinity`. It counts
   * from the call, and ends the wait once the backend has answered that the lock is not free: the first answer may take
   * longer, up to one call time-out. A backend that does not answer ends the wait sooner: after one call time-out when it
   * never answered, after about 30 seconds when it did before.
   */
  readonly waitMs?: number | undefined
}

const LOCK_OPTION_NAMES: OptionNames<LockOptions> = {
  waitMs: true,
  ttlMs: true,
  holdForMs: true,
  meta: true,
  onLost: true,
  outlivesProcess: true,
  signal: true,
}
const { waitMs: _, ...TRY_LOCK_OPTION_NAMES } = LOCK_OPTION_NAMES

/** What is asked for, without how: the part of a request that a mutex, a semaphore or a read/write lock fixes. */
export interface Target {
  readonly name: string
  readonly mode: ClaimMode
  readonly limit: number | null
}

/** What a trigger came to, apart from its claim. */
export interface TriggerTold {
  /** Whether its claim holds the lock, waits, or neither. */
  readonly course: 'granted' | 'queued' | 'met'
  /** What it saw; never itself. */
  readonly seen: Seen
  /** The run that its note was left with, if it was left with that of another. */
  readonly noted: string | null
  /** Whether its claim was granted, and is the pending run: it has to begin. */
  readonly pending: boolean
}

/** How a claim asks for a run of a job: until that is answered, its questions are triggers. */
export interface TriggerTerms extends Omit<TriggerStep, 'kind' | 'claim'> {
  /** Hears once what the trigger came to, unless it failed or was displaced before that was known. */
  readonly onTold: (told: TriggerTold) => void
}

/** A lock call after validation. */
export interface LockRequest extends Target {
  readonly ttlMs: number
  readonly waitMs: number
  readonly holdForMs: number
  readonly meta: string | null
  /** As in a claim: age and fence are seen from the grant on. */
  readonly noted?: boolean
  readonly signal: AbortSignal | null
  /** Whether what is held is to stand for its ttl also when this process has ended; absent: no. */
  readonly outlives?: boolean
  /** Whether the lock is taken again when the lease ran out; absent: no. */
  readonly retakes?: boolean
  /** Who is to hold the lock; absent: a new owner for this call alone. */
  readonly owner?: string
  /** Take the lock from exactly this owner. */
  readonly replaces?: string
  /** The claim is that of a run. */
  readonly trigger?: TriggerTerms
}

/** A mutex or a write lock. @throws SoloistError `INVALID_ARGUMENT` for a name that cannot be taken */
export function exclusive(name: string): Target {
  return { name: checkName(name), mode: 'exclusive', limit: null }
}

/** A semaphore. @throws SoloistError `INVALID_ARGUMENT` for a name or a limit that cannot be taken */
export function counted(name: string, limit: number): Target {
  return { name: checkName(name), mode: 'shared', limit: checkLimit(limit) }
}

/** A read lock, for any number of holders. @throws SoloistError `INVALID_ARGUMENT` for a name that cannot be taken */
export function shared(name: string): Target {
  return { name: checkName(name), mode: 'shared', limit: null }
}

/** Checks how a call wants the lock if it is free now. @throws SoloistError `INVALID_ARGUMENT` */
export function tryLockRequest(target: Target, options: TryLockOptions = {}): LockRequest {
  checkOptions(options)
  if (options.waitMs !== undefined) throw invalidArgument('tryLock never waits, so it has no waitMs; lock has')
  checkOptionNames<Omit<TryLockOptions, 'waitMs'>>(options, TRY_LOCK_OPTION_NAMES)
  return lockRequest(target, options)
}

/** Checks how a call wants the lock. @throws SoloistError `INVALID_ARGUMENT` */
export function lockRequest(target: Target, options: LockOptions = {}): LockRequest {
  checkOptions(options)
  checkOptionNames(options, LOCK_OPTION_NAMES)
  const { ttlMs, waitMs, holdForMs, meta, signal, onLost, outlivesProcess } = options
  if (outlivesProcess !== undefined && typeof outlivesProcess !== 'boolean') {
    throw invalidArgument('outlivesProcess must be true or false')
  }
  if (onLost !== undefined && onLost !== 'end' && onLost !== 'retake') {
    throw invalidArgument("onLost must be 'end' or 'retake'")
  }
  const { name, mode, limit } = target
  return {
    name,
    mode,
    limit,
    ttlMs: ttlMs === undefined ? DEFAULT_TTL_MS : checkMs('ttlMs', ttlMs, 1),
    waitMs: waitMs === undefined || waitMs === Infinity ? Infinity : checkMs('waitMs', waitMs, 0, ', or Infinity'),
    holdForMs: holdForMs === undefined ? 0 : checkMs('holdForMs', holdForMs, 0),
    meta: meta === undefined ? null : checkText('meta', meta),
    signal: signal === undefined ? null : checkSignal(signal),
    retakes: onLost === 'retake',
    outlives: outlivesProcess === true,
  }
}

export const NOTHING_SEEN: Seen = { running: null, pending: null, waiting: null }

/** What was seen, without the claim itself: a step that was repeated sees what it did the first time. */
export function seenBeside(asking: string, { running, pending, waiting }: Seen): Seen {
  const other = (run: SeenRun | null) => (run?.owner === asking ? null : run)
  return { running: other(running), pending: other(pending), waiting: other(waiting) }
}

/** Whether a claim that waits may be the pending run. */
export function mayBePending({ trigger }: LockRequest): boolean {
  return trigger !== undefined && (trigger.running !== 'wait' || trigger.pending !== 'wait')
}
