import type { MinimalQueue, Queue } from 'bullmq'
import type { Soloist } from '../../index.js'
import { checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import {
  choiceOption,
  type Definition,
  definitions,
  invalid,
  msOption,
  type SingletonJobOptions,
} from './definition.js'
import { Singleton } from './events.js'
import { Lives } from './life.js'
import type { OneStep } from './one-step.js'
import type { BackendFactory } from './peer-types.js'
import type { Adding } from './placing.js'
import { Producer } from './producer.js'
import { openStore, type Store } from './store.js'
import { sweep } from './sweep.js'
import { opener } from './worker-side.js'

/** Which jobs of a queue are singletons, and how. */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export interface SingletonSettings<DataType = any, NameType extends string = string> {
  /** By job name. Jobs of other names are added as by BullMQ's own `Queue`. */
  readonly jobs: { readonly [name in NameType]?: SingletonJobOptions<DataType> }
  /** Where the locks are: the same for every queue and worker. Default: on the queue's Redis, opened and closed with it. */
  readonly solo?: Soloist | undefined
  /**
   * What the keys of the locks on the queue's Redis start with: the same for every queue and worker; default `'soloist:'`.
   * Not with `solo`, which has its own.
   */
  readonly prefix?: string | undefined
  /**
   * How long a job may take to appear in its queue after its lock was taken, in milliseconds; default 5,000. After that
   * others take it that its producer has died.
   */
  readonly graceMs?: number | undefined
  /**
   * When the locks' store is down: `add` fails (`'fail'`, the default), or the job is queued without the guarantee
   * (`'enqueue'`), which its outcome tells.
   */
  readonly onBackendFault?: 'fail' | 'enqueue' | undefined
}

const SETTING_NAMES: OptionNames<SingletonSettings> = {
  ...{ jobs: true, solo: true, prefix: true, graceMs: true, onBackendFault: true },
}

interface SweepOptions {
  readonly prefix?: string | undefined
}

const SWEEP_OPTION_NAMES: OptionNames<SweepOptions> = { prefix: true }

/** What a queue of singleton jobs has beside BullMQ's own. */
export class QueueSide<A> {
  readonly singleton: Singleton
  readonly producer: Producer<A>
  readonly #queue: Queue
  readonly #store: Store
  readonly #lives: Lives

  /** @param oneStep how `adding` can be told to take locks as it adds jobs, if it can */
  constructor(
    queue: Queue,
    settings: SingletonSettings,
    backendFactory: BackendFactory | undefined,
    adding: Adding<A>,
    oneStep: OneStep | null = null,
  ) {
    const { graceMs, onBackendFault, jobs } = checkSettings(settings)
    const onError = (error: Error): void => void queue.emit('error', error)
    this.#queue = queue
    this.#store = openStore(settings, queue.opts.connection, backendFactory, onError)
    const { solo } = this.#store
    this.singleton = new Singleton(solo)
    const { qualifiedName } = queue
    const open = opener(queue.opts, backendFactory, onError)
    this.#lives = new Lives({ qualifiedName, queue: queue as unknown as MinimalQueue, open }, this.#store, graceMs)
    this.producer = new Producer({
      qualifiedName,
      solo,
      lives: this.#lives,
      singleton: this.singleton,
      definitions: jobs,
      graceMs,
      onBackendFault,
      oneStep,
      ...adding,
    })
  }

  /** Removes a job as BullMQ does, by `remove`, and gives up its locks. */
  async remove(jobId: string, remove: () => Promise<number>): Promise<number> {
    const job = await this.#lives.own(jobId)
    const removed = await remove()
    if (removed === 1 && job !== undefined) await this.producer.removed(job)
    return removed
  }

  async sweep(options: SweepOptions): Promise<number> {
    checkOptions(options)
    checkOptionNames(options, SWEEP_OPTION_NAMES)
    const { prefix } = options
    return await sweep(this.#store.solo, this.#lives, this.#queue.qualifiedName, { prefix })
  }

  /** Gives up the locks of jobs that were removed with their whole queue. */
  async obliterated(): Promise<void> {
    await sweep(this.#store.solo, this.#lives, this.#queue.qualifiedName, { vanished: true })
  }

  async close(): Promise<void> {
    await this.#lives.close()
    await this.#store.close()
  }
}

/** @throws SoloistError `INVALID_ARGUMENT` */
export function checkSettings(settings: SingletonSettings): {
  readonly graceMs: number
  readonly onBackendFault: 'fail' | 'enqueue'
  readonly jobs: ReadonlyMap<string, Definition>
} {
  if (settings === null || typeof settings !== 'object') throw invalid('singleton must be an object with jobs')
  checkOptionNames(settings, SETTING_NAMES, 'singleton: ')
  return {
    graceMs: msOption('graceMs', settings.graceMs, 5_000),
    onBackendFault: choiceOption<'fail' | 'enqueue'>('onBackendFault', settings.onBackendFault, ['fail', 'enqueue']),
    jobs: definitions(settings.jobs),
  }
}
