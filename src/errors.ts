/**
 * Every way Soloist can fail, as a closed set. Decide on `code`, never on a message.
 *
 * | code | what happened | what is held |
 * |---|---|---|
 * | `INVALID_ARGUMENT` | an argument cannot be taken; nothing was sent | nothing |
 * | `LOCK_TIMEOUT` | `waitMs` passed while somebody else held the lock | nothing |
 * | `LEASE_LOST` | ownership can no longer be proven: expired, taken over or cleared | not by you any more |
 * | `BACKEND_UNAVAILABLE` | the backend gave no answer or an error; `cause` says which | nothing you may rely on; what was left expires |
 * | `BACKEND_UNSAFE` | only of a `fault` event, or as a `cause`: the backend works, but is set up so that it may lose locks, or it answered what cannot be true | what you hold; not what was answered |
 * | `ABORTED` | the caller's `AbortSignal` fired; `cause` is its reason | nothing |
 * | `CLOSED` | used after, or waiting during, `close()` | nothing |
 * | `SELF_WAIT` | a block of `withLock` or a job's handler would wait for what it holds itself; nothing was sent | what it held before |
 * | `DUPLICATE_JOB` | the same job is live already, and its strategy is `reject`, or `skip` where a result was awaited | nothing |
 * | `JOB_FAILED` | the run this call joined failed in another process; `cause` is what is left of its error | nothing |
 * | `JOB_REPLACED` | the reason of the signal of a run that was asked to stop for a newer one | still the run's |
 * | `RUN_TIMEOUT` | a run took longer than its `maxRunMs`; also the reason of its signal | nothing: its key is free, whether or not its handler has ended |
 * | `RESULT_TIMEOUT` | `timeoutMs` passed before the run had ended, which goes on | nothing by this call |
 * | `CLOCKS_DIFFER` | this instance's clock differs too much from the store's for the scheduled time it asked for | nothing |
 * | `RESULT_UNAVAILABLE` | the run this call joined ended, but its result cannot be had here | nothing |
 */
export type SoloistErrorCode =
  | 'INVALID_ARGUMENT'
  | 'LOCK_TIMEOUT'
  | 'LEASE_LOST'
  | 'BACKEND_UNAVAILABLE'
  | 'BACKEND_UNSAFE'
  | 'ABORTED'
  | 'CLOSED'
  | 'SELF_WAIT'
  | 'DUPLICATE_JOB'
  | 'JOB_FAILED'
  | 'JOB_REPLACED'
  | 'RUN_TIMEOUT'
  | 'RESULT_TIMEOUT'
  | 'RESULT_UNAVAILABLE'
  | 'CLOCKS_DIFFER'

/** A fault or a refused wait, told apart by {@link SoloistError.code | code}; what led to it is in `cause`. */
export class SoloistError extends Error {
  readonly code: SoloistErrorCode

  constructor(code: SoloistErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'SoloistError'
    this.code = code
  }
}

/** `waitMs` passed before the lock was granted. Not a fault: somebody else had it, or came before. */
export class LockTimeoutError extends SoloistError {
  /** The lock's name. */
  readonly lockName: string
  /** Who held it when the backend last answered; `null` when only waiters stood before this call. */
  readonly holder: string | null
  /** How long the caller waited, in whole milliseconds; for several names, all of it. */
  readonly waitedMs: number

  /** @param details `bound`: how long the caller was to wait, as the message tells it, with the option that says so */
  constructor(details: {
    lockName: string
    holder: string | null
    waitedMs: number
    bound?: string | undefined
    cause?: unknown
  }) {
    const { lockName, holder, cause } = details
    const waitedMs = Math.round(details.waitedMs)
    const by = holder === null ? '' : `; it is held by ${holder}`
    const message = `lock ${JSON.stringify(lockName)} was not granted within ${details.bound ?? `${waitedMs} ms`}${by}`
    super('LOCK_TIMEOUT', message, causedBy(cause))
    this.name = 'LockTimeoutError'
    this.lockName = lockName
    this.holder = holder
    this.waitedMs = waitedMs
  }
}

/**
 * How far a live job is: `pending` was locked but has not been seen in its queue yet, `queued` waits for its turn,
 * `running` executes, `finished` has ended but keeps its place, as `untilExpired` does.
 */
export type JobState = 'pending' | 'queued' | 'running' | 'finished'

/** A live job stands in the way of this one, and its strategy is `reject`. Not a fault. */
export class DuplicateJobError extends SoloistError {
  /** The live job's id. */
  readonly id: string
  /** How far it is. */
  readonly state: JobState
  /** How long it has been live, in whole milliseconds; `null` where the backend does not know. */
  readonly ageMs: number | null

  constructor(details: { job: string; id: string; state: JobState; ageMs: number | null }) {
    const { job, id, state } = details
    const ageMs = details.ageMs === null ? null : Math.round(details.ageMs)
    const since = ageMs === null ? '' : ` for ${ageMs} ms`
    const why = state === 'finished' ? 'may not run again yet' : 'is live already'
    super('DUPLICATE_JOB', `job ${JSON.stringify(job)} ${why}: ${id} is ${state}${since}`)
    this.name = 'DuplicateJobError'
    this.id = id
    this.state = state
    this.ageMs = ageMs
  }
}

/**
 * A run that this call joined failed in another process. The message is that of the error its handler threw; `cause` is
 * an error with that error's `name`, `message` and, where it had a string as such, `code`, and no stack of its own.
 */
export class JobFailedError extends SoloistError {
  /** The id of the run that failed. */
  readonly id: string

  constructor(details: { id: string; cause: Error }) {
    super('JOB_FAILED', details.cause.message, { cause: details.cause })
    this.name = 'JobFailedError'
    this.id = details.id
  }
}

/** `INVALID_ARGUMENT`. The message must not repeat what may be long or secret. */
export function invalidArgument(message: string): SoloistError {
  return new SoloistError('INVALID_ARGUMENT', message)
}

/** Error options with a cause, where there is one. */
export function causedBy(cause: unknown): { cause?: unknown } {
  return cause === undefined ? {} : { cause }
}
