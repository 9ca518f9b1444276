/**
 * Every way Soloist can fail, as a closed set. Decide on `code`, never on a message.
 *
 * | code | what happened | what is held |
 * |---|---|---|
 * | `INVALID_ARGUMENT` | an argument cannot be taken; nothing was sent | nothing |
 * | `LIMIT_MISMATCH` | a shared claim's limit differs from the one the lock's holders or waiters agreed on | nothing |
 * | `LOCK_TIMEOUT` | `waitMs` passed while somebody else held the lock | nothing |
 * | `LEASE_LOST` | ownership can no longer be proven: expired, taken over or cleared | not by you any more |
 * | `BACKEND_UNAVAILABLE` | the backend gave no answer or an error; `cause` says which | nothing you may rely on; what was left expires |
 * | `ABORTED` | the caller's `AbortSignal` fired; `cause` is its reason | nothing |
 * | `CLOSED` | used after, or waiting during, `close()` | nothing |
 */
export type SoloistErrorCode =
  | 'INVALID_ARGUMENT'
  | 'LIMIT_MISMATCH'
  | 'LOCK_TIMEOUT'
  | 'LEASE_LOST'
  | 'BACKEND_UNAVAILABLE'
  | 'ABORTED'
  | 'CLOSED'

/** A fault or a refused wait, told apart by {@link SoloistError.code | code}; what led to it is in `cause`. */
export class SoloistError extends Error {
  readonly code: SoloistErrorCode

  constructor(code: SoloistErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'SoloistError'
    this.code = code
  }
}

/**
 * `waitMs` passed before the lock was granted. Not a fault: somebody else had it all the time.
 *
 * `holder` is who had it when the backend last answered, or `null` when it did not say.
 */
export class LockTimeoutError extends SoloistError {
  /** The lock's name. */
  readonly lockName: string
  /** The owner that was seen holding it last. */
  readonly holder: string | null
  /** How long the caller waited, in milliseconds. */
  readonly waitedMs: number

  constructor(details: { lockName: string; holder: string | null; waitedMs: number; cause?: unknown }) {
    const by = details.holder === null ? '' : `; it is held by ${details.holder}`
    super(
      'LOCK_TIMEOUT',
      `lock ${JSON.stringify(details.lockName)} was not granted within ${Math.round(details.waitedMs)} ms${by}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    )
    this.name = 'LockTimeoutError'
    this.lockName = details.lockName
    this.holder = details.holder
    this.waitedMs = details.waitedMs
  }
}

/** `INVALID_ARGUMENT`, with the value shown in a form that is short and safe to log. */
export function invalidArgument(message: string): SoloistError {
  return new SoloistError('INVALID_ARGUMENT', message)
}
