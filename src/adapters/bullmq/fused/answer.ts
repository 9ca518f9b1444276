import type { JobState } from '../../../index.js'

/** A run that the script saw, as its job tells. */
export interface SeenJob {
  readonly owner: string
  /** `null`: not known. */
  readonly ageMs: number | null
  readonly state: JobState
  /** A worker runs it that knows nothing of locks. */
  readonly strange: boolean
}

/** What came of adding a job, see `scripts/add.lua`. */
export interface Answer {
  readonly course: 'granted' | 'queued' | 'noted' | 'met' | 'known' | 'turned' | 'refused' | 'circular'
  /** The job that covers this one. */
  readonly id: string
  readonly running: SeenJob | null
  readonly pending: SeenJob | null
  readonly waiting: SeenJob | null
  /** Who had the lock was gone. */
  readonly recovered: boolean
  /** It waits for a run that is to stop: its job is to say so, where the script does not tell the run itself. */
  readonly asks?: boolean
}

/** What an answer is known by among those of a pipeline; `NaN` for what is none of ours. */
export function tagOf(reply: unknown): number {
  return isOurs(reply) && reply[1] !== '' ? Number(reply[1]) : Number.NaN
}

/** @returns `null` for what BullMQ's own script answered */
export function answerIn(reply: unknown): Answer | null {
  if (!isOurs(reply)) return null
  return {
    course: reply[2] as Answer['course'],
    id: String(reply[3]),
    running: seenAt(reply, 4),
    pending: seenAt(reply, 8),
    waiting: seenAt(reply, 12),
    recovered: reply[16] === '1',
  }
}

function isOurs(reply: unknown): reply is readonly unknown[] {
  return Array.isArray(reply) && reply[0] === '~'
}

function seenAt(reply: readonly unknown[], at: number): SeenJob | null {
  const [owner, ageMs, state, strange] = reply.slice(at, at + 4)
  if (owner === '' || owner === undefined) return null
  return {
    owner: String(owner),
    ageMs: ageMs === '' ? null : Number(ageMs),
    state: state as JobState,
    strange: strange === '1',
  }
}
