import {
  type BackendFactory,
  type BulkJobOptions,
  type Job,
  type JobSchedulerTemplateOptions,
  type JobsOptions,
  type MinimalQueue,
  Queue,
  type QueueOptions,
  type RepeatOptions,
} from 'bullmq'
import type { Soloist } from '../../index.js'
import { carriedBy, namesOf } from './carried.js'
import { choiceOption, definitions, invalid, msOption, type SingletonJobOptions } from './definition.js'
import { Singleton } from './events.js'
import { producers, SingletonJob } from './job.js'
import { Lives } from './life.js'
import type { SingletonOutcome, Unique } from './outcome.js'
import { queuedOwner } from './owner.js'
import { Producer } from './producer.js'
import { openStore, type Store } from './store.js'
import { sweep } from './sweep.js'
import { siblingQueue } from './worker.js'

/** Which jobs of a queue are singletons, and how. */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export interface SingletonSettings<DataType = any, NameType extends string = string> {
  /** By job name. Jobs of other names are added as by BullMQ's own `Queue`. */
  readonly jobs: { readonly [name in NameType]?: SingletonJobOptions<DataType> }
  /** Where the locks are: the same for every queue and worker. Default: on the queue's Redis, opened and closed with it. */
  readonly solo?: Soloist | undefined
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

export interface SingletonQueueOptions<DataType, NameType extends string> extends QueueOptions {
  readonly singleton: SingletonSettings<DataType, NameType>
}

/** A BullMQ queue in which a job of the same name and data is live at most once. */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export class SingletonQueue<DataType = any, ResultType = any, NameType extends string = string> extends Queue<
  DataType,
  ResultType,
  NameType,
  DataType,
  ResultType,
  NameType
> {
  readonly singleton: Singleton
  readonly #producer: Producer
  readonly #store: Store
  readonly #lives: Lives

  constructor(name: string, options: SingletonQueueOptions<DataType, NameType>, backendFactory?: BackendFactory) {
    const { singleton: settings, ...opts } = options ?? {}
    const { graceMs, onBackendFault, jobs } = checkSettings(settings)
    if (backendFactory !== undefined && settings.solo === undefined) {
      throw invalid('singleton.solo is needed with a backend of your own')
    }
    const onError = (error: Error): void => void this.emit('error', error)
    const store = openStore(settings.solo, opts.connection, onError)
    super(name, opts, backendFactory as undefined)
    this.#store = store
    this.singleton = new Singleton(store.solo)
    this.#lives = new Lives(
      {
        qualifiedName: this.qualifiedName,
        queue: this as unknown as MinimalQueue,
        open: (other, prefix) => siblingQueue(other, prefix, opts, backendFactory, onError),
      },
      store.solo.jobs,
      graceMs,
    )
    this.#producer = new Producer({
      qualifiedName: this.qualifiedName,
      solo: store.solo,
      lives: this.#lives,
      singleton: this.singleton,
      definitions: jobs,
      graceMs,
      onBackendFault,
      add: (jobName, data, jobOpts) => super.add(jobName as NameType, data as DataType, jobOpts) as Promise<Job>,
      addBulk: items => super.addBulk(items as Parameters<Queue['addBulk']>[0] as never) as unknown as Promise<Job[]>,
    })
    producers.set(this, this.#producer)
  }

  protected override get Job(): typeof Job {
    return SingletonJob as typeof Job
  }

  /**
   * As BullMQ's, but a job that is live already is not added again.
   *
   * @returns the job that covers this call: the added one, or the live one; its `singleton` says which
   * @throws SoloistError `DUPLICATE_JOB` where `onDuplicate` is `reject`; `INVALID_ARGUMENT` for data that has no key;
   *   `BACKEND_UNAVAILABLE` when the locks' store is down; `LOCK_TIMEOUT` when others kept changing what it saw
   */
  override async add(
    name: NameType,
    data: DataType,
    opts?: JobsOptions,
  ): Promise<SingletonJob<DataType, ResultType, NameType>> {
    if (!this.#producer.has(name))
      return (await super.add(name, data, opts)) as SingletonJob<DataType, ResultType, NameType>
    return this.#answer(name, data, opts, await this.#producer.addUnique({ name, data, opts }))
  }

  /**
   * As {@link SingletonQueue.add}, with what became of it beside the job.
   *
   * @returns `job` is `null` with `skip`, and where the live one is no job this queue can read
   */
  async addUnique(
    name: NameType,
    data: DataType,
    opts?: JobsOptions,
  ): Promise<Unique<SingletonJob<DataType, ResultType, NameType>>> {
    const { job, outcome } = await this.#producer.addUnique({ name, data, opts })
    return { job: job === null ? null : withOutcome<DataType, ResultType, NameType>(job, outcome), outcome }
  }

  /**
   * As BullMQ's, with {@link SingletonQueue.add}'s rules for each job. It is not all or nothing: what one job fails with,
   * such as `DUPLICATE_JOB`, is thrown after the others were added.
   */
  override async addBulk(
    jobs: { name: NameType; data: DataType; opts?: BulkJobOptions }[],
  ): Promise<SingletonJob<DataType, ResultType, NameType>[]> {
    const added = await this.#producer.addBulk(jobs)
    return added.map((unique, i) => {
      const { name, data, opts } = jobs[i] as (typeof jobs)[number]
      return this.#answer(name, data, opts, unique)
    })
  }

  /**
   * As BullMQ's. The key of the jobs it makes is that of the template's data; their strategy is applied when a worker
   * picks them up: `join` and `skip` end such a job without running it, `reject` fails it, the others let it wait.
   */
  override async upsertJobScheduler(
    jobSchedulerId: NameType,
    repeatOpts: Omit<RepeatOptions, 'key'>,
    jobTemplate?: { name?: NameType; data?: DataType; opts?: JobSchedulerTemplateOptions },
  ): Promise<SingletonJob<DataType, ResultType, NameType>> {
    const name = jobTemplate?.name ?? jobSchedulerId
    if (!this.#producer.has(name)) {
      return (await super.upsertJobScheduler(jobSchedulerId, repeatOpts, jobTemplate)) as never
    }
    const singleton = this.#producer.tick({ name, data: jobTemplate?.data ?? {} })
    const opts = { ...jobTemplate?.opts, singleton } as JobSchedulerTemplateOptions
    return (await super.upsertJobScheduler(jobSchedulerId, repeatOpts, { ...jobTemplate, opts })) as never
  }

  /** As BullMQ's; the job's locks are given up, too. */
  override async remove(jobId: string, options: { removeChildren?: boolean } = {}): Promise<number> {
    const job = await this.#lives.own(jobId)
    const removed = await super.remove(jobId, options)
    const carried = job === undefined ? null : carriedBy(job)
    if (removed === 1 && carried !== null && carried.mode !== 'untilExpired') {
      const owner = queuedOwner(this.qualifiedName, jobId)
      const { trigger, next } = namesOf(carried)
      await Promise.all([trigger, next].map(lock => this.#store.solo.jobs.release(lock, owner)))
    }
    return removed
  }

  /**
   * Gives up the locks of this queue's jobs that have ended or vanished. Nothing depends on it, since whoever needs such a
   * lock takes it over; it tidies what nobody asks for any more. Safe to run anywhere, at any time.
   *
   * @param options `prefix`: only of job names that start with it
   * @returns how many locks it gave up
   */
  async sweep(options: { readonly prefix?: string | undefined } = {}): Promise<number> {
    return await sweep(this.#store.solo, this.#lives, this.qualifiedName, options.prefix)
  }

  override async close(): Promise<void> {
    await super.close()
    await this.#lives.close()
    await this.#store.close()
  }

  #answer(
    name: NameType,
    data: DataType,
    opts: JobsOptions | undefined,
    { job, outcome }: Unique<Job>,
  ): SingletonJob<DataType, ResultType, NameType> {
    // BullMQ, too, answers a duplicate with the live one's id and the data it was given.
    const answered = job ?? (new this.Job(this as unknown as MinimalQueue, name, data, opts ?? {}, outcome.id) as Job)
    return withOutcome<DataType, ResultType, NameType>(answered, outcome)
  }
}

function withOutcome<DataType, ResultType, NameType extends string>(
  job: Job,
  outcome: SingletonOutcome,
): SingletonJob<DataType, ResultType, NameType> {
  const singleton = job as unknown as SingletonJob<DataType, ResultType, NameType>
  singleton.singleton = outcome
  return singleton
}

function checkSettings(settings: SingletonSettings): {
  graceMs: number
  onBackendFault: 'fail' | 'enqueue'
  jobs: ReturnType<typeof definitions>
} {
  if (settings === null || typeof settings !== 'object') throw invalid('singleton must be an object with jobs')
  return {
    graceMs: msOption('graceMs', settings.graceMs, 5_000),
    onBackendFault: choiceOption<'fail' | 'enqueue'>('onBackendFault', settings.onBackendFault, ['fail', 'enqueue']),
    jobs: definitions(settings.jobs),
  }
}
