import { type Job, type Processor, Worker, type WorkerOptions } from 'bullmq'
import { asSoloistError } from './adding/failures.js'
import { jobClassFor } from './job.js'
import { closeAll } from './lock/connection.js'
import type { Singleton } from './lock/events.js'
import { checkConnection } from './lock/store.js'
import { termsOf } from './lock/terms.js'
import { checkWorkerSettings, type SingletonWorkerSettings } from './options/settings.js'
import type { BackendFactory } from './peer-types.js'
import { crossing } from './running/crossing.js'
import type { Run } from './running/run.js'
import { NOT_RUN } from './running/runs.js'
import { WorkerSide } from './running/side.js'

export interface SingletonWorkerOptions extends WorkerOptions {
  readonly singleton?: SingletonWorkerSettings | undefined
}

/**
 * A BullMQ worker that runs singleton jobs under their locks, and all others as they are.
 *
 * The processor's third argument is a signal that aborts when the run can no longer be sure to be alone: BullMQ's own lock of
 * the job was lost, a newer job takes its place, it took too long, or BullMQ cancelled it. `job.opts.singleton.fence` is a number
 * that rises with each run of a key; `singletonRun(job)` has both, and `assertValid()`. In a sandboxed processor the reason of
 * the signal is an object with the `name`, `code` and `message` of the error.
 */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export class SingletonWorker<DataType = any, ResultType = any, NameType extends string = string> extends Worker<
  DataType,
  ResultType,
  NameType
> {
  readonly singleton: Singleton
  readonly #side: WorkerSide
  /** The processor is a file. */
  readonly #sandboxed: boolean

  /** @param backendFactory as BullMQ's; with one, `singleton.solo` is needed */
  constructor(
    name: string,
    processor: string | URL | null | undefined | Processor<DataType, ResultType, NameType>,
    options: SingletonWorkerOptions,
    backendFactory?: BackendFactory,
  ) {
    const { singleton: settings = {}, ...opts } = options
    checkWorkerSettings(settings)
    const prefix = checkConnection(settings, opts.connection, backendFactory)
    super(name, processor, opts, backendFactory as undefined)
    this.#side = new WorkerSide(this as unknown as Worker, settings, backendFactory, prefix)
    this.singleton = this.#side.singleton
    this.#sandboxed = typeof processor === 'string' || processor instanceof URL
  }

  protected override get Job(): typeof Job {
    return jobClassFor(super.Job)
  }

  /**
   * As BullMQ's.
   *
   * Held after abort or rejection: as after any attempt that failed: the job's lock, as its mode says.
   */
  override processJob(
    job: Job<DataType, ResultType, NameType>,
    token: string,
    fetchNextCallback?: () => boolean,
    // biome-ignore lint/suspicious/noConfusingVoidType: as BullMQ declares it
  ): Promise<void | Job<DataType, ResultType, NameType>> {
    const processed = super.processJob(job, token, fetchNextCallback)
    const terms = termsOf(job)
    if (terms === null) return processed
    const end = () => this.#side.runs.end(job as unknown as Job, terms)
    return processed.then(
      next => end()?.then(() => next) ?? next,
      async error => {
        await end()
        throw error
      },
    )
  }

  /**
   * As BullMQ's.
   *
   * Held after abort or rejection: what the job holds that was taken up, if one was.
   */
  override async getNextJob(
    token: string,
    options?: { block?: boolean },
  ): Promise<Job<DataType, ResultType, NameType>> {
    const job = await super.getNextJob(token, options)
    // BullMQ does not say so, but there may be none.
    const terms = job === undefined ? null : termsOf(job)
    if (terms === null) return job
    try {
      await this.#side.runs.fetched(job as unknown as Job, terms, token)
    } catch (error) {
      throw asSoloistError(error, true)
    }
    return job
  }

  /**
   * Waits for the jobs that run, as BullMQ does, then lets go of what this opened.
   *
   * Held after abort or rejection: the locks of jobs that still run, and that wait: they belong to the jobs.
   */
  override async close(force = false): Promise<void> {
    await closeAll(
      () => super.close(force),
      () => this.#side.close(),
    )
  }

  protected override callProcessJob(
    job: Job<DataType, ResultType, NameType>,
    token: string,
    signal?: AbortSignal,
  ): Promise<ResultType> {
    const terms = termsOf(job)
    if (terms === null) return super.callProcessJob(job, token, signal)
    const run = (started: Run | typeof NOT_RUN): Promise<ResultType> => {
      if (started === NOT_RUN) return Promise.resolve(null as ResultType)
      // A processor that takes no signal is given none.
      if (signal === undefined) return this.#side.runs.run(started, () => super.callProcessJob(job, token))
      started.abortWith(signal)
      const given = this.#sandboxed ? crossing(started.signal) : started.signal
      return this.#side.runs.run(started, () => super.callProcessJob(job, token, given))
    }
    const started = this.#side.runs.start(job as unknown as Job, terms, token)
    return started instanceof Promise ? started.then(run) : run(started)
  }
}
