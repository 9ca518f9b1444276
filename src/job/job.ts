import type { Locker } from '../lock/locker.js'
import { Triggers } from './asking/triggers.js'
import type { JobLocks } from './locks.js'
import type { JobDefinition } from './options.js'
import type { JobCounts, TriggerOutcome } from './outcome.js'
import type { ResultOptions } from './waiting.js'

/** What a trigger of a function job is answered with. */
export interface JobOutcome<R> extends TriggerOutcome {
  /**
   * The result of the run that covers this trigger, once it has ended. May be called any number of times, or never.
   *
   * Held after abort or rejection: nothing by this call. The lock of a run of this process is given up before its error
   * is told, or runs out after `ttlMs`; that of a run elsewhere is its own.
   *
   * @throws what the handler threw, where it ran in this process
   * @throws JobFailedError when it threw in another
   * @throws DuplicateJobError when the strategy is `skip` and a run was live: nobody waits for that one
   * @throws SoloistError `RESULT_UNAVAILABLE` when the run succeeded but its result cannot be had here; `LEASE_LOST` when
   *   this process ran it and its lease was lost meanwhile; `RUN_TIMEOUT` when it took longer than `maxRunMs`; `SELF_WAIT`
   *   in the handler of a run that would have to end first; `BACKEND_UNAVAILABLE` after an outage of about 30 seconds;
   *   `CLOSED`; `ABORTED` and `RESULT_TIMEOUT` when the caller stops waiting, and then the run goes on
   */
  result(options?: ResultOptions): Promise<R>
}

/** A singleton job: a function that runs at most once at a time for the same arguments, wherever it is triggered. */
export interface Job<A, R> {
  /**
   * As `trigger`, and waits for the result. Rejects as both do. The run is a part of the block or handler that calls: what
   * those hold it cannot wait for, which is `SELF_WAIT`.
   *
   * Held after abort or rejection: nothing by this call. The lock of a run that it started is given up before its error
   * is told, or runs out after `ttlMs`; a run that it joined goes on.
   */
  (...args: JobCall<A>): Promise<R>
  readonly name: string
  /**
   * Asks for a run. Resolves as soon as it is known what becomes of it: the run may only just have started.
   *
   * Held after abort or rejection: nothing. What the store may have noted is given back in the background, or runs out
   * after `ttlMs`.
   *
   * @throws DuplicateJobError when the same job is live and the strategy is `reject`
   * @throws SoloistError `INVALID_ARGUMENT` for arguments without a key, `BACKEND_UNAVAILABLE`, `CLOSED`
   */
  trigger(...args: JobArguments<A>): Promise<JobOutcome<R>>
  /** The unique key of these arguments. @throws SoloistError `INVALID_ARGUMENT` */
  key(...args: JobArguments<A>): string
  /** How often what happened to triggers and runs of this job's name, in this process. */
  counts(): JobCounts
}

/** The arguments of a call: one value, which may be left out where it may be `undefined`. */
export type JobArguments<A> = undefined extends A ? [args?: A] : [args: A]

/** The arguments of a call that waits: as {@link JobArguments}, and how long it waits. */
export type JobCall<A> = undefined extends A ? [args?: A, options?: ResultOptions] : [args: A, options?: ResultOptions]

/** Makes a job of its definition. */
export function makeJob<A, R>(locker: Locker, jobs: JobLocks, definition: JobDefinition<A, R>): Job<A, R> {
  const triggers = new Triggers(locker, jobs, definition)
  const call = async (...args: JobCall<A>) => await triggers.call(args[0] as A, args[1])
  return Object.defineProperties(call as unknown as Job<A, R>, {
    name: { value: definition.name },
    trigger: {
      value: async (...args: JobArguments<A>): Promise<JobOutcome<R>> => {
        const { entered, key } = await triggers.trigger(args[0] as A)
        return { ...entered.outcome, result: options => triggers.result(entered, key, options) }
      },
    },
    key: { value: (...args: JobArguments<A>) => triggers.key(args[0] as A) },
    counts: { value: () => jobs.counts(definition.name) },
  })
}
