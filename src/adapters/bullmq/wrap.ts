import type { Job, JobsOptions, Processor, Queue, Worker } from 'bullmq'
import { clearTimeout, setTimeout } from '../../internal/real-time.js'
import { notAdded } from './adding/failures.js'
import type { AddingHow } from './adding/host.js'
import { started, type Unique } from './adding/outcome.js'
import { jobClassFor } from './job.js'
import { closeAll, ownBackend } from './lock/connection.js'
import type { Singleton } from './lock/events.js'
import { checkConnection } from './lock/store.js'
import { termsOf } from './lock/terms.js'
import { invalid } from './options/definition.js'
import {
  checkSettings,
  checkWorkerSettings,
  type SingletonSettings,
  type SingletonWorkerSettings,
} from './options/settings.js'
import { isPutBack, NOT_RUN } from './running/runs.js'
import { WorkerSide } from './running/side.js'
import { QueueSide } from './side.js'

/**
 * Adds singleton jobs to a queue that the application has. It closes with the queue: `queue.close()` lets go of what this
 * opened, too.
 */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export class SingletonAdder<DataType = any, ResultType = any, NameType extends string = string> {
  readonly singleton: Singleton
  readonly #side: QueueSide<Unique<Job>>
  #closing: Promise<void> | null = null

  /** @param settings `solo` is needed when the queue has a backend of its own */
  constructor(
    // biome-ignore lint/suspicious/noExplicitAny: a queue of any backend
    queue: Queue<any, any, any, any, any, any>,
    settings: SingletonSettings<NoInfer<DataType>, NoInfer<NameType>>,
  ) {
    checkSettings(settings)
    const prefix = checkConnection(settings, queue.opts.connection, ownBackend(queue))
    const plain = queue as unknown as Queue
    takeJobClass(queue)
    const how: AddingHow<Unique<Job>> = {
      add: ({ name, data, opts }) => plain.add(name, data, opts),
      addBulk: items => plain.addBulk(items as Parameters<Queue['addBulk']>[0]),
      answer: (_, job, outcome) => ({ job, outcome }),
      answerPlain: job => {
        if (typeof job.id !== 'string') throw notAdded(job)
        return { job, outcome: started(job.id) }
      },
    }
    this.#side = new QueueSide(plain, settings, undefined, how, prefix)
    this.singleton = this.#side.singleton
    // A queue tells nobody that it is closed.
    const close = plain.close.bind(plain)
    plain.close = async () => {
      await closeAll(close, () => this.close())
    }
  }

  /**
   * As `SingletonQueue.addUnique`.
   *
   * Held after abort or rejection: as after `SingletonQueue.add`.
   *
   * @throws as `SingletonQueue.add`
   */
  async addUnique(
    name: NameType,
    data: DataType,
    opts?: JobsOptions,
  ): Promise<Unique<Job<DataType, ResultType, NameType>>> {
    return (await this.#side.producer.add({ name, data, opts })) as Unique<Job<DataType, ResultType, NameType>>
  }

  /**
   * As `SingletonQueue.addBulk`, with what became of each.
   *
   * Held after abort or rejection: as after `SingletonQueue.addBulk`.
   *
   * @throws as there
   */
  async addBulkUnique(
    jobs: readonly { name: NameType; data: DataType; opts?: JobsOptions }[],
  ): Promise<Unique<Job<DataType, ResultType, NameType>>[]> {
    return (await this.#side.producer.addBulk(jobs)) as Unique<Job<DataType, ResultType, NameType>>[]
  }

  /**
   * As `SingletonQueue.sweep`.
   *
   * Held after abort or rejection: what was given up by then is free, and the rest is held as before. It is safe to
   * call again.
   */
  async sweep(options: { readonly prefix?: string | undefined } = {}): Promise<number> {
    return await this.#side.sweep(options)
  }

  /**
   * Lets go of what this opened; the queue stays open. Needed only for a queue that is to outlive this. Safe to repeat.
   *
   * Held after abort or rejection: the locks of the jobs that were added, as ever: they belong to the jobs.
   */
  async close(): Promise<void> {
    this.#closing ??= this.#side.close()
    await this.#closing
  }
}

/**
 * Runs singleton jobs on a worker that the application makes:
 *
 * ```ts
 * const singletons = new SingletonProcessor(processor, settings)
 * const worker = singletons.attach(new Worker(name, singletons.process, options))
 * // at the end
 * await worker.close()
 * ```
 *
 * It closes with the worker, and knows the end of a job by the worker's events. For a sandboxed processor use `SingletonWorker`.
 */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export class SingletonProcessor<DataType = any, ResultType = any, NameType extends string = string> {
  /** To be given to the worker. */
  readonly process: Processor<DataType, ResultType, NameType>
  readonly #settings: SingletonWorkerSettings
  /** What to do if a job's end is not heard of, by job. */
  readonly #unheard = new Map<Job, NodeJS.Timeout>()
  /** What ended jobs hold is being given up. */
  readonly #settling = new Set<Promise<void>>()
  #side: WorkerSide | null = null
  #leaseMs = 0
  #closing: Promise<void> | null = null

  /** @throws SoloistError `INVALID_ARGUMENT` */
  constructor(processor: Processor<DataType, ResultType, NameType>, settings: SingletonWorkerSettings = {}) {
    checkWorkerSettings(settings)
    if (typeof processor !== 'function') throw invalid('SingletonProcessor needs a function')
    this.#settings = settings
    // BullMQ gives a signal to processors of three parameters.
    this.process = async (job, token, signal) => await this.#process(processor, job, token, signal)
  }

  /** Events, counters and locks; there after `attach`. */
  get singleton(): Singleton {
    return this.#attached().singleton
  }

  /**
   * To be called with the worker at once, before it has a job.
   *
   * @returns the worker
   * @throws SoloistError `INVALID_ARGUMENT`
   */
  attach<W extends Worker<DataType, ResultType, NameType>>(worker: W): W {
    if (this.#side !== null) throw invalid('a SingletonProcessor belongs to one worker')
    const prefix = checkConnection(this.#settings, worker.opts.connection, ownBackend(worker))
    takeJobClass(worker)
    this.#side = new WorkerSide(worker as unknown as Worker, this.#settings, undefined, prefix)
    this.#leaseMs = worker.opts.lockDuration ?? 30_000
    const ended = (job: Job | undefined) => {
      if (job !== undefined) void this.#settle(job)
    }
    worker.on('completed', job => ended(job as unknown as Job))
    worker.on('failed', job => ended(job as unknown as Job | undefined))
    worker.on('closed', () => {
      this.close().catch((error: Error) => worker.emit('error', error))
    })
    return worker
  }

  async #process(
    processor: Processor<DataType, ResultType, NameType>,
    job: Parameters<Processor<DataType, ResultType, NameType>>[0],
    token: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ResultType> {
    const terms = termsOf(job)
    if (terms === null) return await processor(job, token, signal)
    const plain = job as unknown as Job
    const { runs } = this.#attached()
    const run = await runs.start(plain, terms, token ?? '')
    if (run === NOT_RUN) return null as ResultType
    run.abortWith(signal)
    try {
      const result = await runs.run(run, async () => await processor(job, token, run.signal))
      this.#expectEnd(plain)
      return result
    } catch (error) {
      // No event tells of a job that its processor put back.
      if (isPutBack(error)) await this.#settle(plain)
      else this.#expectEnd(plain)
      throw error
    }
  }

  /** The worker's events tell of the job's end, unless BullMQ refuses to note it. */
  #expectEnd(job: Job): void {
    this.#unheard.set(job, setTimeout(() => void this.#settle(job), this.#leaseMs).unref())
  }

  async #settle(job: Job): Promise<void> {
    clearTimeout(this.#unheard.get(job))
    this.#unheard.delete(job)
    const terms = termsOf(job)
    if (terms === null) return
    const settling = this.#attached().runs.end(job, terms)
    if (settling === null) return
    this.#settling.add(settling)
    try {
      await settling
    } finally {
      this.#settling.delete(settling)
    }
  }

  /**
   * Gives up what ended jobs hold, and lets go of what this opened. Happens by itself once the worker is closed; to be
   * awaited where the process is to go on after that. Safe to repeat.
   *
   * Held after abort or rejection: what could not be given up, since the store did not answer: the locks of runs run
   * out after `lockDuration`.
   */
  async close(): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  async #close(): Promise<void> {
    await closeAll(
      () => Promise.all([...this.#settling, ...[...this.#unheard.keys()].map(job => this.#settle(job))]),
      async () => this.#side?.close(),
    )
  }

  #attached(): WorkerSide {
    if (this.#side === null) throw invalid('attach() the worker to its SingletonProcessor as soon as it is made')
    return this.#side
  }
}

/** BullMQ 5 has the scripts in each job. */
function takeJobClass(made: object): void {
  const plain = (made as { Job?: typeof Job }).Job
  if (plain !== undefined) Object.defineProperty(made, 'Job', { value: jobClassFor(plain), configurable: true })
}
