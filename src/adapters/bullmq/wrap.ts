import {
  DelayedError,
  type Job,
  type JobsOptions,
  type Processor,
  type Queue,
  RateLimitError,
  WaitingChildrenError,
  WaitingError,
  type Worker,
} from 'bullmq'
import { carriedBy } from './carried.js'
import { invalid } from './definition.js'
import type { Singleton } from './events.js'
import { outcomeOf, type Unique } from './outcome.js'
import type { Adding } from './placing.js'
import { checkSettings, QueueSide, type SingletonSettings } from './queue-side.js'
import { NOT_RUN } from './runs.js'
import { checkConnection } from './store.js'
import { checkWorkerSettings, type SingletonWorkerSettings, WorkerSide } from './worker-side.js'

const PUT_BACK = [DelayedError, WaitingError, WaitingChildrenError, RateLimitError]

/** Adds singleton jobs to a queue that the application has. The queue itself stays as it is, and open. */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export class SingletonAdder<DataType = any, ResultType = any, NameType extends string = string> {
  readonly singleton: Singleton
  readonly #side: QueueSide<Unique<Job>>

  /** @param settings `solo` is needed when the queue has a backend of its own */
  constructor(
    // biome-ignore lint/suspicious/noExplicitAny: a queue of any backend
    queue: Queue<any, any, any, any, any, any>,
    settings: SingletonSettings<NoInfer<DataType>, NoInfer<NameType>>,
  ) {
    checkSettings(settings)
    checkConnection(settings, queue.opts.connection, undefined)
    const plain = queue as unknown as Queue
    const adding: Adding<Unique<Job>> = {
      add: ({ name, data, opts }) => plain.add(name, data, opts),
      addBulk: items => plain.addBulk(items as Parameters<Queue['addBulk']>[0]),
      answer: (_, job, outcome) => ({ job, outcome }),
      answerPlain: job => ({ job, outcome: outcomeOf('started', job.id as string) }),
    }
    this.#side = new QueueSide(plain, settings, undefined, adding)
    this.singleton = this.#side.singleton
  }

  /** As `SingletonQueue.addUnique`. @throws as `SingletonQueue.add` */
  async addUnique(
    name: NameType,
    data: DataType,
    opts?: JobsOptions,
  ): Promise<Unique<Job<DataType, ResultType, NameType>>> {
    return (await this.#side.producer.add({ name, data, opts })) as Unique<Job<DataType, ResultType, NameType>>
  }

  /** As `SingletonQueue.addBulk`, with what became of each. @throws as there */
  async addBulkUnique(
    jobs: readonly { name: NameType; data: DataType; opts?: JobsOptions }[],
  ): Promise<Unique<Job<DataType, ResultType, NameType>>[]> {
    return (await this.#side.producer.addBulk(jobs)) as Unique<Job<DataType, ResultType, NameType>>[]
  }

  /** As `SingletonQueue.sweep`. */
  async sweep(options: { readonly prefix?: string | undefined } = {}): Promise<number> {
    return await this.#side.sweep(options)
  }

  /** Lets go of what this opened. */
  async close(): Promise<void> {
    await this.#side.close()
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
 * await singletons.close()
 * ```
 *
 * It knows the end of a job by the worker's events. For a sandboxed processor use `SingletonWorker`.
 */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export class SingletonProcessor<DataType = any, ResultType = any, NameType extends string = string> {
  /** To be given to the worker. */
  readonly process: Processor<DataType, ResultType, NameType>
  readonly #settings: SingletonWorkerSettings
  /** What to do if a job's end is not heard of, by job. */
  readonly #unheard = new Map<Job, NodeJS.Timeout>()
  #side: WorkerSide | null = null
  #leaseMs = 0

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
    checkConnection(this.#settings, worker.opts.connection, undefined)
    this.#side = new WorkerSide(worker as unknown as Worker, this.#settings, undefined)
    this.#leaseMs = worker.opts.lockDuration ?? 30_000
    const ended = (job: Job | undefined) => {
      if (job !== undefined) void this.#settle(job)
    }
    worker.on('completed', job => ended(job as unknown as Job))
    worker.on('failed', job => ended(job as unknown as Job | undefined))
    return worker
  }

  async #process(
    processor: Processor<DataType, ResultType, NameType>,
    job: Parameters<Processor<DataType, ResultType, NameType>>[0],
    token: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ResultType> {
    const carried = carriedBy(job)
    if (carried === null) return await processor(job, token, signal)
    const plain = job as unknown as Job
    const run = await this.#attached().runs.start(plain, carried, token ?? '')
    if (run === NOT_RUN) return null as ResultType
    run.abortWith(signal)
    try {
      const result = await processor(job, token, run.signal)
      this.#expectEnd(plain)
      return result
    } catch (error) {
      // No event tells of a job that its processor put back.
      if (PUT_BACK.some(kind => error instanceof kind)) await this.#settle(plain)
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
    const carried = carriedBy(job)
    if (carried !== null) await this.#attached().runs.settle(job, carried)
  }

  /** Lets go of what this opened. To be called when the worker is closed. */
  async close(): Promise<void> {
    await Promise.all([...this.#unheard.keys()].map(job => this.#settle(job)))
    await this.#side?.close()
  }

  #attached(): WorkerSide {
    if (this.#side === null) throw invalid('attach() the worker to its SingletonProcessor as soon as it is made')
    return this.#side
  }
}
