import type { Job } from 'bullmq'
import { DuplicateJobError, parseJobLock } from '../../index.js'
import { invalid } from './definition.js'
import type { Lives } from './life.js'
import { type Addition, type Met, outcomeOf, type Sighting, sighting } from './outcome.js'
import { marked, parseOwner, queuedOwner, RUN_MARK } from './owner.js'
import type { Trigger } from './trigger.js'

// Jobs that are unique in their queue alone: BullMQ finds the live one in the step that adds a new one. They take no lock
// before they start.

/** @throws SoloistError `INVALID_ARGUMENT` for options by which BullMQ would not deduplicate, or by another id */
export function checkInQueue({ definition, opts }: Pick<Trigger, 'definition' | 'opts'>): void {
  const of = `job ${JSON.stringify(definition.name)} is unique in its queue by BullMQ's deduplication: `
  // A job's own options may be given for the next one.
  const own = opts?.deduplication?.id
  if (own !== undefined && parseJobLock(own) === null) throw invalid(`${of}it cannot have a deduplication of its own`)
  if (opts?.parent !== undefined) throw invalid(`${of}it cannot have a parent`)
}

/** A job that goes into the queue if no live one of its key is there. */
export function inQueue({ definition, names, jobId }: Trigger): Addition {
  return {
    kind: 'add',
    outcome: outcomeOf('started', jobId),
    carried: { lock: names.trigger, mode: definition.mode, scope: 'queue' },
    holds: null,
    after: null,
  }
}

/** What an outcome tells of a live job of this scope. */
export function sightingInQueue(live: Job): Sighting {
  const queued = queuedOwner(live.queueQualifiedName, live.id as string)
  // A worker that put it back, since others stood in its way, has taken it up, too; BullMQ 5 counts that as a start.
  const started = Boolean(live.processedOn) && live.attemptsStarted > 0
  const owner = started ? marked(queued, RUN_MARK) : queued
  return sighting(owner, parseOwner(owner), live)
}

/**
 * What becomes of a trigger for which BullMQ answered with another job's id.
 *
 * @param found stands for that job, with this trigger's data
 * @returns `null` when that job has ended or is gone: its key is free now
 * @throws DuplicateJobError by the strategy `reject`
 */
export async function metInQueue(lives: Lives, { definition }: Trigger, found: Job): Promise<Met | null> {
  const live = await lives.own(found.id as string)
  if (live === undefined || live.finishedOn) {
    // Compares before it removes.
    await found.removeDeduplicationKey()
    return null
  }
  const seen = sightingInQueue(live)
  if (definition.strategy === 'reject') throw new DuplicateJobError({ job: definition.name, ...seen })
  return {
    kind: 'met',
    outcome: outcomeOf('duplicate', seen.id, seen),
    job: definition.strategy === 'skip' ? null : live,
  }
}
