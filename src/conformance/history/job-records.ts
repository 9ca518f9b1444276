/** What every record about a trigger says. */
interface OfTrigger {
  /** The job and its key, in one word: runs of one name are those that must not overlap. */
  readonly name: string
  /** Any string that the recorder uses for this trigger alone. */
  readonly trigger: string
  /** As in every record. */
  readonly atMs: number
}

/** What every record about a run says. */
interface OfRun {
  /** As in the records of triggers. */
  readonly name: string
  readonly run: string
  readonly atMs: number
}

/** A job is about to be triggered. */
export interface TriggerRecord extends OfTrigger {
  readonly event: 'trigger'
  readonly process?: string | undefined
  /** What it is promised: a run that starts `later` than it came, or the one that is `live`. */
  readonly covers: 'later' | 'live'
  /** Whether its arguments have to be in the run that covers it. */
  readonly merges?: boolean | undefined
}

/** The trigger was answered. */
export interface AcceptedRecord extends OfTrigger {
  readonly event: 'accepted'
}

/** The trigger was told what became of it. `run`: the run that it got the result or the error of; `null`: of none, see `code`. */
export interface SettledRecord extends OfTrigger {
  readonly event: 'settled'
  readonly run: string | null
  /** What it was told instead, such as the code of an error. */
  readonly code?: string | undefined
}

/** The handler was called, and the run was valid. */
export interface StartedRecord extends OfRun {
  readonly event: 'started'
  readonly process?: string | undefined
  readonly fence: number
  /** How many runs may execute at once; `null`: any number. */
  readonly limit: number | null
  /** The triggers whose arguments it has, in their order. */
  readonly triggers: readonly string[]
}

/** The run was valid at this moment, which was read before it was asked. */
export interface RunningRecord extends OfRun {
  readonly event: 'running'
}

/** The handler ends. `valid`: whether the run was, at this moment, which was read before it was asked. */
export interface FinishedRecord extends OfRun {
  readonly event: 'finished'
  readonly valid: boolean
}

export type JobRecord = TriggerRecord | AcceptedRecord | SettledRecord | StartedRecord | RunningRecord | FinishedRecord

/** Whether a record is about a job, by what it says. */
export function isJobRecord(record: { readonly event?: unknown }): record is JobRecord {
  switch (record.event) {
    case 'trigger':
    case 'accepted':
    case 'settled':
    case 'started':
    case 'running':
    case 'finished':
      return true
    default:
      return false
  }
}

/** Whether what claims to be a record about a job has all that it needs, beside its name and its time. */
export function isOfJob(record: Record<string, unknown>): boolean {
  const { event, trigger, run, process, fence, limit, triggers, covers, merges, valid, code } = record
  const known = process === undefined || typeof process === 'string'
  switch (event) {
    case 'trigger':
      if (covers !== 'later' && covers !== 'live') return false
      return typeof trigger === 'string' && known && (merges === undefined || typeof merges === 'boolean')
    case 'accepted':
      return typeof trigger === 'string'
    case 'settled':
      if (code !== undefined && typeof code !== 'string') return false
      return typeof trigger === 'string' && (run === null || typeof run === 'string')
    case 'started':
      if (!Array.isArray(triggers) || !triggers.every(one => typeof one === 'string')) return false
      return typeof run === 'string' && known && isCount(fence) && (limit === null || isCount(limit))
    case 'finished':
      return typeof run === 'string' && typeof valid === 'boolean'
    default:
      return typeof run === 'string'
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0
}
