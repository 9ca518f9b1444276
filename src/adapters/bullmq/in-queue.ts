import type { Job } from 'bullmq'
import { DuplicateJobError } from '../../index.js'
import { invalid } from './definition.js'
import type { Lives } from './life.js'
import { type Addition, type Met, outcomeOf, sighting } from './outcome.js'
import { marked, parseOwner, queuedOwner, RUN_MARK } from './owner.js'
import type { Trigger } from './trigger.js'

// Jobs that are unique in their queue alone: BullMQ finds the live one in the step that adds a new one. They take no lock
// before they start.

/** @throws SoloistError `INVALID_ARGUMENT` for options by which BullMQ would not deduplicate, or by another id */
export function checkInQueue({ definition, opts }: Pick<Trigger, 'definition' | 'opts'>): void {
  const of = `job ${JSON.stringify(definition.name)} is unique in its queue by BullMQ's deduplication: `
  if (opts?.deduplication !== undefined) throw invalid(`${of}it cannot have a deduplication of its own`)
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
  const queued = queuedOwner(live.queueQualifiedName, live.id as string)
  const owner = live.processedOn ? marked(queued, RUN_MARK) : queued
  const seen = sighting(owner, parseOwner(owner), live)
  if (definition.strategy === 'reject') throw new DuplicateJobError({ job: definition.name, ...seen })
  return {
    kind: 'met',
    outcome: outcomeOf('duplicate', seen.id, seen),
    job: definition.strategy === 'skip' ? null : live,
  }
}
