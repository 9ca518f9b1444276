import type { Job } from 'bullmq'
import type { JobState, TriggerOutcome } from '../../index.js'
import type { Carried } from './carried.js'
import { type Owner, SET_MARK } from './owner.js'

/** What a trigger came to: `status` says whether it was a duplicate, and the other members tell of which job. */
export interface SingletonOutcome extends TriggerOutcome {
  /** `false` when the job was queued although the lock's store was down (`onBackendFault: 'enqueue'`). */
  readonly guaranteed: boolean
}

/** What {@link Producer.addUnique} answers. */
export interface Unique<J> {
  /** The job that covers the trigger; `null` with `skip`, or when the live one is no job this queue can read. */
  readonly job: J | null
  readonly outcome: SingletonOutcome
}

/** A job to be added, after its lock was taken. */
export interface Addition {
  readonly kind: 'add'
  readonly outcome: SingletonOutcome
  readonly carried: Carried
  /** The lock to give back if the job turns out not to be there. */
  readonly holds: string | null
  /** What is to be done once it is there. */
  readonly after: (() => Promise<void>) | null
}

/** A trigger for which nothing is to be added. */
export interface Met {
  readonly kind: 'met'
  readonly outcome: SingletonOutcome
  readonly job: Job | null
}

/** What the outcome tells of the job that was met. */
export interface Sighting {
  readonly id: string
  readonly owner: string
  readonly state: JobState
  readonly ageMs: number | null
}

/** What is known of a live job without a further call. */
export function sighting(holder: string, owner: Owner | null, job: Job | null): Sighting {
  return {
    id: owner?.jobId ?? holder,
    owner: holder,
    state: stateOf(owner, job),
    ageMs: job === null ? null : Math.max(Math.round(Date.now() - job.timestamp), 0),
  }
}

export function outcomeOf(
  status: SingletonOutcome['status'],
  id: string,
  seen: Omit<Sighting, 'id'> | null = null,
  guaranteed = true,
): SingletonOutcome {
  if (seen === null) return { status, id, guaranteed }
  const { owner, state, ageMs } = seen
  return { status, id, owner, state, ...(ageMs === null ? {} : { ageMs }), guaranteed }
}

function stateOf(owner: Owner | null, job: Job | null): JobState {
  if (owner === null) return 'running'
  if (job === null || job.finishedOn) return 'finished'
  if (owner.mark === SET_MARK) return job.processedOn ? 'running' : 'queued'
  return owner.mark === null ? 'queued' : 'running'
}
