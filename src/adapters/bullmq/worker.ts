import {
  type BackendFactory,
  type Job,
  type MinimalQueue,
  type Processor,
  Queue,
  Worker,
  type WorkerOptions,
} from 'bullmq'
import type { Soloist } from '../../index.js'
import { carriedBy } from './carried.js'
import { choiceOption, invalid, msOption } from './definition.js'
import { Singleton } from './events.js'
import { Lives } from './life.js'
import type { Run } from './run.js'
import { NOT_RUN, type OnLapsed, Runs } from './runs.js'
import { openStore, type Store } from './store.js'

/** How a worker treats singleton jobs. Every field is optional. */
export interface SingletonWorkerSettings {
  /** Where the locks are: the same as for the queue. Default: on the worker's Redis, opened and closed with it. */
  readonly solo?: Soloist | undefined
  /**
   * What becomes of a job that comes to its start and finds its place taken by another live job: it waits until that one
   * has ended (`'snooze'`, the default), fails, or ends without being run (`'drop'`). The event `lapsed` tells.
   */
  readonly onLapsed?: OnLapsed | undefined
  /** How often a job that waits for a lock looks again, in milliseconds; default 1,000. Mostly it is woken before. */
  readonly snoozeMs?: number | undefined
  /** How long a job may take to appear in its queue after its lock was taken, in milliseconds; default 5,000. */
  readonly graceMs?: number | undefined
}

export interface SingletonWorkerOptions extends WorkerOptions {
  readonly singleton?: SingletonWorkerSettings | undefined
}

const DEFAULT_LOCK_MS = 30_000

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
  readonly #store: Store
  readonly #lives: Lives
  readonly #runs: Runs

  constructor(
    name: string,
    processor: string | URL | null | undefined | Processor<DataType, ResultType, NameType>,
    options: SingletonWorkerOptions,
    backendFactory?: BackendFactory,
  ) {
    const { singleton: settings = {}, ...opts } = options
    const checked = checkWorkerSettings(settings)
    if (backendFactory !== undefined && settings.solo === undefined) {
      throw invalid('singleton.solo is needed with a backend of your own')
    }
    const store = openStore(settings.solo, opts.connection, error => this.emit('error', error))
    super(name, processor, opts, backendFactory as undefined)
    this.#store = store
    this.singleton = new Singleton(store.solo)
    this.#lives = new Lives(
      {
        qualifiedName: this.qualifiedName,
        queue: this as unknown as MinimalQueue,
        open: (other, prefix) => siblingQueue(other, prefix, opts, backendFactory, error => this.emit('error', error)),
      },
      store.solo.jobs,
      checked.graceMs,
    )
    this.#runs = new Runs({
      qualifiedName: this.qualifiedName,
      solo: store.solo,
      lives: this.#lives,
      singleton: this.singleton,
      leaseMs: opts.lockDuration ?? DEFAULT_LOCK_MS,
      snoozeMs: checked.snoozeMs,
      onLapsed: checked.onLapsed,
      snooze: (job, token, ms) => this.#snooze(job, token, ms),
    })
    this.on('lockRenewalFailed', ids => this.#runs.abandon(ids))
  }

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
      if (carried !== null) await this.#runs.settle(job, carried)
    }
  }

  /** Waits for the jobs that run, as BullMQ does, then lets go of what this opened. */
  override async close(force = false): Promise<void> {
    await super.close(force)
    await this.#lives.close()
    await this.#store.close()
  }

  protected override async callProcessJob(
    job: Job<DataType, ResultType, NameType>,
    token: string,
    signal?: AbortSignal,
  ): Promise<ResultType> {
    const carried = carriedBy(job)
    if (carried === null) return await super.callProcessJob(job, token, signal)
    const run: Run | typeof NOT_RUN = await this.#runs.start(job, carried, token)
    if (run === NOT_RUN) return null as ResultType
    run.abortWith(signal)
    return await super.callProcessJob(job, token, run.signal)
  }

  /** Without counting it as a start, where BullMQ can say so: else it would use up `maxStartedAttempts`. */
  async #snooze(job: Job, token: string, ms: number): Promise<void> {
    const backend = (this as { backend?: { moveToDelayed?: unknown } }).backend
    if (typeof backend?.moveToDelayed !== 'function') return await job.moveToDelayed(Date.now() + ms, token)
    await this.backend.moveToDelayed(job.id as string, Date.now(), ms, token, {
      skipAttempt: true,
      fieldsToUpdate: { ats: Math.max(job.attemptsStarted - 1, 0) },
    })
  }
}

/** Opens another queue beside this one, to look for jobs in it. */
export function siblingQueue(
  name: string,
  prefix: string,
  { connection }: Pick<WorkerOptions, 'connection'>,
  backendFactory: BackendFactory | undefined,
  onError: (error: Error) => void,
): Queue {
  const options = { connection, prefix, skipMetasUpdate: true }
  const queue = new Queue(name, options, backendFactory as undefined)
  queue.on('error', onError)
  return queue
}

function checkWorkerSettings(settings: SingletonWorkerSettings): {
  onLapsed: OnLapsed
  snoozeMs: number
  graceMs: number
} {
  if (settings === null || typeof settings !== 'object') throw invalid('singleton must be an object of options')
  return {
    onLapsed: choiceOption<OnLapsed>('onLapsed', settings.onLapsed, ['snooze', 'fail', 'drop']),
    snoozeMs: msOption('snoozeMs', settings.snoozeMs, 1_000),
    graceMs: msOption('graceMs', settings.graceMs, 5_000),
  }
}
