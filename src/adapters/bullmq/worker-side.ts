import { type Job, type MinimalQueue, Queue, type QueueOptions, type Worker } from 'bullmq'
import type { Soloist } from '../../index.js'
import { checkOptionNames, type OptionNames } from '../../internal/check.js'
import { choiceOption, invalid, msOption } from './definition.js'
import { Singleton } from './events.js'
import { Lives } from './life.js'
import type { BackendFactory } from './peer-types.js'
import { type OnLapsed, Runs } from './runs.js'
import { openStore, type Store } from './store.js'

/** How a worker treats singleton jobs. Every field is optional. */
export interface SingletonWorkerSettings {
  /** Where the locks are: the same as for the queue. Default: on the worker's Redis, opened and closed with it. */
  readonly solo?: Soloist | undefined
  /** As the queue's. */
  readonly prefix?: string | undefined
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

const SETTING_NAMES: OptionNames<SingletonWorkerSettings> = {
  ...{ solo: true, prefix: true, onLapsed: true, snoozeMs: true, graceMs: true },
}

const DEFAULT_LOCK_MS = 30_000

/** What a worker that runs singleton jobs has beside BullMQ's own. */
export class WorkerSide {
  readonly singleton: Singleton
  readonly runs: Runs
  readonly #store: Store
  readonly #lives: Lives

  constructor(worker: Worker, settings: SingletonWorkerSettings, backendFactory: BackendFactory | undefined) {
    const { graceMs, snoozeMs, onLapsed } = checkWorkerSettings(settings)
    const onError = (error: Error): void => void worker.emit('error', error)
    this.#store = openStore(settings, worker.opts.connection, backendFactory, onError)
    const { solo } = this.#store
    this.singleton = new Singleton(solo)
    const { qualifiedName } = worker
    const open = opener(worker.opts, backendFactory, onError)
    this.#lives = new Lives({ qualifiedName, queue: worker as unknown as MinimalQueue, open }, this.#store, graceMs)
    this.runs = new Runs({
      qualifiedName,
      solo,
      lives: this.#lives,
      singleton: this.singleton,
      leaseMs: worker.opts.lockDuration ?? DEFAULT_LOCK_MS,
      snoozeMs,
      onLapsed,
      snooze: (job, token, ms) => snooze(worker, job, token, ms),
    })
    worker.on('lockRenewalFailed', ids => this.runs.abandon(ids))
  }

  async close(): Promise<void> {
    await this.#lives.close()
    await this.#store.close()
  }
}

/** Opens other queues with the connection of one, to look for jobs in them. */
export function opener(
  { connection }: Pick<QueueOptions, 'connection'>,
  backendFactory: BackendFactory | undefined,
  onError: (error: Error) => void,
): (name: string, prefix: string) => Queue {
  return (name, prefix) => {
    const options = { connection, prefix, skipMetasUpdate: true }
    const queue = new Queue(name, options, backendFactory as undefined)
    queue.on('error', onError)
    return queue
  }
}

/** @throws SoloistError `INVALID_ARGUMENT` */
export function checkWorkerSettings(settings: SingletonWorkerSettings): {
  readonly onLapsed: OnLapsed
  readonly snoozeMs: number
  readonly graceMs: number
} {
  if (settings === null || typeof settings !== 'object') throw invalid('singleton must be an object of options')
  checkOptionNames(settings, SETTING_NAMES, 'singleton: ')
  return {
    onLapsed: choiceOption<OnLapsed>('onLapsed', settings.onLapsed, ['snooze', 'fail', 'drop']),
    snoozeMs: msOption('snoozeMs', settings.snoozeMs, 1_000),
    graceMs: msOption('graceMs', settings.graceMs, 5_000),
  }
}

/** Puts an active job back; as if it had not started, where BullMQ can: else it would use up `maxStartedAttempts`. */
async function snooze(worker: Worker, job: Job, token: string, ms: number): Promise<void> {
  // BullMQ 5 has no such method.
  const backend = (worker as Partial<Pick<Worker, 'getBackend'>>).getBackend?.call(worker)
  if (backend === undefined) return await job.moveToDelayed(Date.now() + ms, token)
  const fieldsToUpdate = { ats: Math.max(job.attemptsStarted - 1, 0) }
  await backend.moveToDelayed(job.id as string, Date.now(), ms, token, { skipAttempt: true, fieldsToUpdate })
}
