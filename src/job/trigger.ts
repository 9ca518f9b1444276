import type { JobState } from '../errors.js'
import type { JobStrategy } from '../internal/job-modes.js'
import type { JobLockNames } from './names.js'
import type { TriggerOutcome, TriggerStatus } from './outcome.js'
import type { Places } from './places.js'
import type { Settled } from './result.js'

/** One trigger, with what was computed of it once. */
export interface Trigger<A> {
  readonly args: A
  readonly key: string
  readonly names: JobLockNames
  readonly places: Places
  /** How often it may still start anew because the run it relied on died with its process. */
  readonly lives: number
}

/** What a trigger came to: the outcome for its caller, and the end of the run it relies on. */
export interface Entered<R> {
  readonly outcome: TriggerOutcome
  readonly settled: Promise<Settled<R>>
  /** Whether that is up to a run that others began, or that waits for one. */
  readonly waits: boolean
}

/** The live run that a trigger found. */
export interface Met {
  readonly id: string
  readonly state: JobState
  readonly ageMs: number | null
  /** Its process died, so its place may be taken. */
  readonly dead: boolean
}

/** Starts a trigger anew, by the strategy that was decided on the first time. */
export type Reenter<A, R> = (trigger: Trigger<A>, strategy: JobStrategy) => Promise<Entered<R>>

/** The outcome of a trigger. @param met the live run it found, if any */
export function outcomeOf(status: TriggerStatus, id: string, met: Met | null): TriggerOutcome {
  if (met === null) return { status, id }
  const age = met.ageMs === null ? {} : { ageMs: met.ageMs }
  return { status, id, owner: met.id, state: met.state, ...age }
}
