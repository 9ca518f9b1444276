import type { JobState } from '../../errors.js'
import type { JobLockNames } from '../naming/names.js'
import type { TriggerOutcome, TriggerStatus } from '../outcome.js'
import type { Settled } from './result.js'

/** One trigger, with what was computed of it once. */
export interface Trigger<A> {
  readonly args: A
  /** In which order this process's triggers came: higher is later. */
  readonly order: number
  /** What its arguments are known by where they are carried: they may be left with a run more than once. Empty without `merge`. */
  readonly id: string
  readonly key: string
  readonly names: JobLockNames
  /** The arguments as they are carried for `merge`; empty without it. */
  readonly text: string
  /** For operators. */
  readonly description: string | null
}

/** What a trigger came to: the outcome for its caller, and the end of the run it relies on. */
export interface Entered<R> {
  readonly outcome: TriggerOutcome
  readonly settled: Promise<Settled<R>>
  /** Whether that is up to a run that others began, or that waits for one. */
  readonly waits: boolean
  /** Whether it is a run of this trigger's own. */
  readonly own: boolean
}

/** The live run that a trigger found. */
export interface Met {
  readonly id: string
  readonly state: JobState
  readonly ageMs: number | null
}

/** The outcome of a trigger. @param met the live run it found, if any */
export function outcomeOf(status: TriggerStatus, id: string, met: Met | null): TriggerOutcome {
  if (met === null) return { status, id }
  const age = met.ageMs === null ? {} : { ageMs: met.ageMs }
  return { status, id, owner: met.id, state: met.state, ...age }
}
