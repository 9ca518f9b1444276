import { DuplicateJobError, type JobStrategy, type SoloistError, type TriggerOutcome } from '../../../index.js'
import { verdict } from '../../../internal/job-decision.js'
import type { Answer, SeenJob } from '../fused/answer.js'
import { parseOwner } from '../lock/owner.js'
import { invalid } from '../options/definition.js'
import type { Trigger } from './trigger.js'

/** What a trigger came to: `status` says whether it was a duplicate, and the other members tell of which job. */
export interface SingletonOutcome extends TriggerOutcome {
  /** The queue of the job that was met, `<prefix>:<name>`, where that is another one (`scope: 'name'`). */
  readonly queue?: string
  /** `false` when the job was queued although the lock's store was down (`onBackendFault: 'enqueue'`). */
  readonly guaranteed: boolean
}

/** What `addUnique` answers. */
export interface Unique<J> {
  /** The job that covers the trigger; `null` with `skip`, or when the live one is no job this queue can read. */
  readonly job: J | null
  readonly outcome: SingletonOutcome
}

/** What came of a trigger: what its caller is told, and which job is answered. */
export interface Conclusion {
  readonly outcome: SingletonOutcome
  /** The owner whose job is answered; `null`: the trigger's own; `''`: none. */
  readonly of: string | null
  /** Whether the job that it met is run by a worker that knows nothing of locks. */
  readonly strange: SeenJob | null
}

export function started(id: string, guaranteed = true): SingletonOutcome {
  return { status: 'started', id, guaranteed }
}

/**
 * What the caller is told.
 *
 * @throws DuplicateJobError with `reject`
 * @throws SoloistError as {@link circular}
 */
export function conclude(trigger: Trigger, strategy: JobStrategy, answer: Answer): Conclusion {
  const { course, id, recovered } = answer
  if (course === 'circular') throw circular(trigger.name)
  const seen = seenBy(trigger, answer)
  const strange = [seen.running, seen.pending].find(run => run?.strange) ?? null
  const tell = (status: SingletonOutcome['status'], to: string, met: SeenJob | null): SingletonOutcome => ({
    status,
    id: to,
    ...metOf(trigger, met),
    guaranteed: true,
  })
  if (course === 'turned' || course === 'known') {
    const met = answer.running
    if (strategy === 'reject' && met !== null) throw duplicate(trigger, met)
    const of = met?.owner ?? null
    return { outcome: tell('duplicate', id, met), of: strategy === 'skip' ? '' : of, strange: null }
  }
  if (course === 'granted') {
    // With a limit it is beside those that run.
    const running = trigger.definition.limit === null ? seen.running : null
    const taken = strategy === 'replace' ? (seen.pending ?? running) : null
    if (taken !== null) return { outcome: tell('replaced', id, taken), of: null, strange }
    return { outcome: tell(recovered ? 'recovered' : 'started', id, null), of: null, strange }
  }
  const told = verdict(trigger.definition.mode, strategy, course === 'queued' ? 'queued' : 'met', seen)
  const met = told.met === null ? null : (jobIn(seen, told.met.owner) ?? null)
  if (course === 'queued') {
    // Nothing stands for a job that is added for its parent.
    const status = told.status === 'duplicate' ? 'deferred' : told.status
    return { outcome: tell(status, id, met), of: null, strange }
  }
  const by = met ?? seen.waiting
  if (by === null) return { outcome: tell('duplicate', id, null), of: null, strange }
  if (strategy === 'reject') throw duplicate(trigger, by)
  // A queued job that took this data stands for it; one that follows the live one is still to come.
  const noted = course === 'noted' && !(told.met?.state === 'queued')
  return {
    outcome: tell(noted ? told.status : 'duplicate', id, by),
    of: strategy === 'skip' ? '' : (course === 'noted' ? (seen.pending ?? by) : by).owner,
    strange,
  }
}

function seenBy({ definition: { mode } }: Trigger, answer: Answer): Pick<Answer, 'running' | 'pending' | 'waiting'> {
  const { running, pending, waiting } = answer
  // A job of this mode has its lock only while it is queued.
  if (mode === 'untilExecuting' && pending === null) return { running: null, pending: running, waiting }
  return { running, pending, waiting }
}

function jobIn(seen: ReturnType<typeof seenBy>, owner: string): SeenJob | undefined {
  return [seen.running, seen.pending, seen.waiting].find(run => run?.owner === owner) ?? undefined
}

function metOf(trigger: Trigger, met: SeenJob | null): Partial<SingletonOutcome> {
  if (met === null) return {}
  const { owner, ageMs } = met
  const queue = parseOwner(owner)?.queue
  return {
    owner,
    state: met.state,
    ...(ageMs === null ? {} : { ageMs }),
    ...(queue === undefined || queue === trigger.queue ? {} : { queue }),
  }
}

/** A job is refused that would wait for one that waits for it. */
export function circular(name: string): SoloistError {
  return invalid(`job ${JSON.stringify(name)} is part of one that is the same`)
}

export function duplicate(trigger: Trigger, met: SeenJob): DuplicateJobError {
  const { owner, ageMs } = met
  return new DuplicateJobError({
    job: trigger.name,
    id: parseOwner(owner)?.jobId ?? owner,
    state: met.state,
    ageMs,
  })
}
