import { SoloistError } from '../../errors.js'

/** What ends a wait, apart from the request's own signal. */
export interface Patience {
  /** Whether the claim may be queued; without, the answer to the first question decides. */
  readonly queues: boolean
  /** Whether a lock that is not free then is an error, and not `null`. */
  readonly insists: boolean
  /** Ends the wait with its reason. */
  readonly unless: AbortSignal | null
  /** Called once the claim is queued. */
  readonly onQueued: (() => void) | null
}

/** What a wait in several parts adds to its request. */
export interface PartPatience extends Pick<Patience, 'unless' | 'onQueued'> {
  /** Since when the caller waits, on the monotonic clock. */
  readonly sinceMs: number
}

/** What nearly all calls have. */
const NO_PART = { unless: null, onQueued: null } as const

/** Waits for its turn. */
export const WAITS: Patience = { queues: true, insists: true, ...NO_PART }
/** Does not wait; a lock that is not free is an error. */
export const INSISTS: Patience = { queues: false, insists: true, ...NO_PART }
/** Does not wait; a lock that is not free is `null`. */
export const TRIES: Patience = { queues: false, insists: false, ...NO_PART }

/** What a wait ends with when its caller's signal fires. */
export function aborted(signal: AbortSignal): SoloistError {
  return new SoloistError('ABORTED', 'the caller gave up waiting for the lock', { cause: signal.reason })
}
