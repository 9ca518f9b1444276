import { type FinishedStatus, Job } from 'bullmq'
import { carriedBy } from './carried.js'
import { isMadeHere } from './ids.js'
import type { SingletonOutcome } from './outcome.js'
import type { RetryOptions } from './peer-types.js'
import type { Producer } from './producer.js'

/** Where a job finds the producer of the queue it was read from. */
export const producers: WeakMap<object, Producer<unknown>> = new WeakMap()

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
   * As BullMQ's; the job's locks are given up, too.
   *
   * Held after abort or rejection: the locks of the job, if it is still there; of one that is gone others take them
   * over after `graceMs`.
   */
  override async remove(opts?: Parameters<Job['remove']>[0]): Promise<void> {
    await super.remove(opts)
    await producers.get(this.queue)?.removed(this as unknown as Job)
  }

  /**
   * As BullMQ's, but takes the job's lock again first.
   *
   * Held after abort or rejection: the locks that the job had before. One that was taken for it is given back, or taken
   * over after `graceMs`.
   *
   * @throws SoloistError `DUPLICATE_JOB` when another job of the same key is live
   */
  override async retry(state: FinishedStatus = 'failed', opts?: RetryOptions): Promise<void> {
    const carried = carriedBy(this)
    const producer = producers.get(this.queue)
    if (carried === null || producer === undefined) return await super.retry(state, opts)
    const giveBack = await producer.retake(this as unknown as Job, carried)
    try {
      await super.retry(state, opts)
    } catch (error) {
      await giveBack()
      throw error
    }
  }
}

const plainAddJob = (Job.prototype as { addJob?: (runner: unknown, ...rest: unknown[]) => Promise<string> }).addJob
if (plainAddJob !== undefined) {
  // BullMQ 5 adds a job by this method; BullMQ 6 by the queue's backend.
  const addJob = function (this: SingletonJob, runner: unknown, ...rest: unknown[]): Promise<string> {
    const through = producers.get(this.queue)?.through(runner, this.id)
    return plainAddJob.call(this, through ?? runner, ...rest)
  }
  Object.defineProperty(SingletonJob.prototype, 'addJob', { value: addJob, writable: true, configurable: true })
}
