import { type Job, type Processor, Worker, type WorkerOptions } from 'bullmq'
import { carriedBy } from './carried.js'
import type { Singleton } from './events.js'
import type { BackendFactory } from './peer-types.js'
import { NOT_RUN } from './runs.js'
import { checkConnection } from './store.js'
import { checkWorkerSettings, type SingletonWorkerSettings, WorkerSide } from './worker-side.js'

export interface SingletonWorkerOptions extends WorkerOptions {
  readonly singleton?: SingletonWorkerSettings | undefined
}

/**
 * A BullMQ worker that runs singleton jobs under their locks, and all others as they are.
 *
 * The processor's third argument is a signal that aborts when the run can no longer be sure to be alone: its lease or
 * BullMQ's own lock of the job was lost, a newer job takes its place, or BullMQ cancelled it. `job.opts.singleton.fence`
 * is a number that rises with each run of a key.
 */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export class SingletonWorker<DataType = any, ResultType = any, NameType extends string = string> extends Worker<
  DataType,
  ResultType,
  NameType
> {
  readonly singleton: Singleton
  readonly #side: WorkerSide

  /** @param backendFactory as BullMQ's; with one, `singleton.solo` is needed */
  constructor(
    name: string,
    processor: string | URL | null | undefined | Processor<DataType, ResultType, NameType>,
    options: SingletonWorkerOptions,
    backendFactory?: BackendFactory,
  ) {
    const { singleton: settings = {}, ...opts } = options
    checkWorkerSettings(settings)
    checkConnection(settings, opts.connection, backendFactory)
    super(name, processor, opts, backendFactory as undefined)
    this.#side = new WorkerSide(this as unknown as Worker, settings, backendFactory)
    this.singleton = this.#side.singleton
  }

  /**
   * As BullMQ's.
   *
   * Held after abort or rejection: nothing by the run: its locks were given up, or run out after `lockDuration`.
   */
  override async processJob(
    job: Job<DataType, ResultType, NameType>,
    token: string,
    fetchNextCallback?: () => boolean,
    // biome-ignore lint/suspicious/noConfusingVoidType: as BullMQ declares it
  ): Promise<void | Job<DataType, ResultType, NameType>> {
    const carried = carriedBy(job)
    try {
      return await super.processJob(job, token, fetchNextCallback)
    } finally {
      if (carried !== null) await this.#side.runs.settle(job as unknown as Job, carried)
    }
  }

  /**
   * Waits for the jobs that run, as BullMQ does, then lets go of what this opened.
   *
   * Held after abort or rejection: the locks of jobs that still run, and that wait. With `force` the locks of runs run
   * out after `lockDuration`.
   */
  override async close(force = false): Promise<void> {
    await super.close(force)
    await this.#side.close()
  }

  protected override async callProcessJob(
    job: Job<DataType, ResultType, NameType>,
    token: string,
    signal?: AbortSignal,
  ): Promise<ResultType> {
    const carried = carriedBy(job)
    if (carried === null) return await super.callProcessJob(job, token, signal)
    const run = await this.#side.runs.start(job as unknown as Job, carried, token)
    if (run === NOT_RUN) return null as ResultType
    run.abortWith(signal)
    return await super.callProcessJob(job, token, run.signal)
  }
}
