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
    // BullMQ would store an id among the options, too; nobody chose this one, and other jobs may be given these options.
    const own: { jobId?: string | undefined } = this.opts
    if (own.jobId !== undefined && isMadeHere(own.jobId)) own.jobId = undefined
  }

  /** As BullMQ's; the job's locks are given up, too. */
  override async remove(opts?: Parameters<Job['remove']>[0]): Promise<void> {
    await super.remove(opts)
    await producers.get(this.queue)?.removed(this as unknown as Job)
  }

  /**
   * As BullMQ's, but takes the job's lock again first.
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
  // So BullMQ 5 adds it; BullMQ 6 asks the queue's backend to.
  const addJob = function (this: SingletonJob, runner: unknown, ...rest: unknown[]): Promise<string> {
    const through = producers.get(this.queue)?.through(runner, this.id)
    return plainAddJob.call(this, through ?? runner, ...rest)
  }
  Object.defineProperty(SingletonJob.prototype, 'addJob', { value: addJob, writable: true, configurable: true })
}
