import { type FinishedStatus, Job } from 'bullmq'
import { DuplicateJobError } from '../../index.js'
import type { SingletonOutcome } from './adding/outcome.js'
import type { Producer } from './adding/producer.js'
import type { ScriptRunner } from './fused/fused.js'
import { isMadeHere } from './lock/ids.js'
import { ownerOf, parseOwner } from './lock/owner.js'
import { jobNameOf, termsOf } from './lock/terms.js'
import type { RetryOptions } from './peer-types.js'
import { fusedOf, type QueueSide, throughFused } from './side.js'

/** Where a job finds what its queue has beside BullMQ's own. */
export const sides: WeakMap<object, QueueSide<unknown>> = new WeakMap()

/** A job of a `SingletonQueue`. */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export class SingletonJob<DataType = any, ResultType = any, NameType extends string = string> extends Job<
  DataType,
  ResultType,
  NameType
> {
  /** What the trigger that answered this job came to; absent on a job that was read, and on one that is no singleton. */
  declare singleton?: SingletonOutcome

  constructor(...args: ConstructorParameters<typeof Job<DataType, ResultType, NameType>>) {
    super(...args)
    // BullMQ would store the id among the options, too. Nobody chose this id, and the caller may use the options again.
    const own: { jobId?: string | undefined } = this.opts
    if (own.jobId !== undefined && isMadeHere(own.jobId)) own.jobId = undefined
  }

  /**
   * As BullMQ's; the job's lock is given up, too.
   *
   * Held after abort or rejection: the lock of the job, if it is still there; that of one that is gone is free to the next
   * trigger.
   */
  override async remove(opts?: Parameters<Job['remove']>[0]): Promise<void> {
    await super.remove(opts)
    await gaveUp(this as unknown as Job)
  }

  /**
   * As BullMQ's, but takes the job's lock again.
   *
   * Held after abort or rejection: the lock that the job had before. One that was taken for it is given back, or is free to the
   * next trigger.
   *
   * @throws SoloistError `DUPLICATE_JOB` when another job of the same key is live
   */
  override async retry(state: FinishedStatus = 'failed', opts?: RetryOptions): Promise<void> {
    const terms = termsOf(this)
    const producer = sides.get(this.queue)?.producer as Producer<unknown> | undefined
    if (terms === null || producer === undefined) return await super.retry(state, opts)
    const giveBack = await producer.retake(this as unknown as Job, terms)
    try {
      await super.retry(state, opts)
    } catch (error) {
      const held = (error as { code?: unknown })?.code
      if (Array.isArray(held)) {
        const [, owner, at, ageMs] = held as [string, string, 'queued' | 'running', string]
        const id = parseOwner(owner)?.jobId ?? owner
        const age = ageMs === '' ? null : Number(ageMs)
        throw new DuplicateJobError({ job: jobNameOf(terms), id, state: at, ageMs: age })
      }
      await giveBack()
      throw error
    }
  }
}

/** Gives up the lock of a job that was removed, where the script that removed it has not. */
export async function gaveUp(job: Job): Promise<void> {
  const terms = termsOf(job)
  if (terms === null || terms.mode === 'untilExpired') return
  const owner = ownerOf(job.queueQualifiedName, job.id as string, false)
  await sides.get((job as unknown as Making).queue)?.removed(job, terms.lock, owner)
}

/** What of a job is taken the place of, or is not public. */
interface Making {
  readonly queue: object
  readonly scripts: ScriptRunner
  readonly opts: object
  addJob?(runner: unknown, ...rest: unknown[]): Promise<string>
  createScripts?(): void
}

const classes = new WeakMap<typeof Job, typeof Job>()

/**
 * BullMQ 5 has the scripts in each job, and adds a job by a method of it; BullMQ 6 has both in the queue's backend.
 *
 * @returns a class of jobs whose scripts are run within ours where those of their queue are
 */
export function jobClassFor(plain: typeof Job): typeof Job {
  const { addJob, createScripts } = plain.prototype as unknown as Making
  if (addJob === undefined || createScripts === undefined) return plain
  const known = classes.get(plain)
  if (known !== undefined) return known
  const made = class extends (plain as new (...args: never[]) => object) {} as unknown as typeof Job
  classes.set(plain, made)
  wrapMethods(made, addJob, createScripts)
  return made
}

function wrapMethods(
  of: typeof Job,
  addJob: NonNullable<Making['addJob']>,
  createScripts: NonNullable<Making['createScripts']>,
): void {
  const value = { writable: true, configurable: true }
  Object.defineProperty(of.prototype, 'createScripts', {
    ...value,
    value(this: Making) {
      createScripts.call(this)
      fusedOf.get(this.queue)?.install(this.scripts)
    },
  })
  Object.defineProperty(of.prototype, 'addJob', {
    ...value,
    value(this: Making, runner: unknown, ...rest: unknown[]) {
      return addJob.call(this, throughFused(this.queue, runner, this.opts), ...rest)
    },
  })
}
