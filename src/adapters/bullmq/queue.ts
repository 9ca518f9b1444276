import {
  type BulkJobOptions,
  type Job,
  type JobSchedulerTemplateOptions,
  type JobsOptions,
  type MinimalQueue,
  type ObliterateOpts,
  Queue,
  type QueueOptions,
  type RepeatOptions,
} from 'bullmq'
import type { AddingHow } from './adding/host.js'
import type { SingletonOutcome, Unique } from './adding/outcome.js'
import type { Item } from './adding/trigger.js'
import { ADDING, UNLOCKED } from './fused/fused.js'
import { gaveUp, jobClassFor, SingletonJob, sides } from './job.js'
import { closeAll, closeMade } from './lock/connection.js'
import type { Singleton } from './lock/events.js'
import { checkConnection } from './lock/store.js'
import { checkSettings, type SingletonSettings } from './options/settings.js'
import type { BackendFactory } from './peer-types.js'
import { tellTakenAway } from './running/here.js'
import { fusedOf, QueueSide } from './side.js'

export interface SingletonQueueOptions<DataType, NameType extends string> extends QueueOptions {
  /** Checked against the queue's types, which it does not set: they are BullMQ's own where none are given. */
  readonly singleton: SingletonSettings<NoInfer<DataType>, NoInfer<NameType>>
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
  readonly #side: QueueSide<SingletonJob<DataType, ResultType, NameType>>
  /** Objects that `add` answered in place of a job, since there was no job to answer. */
  readonly #standIns = new WeakSet<object>()

  /** @param backendFactory as BullMQ's; with one, `singleton.solo` is needed */
  constructor(name: string, options: SingletonQueueOptions<DataType, NameType>, backendFactory?: BackendFactory) {
    const { singleton: settings, ...opts } = options
    checkSettings(settings)
    const prefix = checkConnection(settings, opts.connection, backendFactory)
    super(name, opts, backendFactory as undefined)
    const how: AddingHow<SingletonJob<DataType, ResultType, NameType>> = {
      add: ({ name, data, opts }) => super.addJob(name as NameType, data as DataType, opts) as Promise<Job>,
      addBulk: items => super.addBulk(items as never) as unknown as Promise<Job[]>,
      answer: (item, job, outcome) => this.#answer(item, job, outcome),
      answerPlain: job => job as SingletonJob<DataType, ResultType, NameType>,
    }
    this.#side = new QueueSide(this as unknown as Queue, settings, backendFactory, how, prefix)
    this.singleton = this.#side.singleton
    sides.set(this, this.#side as QueueSide<unknown>)
  }

  protected override get Job(): typeof Job {
    return jobClassFor(SingletonJob as typeof Job)
  }

  /**
   * As BullMQ's, but a job that is live already is not added again.
   *
   * Held after abort or rejection: nothing, unless the job is in the queue all the same, its answer lost: then it has its lock,
   * or its place in the lock's queue. Where lock and job are two steps, a lock without its job is given back, or taken over by
   * others after `graceMs`.
   *
   * @returns the job that covers this call: the added one, or the live one; its `singleton` says which
   * @throws SoloistError `DUPLICATE_JOB` where `onDuplicate` is `reject`; `INVALID_ARGUMENT` for data that has no key, a `merge`
   *   that cannot be relied on, and what BullMQ refuses; `BACKEND_UNAVAILABLE` when Redis or the locks' store does not answer;
   *   `LOCK_TIMEOUT` when others kept changing what it saw
   */
  override add(
    name: NameType,
    data: DataType,
    opts?: JobsOptions,
  ): Promise<SingletonJob<DataType, ResultType, NameType>> {
    return super.add(name, data, opts) as Promise<SingletonJob<DataType, ResultType, NameType>>
  }

  /**
   * As {@link SingletonQueue.add}, with what became of it beside the job.
   *
   * Held after abort or rejection: as after {@link SingletonQueue.add}.
   *
   * @returns `job` is `null` with `skip`, and where the live one is no job this queue can read
   */
  async addUnique(
    name: NameType,
    data: DataType,
    opts?: JobsOptions,
  ): Promise<Unique<SingletonJob<DataType, ResultType, NameType>>> {
    this.#side.producer.assertHas(name)
    const job = await this.add(name, data, opts)
    return { job: this.#standIns.has(job) ? null : job, outcome: job.singleton as SingletonOutcome }
  }

  /**
   * As BullMQ's, with {@link SingletonQueue.add}'s rules for each job: an equal one before it in the call counts as live. It is not
   * all or nothing: what one job fails with, such as `DUPLICATE_JOB`, is thrown after the others were added.
   *
   * Held after abort or rejection: the locks of the jobs that were added. Of the others as after {@link
   * SingletonQueue.add}.
   */
  override async addBulk(
    jobs: { name: NameType; data: DataType; opts?: BulkJobOptions }[],
  ): Promise<SingletonJob<DataType, ResultType, NameType>[]> {
    return await this.#side.producer.addBulk(jobs)
  }

  /**
   * As BullMQ's. The key of the jobs it makes is that of the template's data; their strategy is applied when a worker
   * takes them up: `join` and `skip` end such a job without running it, `reject` fails it, the others let it wait.
   *
   * Held after abort or rejection: nothing: the jobs that it makes take their locks when a worker takes them up.
   */
  override async upsertJobScheduler(
    jobSchedulerId: NameType,
    repeatOpts: Omit<RepeatOptions, 'key'>,
    jobTemplate?: { name?: NameType; data?: DataType; opts?: JobSchedulerTemplateOptions },
  ): Promise<SingletonJob<DataType, ResultType, NameType>> {
    const name = jobTemplate?.name ?? jobSchedulerId
    const { producer } = this.#side
    if (!producer.has(name)) return (await super.upsertJobScheduler(jobSchedulerId, repeatOpts, jobTemplate)) as never
    const singleton = producer.tick({ name, data: jobTemplate?.data ?? {} })
    const opts = { ...jobTemplate?.opts, singleton } as JobSchedulerTemplateOptions
    return (await super.upsertJobScheduler(jobSchedulerId, repeatOpts, { ...jobTemplate, opts })) as never
  }

  /**
   * As BullMQ's; the job's lock is given up, too.
   *
   * Held after abort or rejection: the lock of the job, if it is still there; that of one that is gone is free to the next
   * trigger.
   */
  override async remove(jobId: string, options: { removeChildren?: boolean } = {}): Promise<number> {
    const job = await this.#side.own(jobId)
    const removed = await super.remove(jobId, options)
    if (removed === 1 && job !== undefined) await gaveUp(job)
    return removed
  }

  /**
   * As BullMQ's; what the jobs have that it removes is given up, too. With a `solo` they are read before.
   *
   * Held after abort or rejection: the locks of the jobs that are still there; those of jobs that are gone are free to the next
   * trigger.
   */
  override async drain(delayed = false): Promise<void> {
    const giveUp = await this.#side.removing(
      delayed ? ['waiting', 'prioritized', 'delayed'] : ['waiting', 'prioritized'],
    )
    try {
      await super.drain(delayed)
    } finally {
      await giveUp()
    }
  }

  /**
   * As BullMQ's; what the jobs have that it removes is given up, too. With a `solo` those of other states than `completed` and
   * `failed` are read before.
   *
   * Held after abort or rejection: as after {@link SingletonQueue.drain}.
   */
  override async clean(...args: Parameters<Queue['clean']>): Promise<string[]> {
    const type = args[2] ?? 'completed'
    const ended = type === 'completed' || type === 'failed'
    // Those of a paused queue wait, too.
    const giveUp = ended ? null : await this.#side.removing([type === 'wait' || type === 'paused' ? 'waiting' : type])
    try {
      return await super.clean(...args)
    } finally {
      await giveUp?.()
    }
  }

  /**
   * As BullMQ's; the locks of all its jobs are given up, too. With `force` also those of jobs that are run: the signals of these runs
   * abort at once in this process, elsewhere when their workers next extend BullMQ's lock. Until they have ended others may run
   * beside them.
   *
   * Held after abort or rejection: the locks of the jobs that are still there; those of jobs that are gone are free to the next
   * trigger.
   *
   * @throws what BullMQ's own does; SoloistError `BACKEND_UNAVAILABLE`: the jobs are gone, and their locks may not be
   */
  override async obliterate(opts?: ObliterateOpts): Promise<void> {
    try {
      await super.obliterate(opts)
    } finally {
      // It may have removed some of them before it failed.
      if (opts?.force === true) tellTakenAway(this.qualifiedName)
    }
    await this.#side.obliterated()
  }

  /**
   * Gives up the locks of this queue's jobs that have ended or vanished. No job depends on it, since whoever needs such a
   * lock takes it over. It tidies what nobody asks for any more; with a `solo`, nothing else does that. Safe to run
   * anywhere, at any time.
   *
   * Held after abort or rejection: what was given up by then is free, and the rest is held as before. It is safe to
   * call again.
   *
   * @param options `prefix`: only of job names that start with it
   * @returns how many locks it gave up
   */
  async sweep(options: { readonly prefix?: string | undefined } = {}): Promise<number> {
    return await this.#side.sweep(options)
  }

  /**
   * As BullMQ's.
   *
   * Held after abort or rejection: the locks of the jobs that were added, as ever: they belong to the jobs.
   */
  override async close(): Promise<void> {
    await closeAll(
      () => closeMade(this, this.opts.connection, () => super.close()),
      () => this.#side.close(),
    )
  }

  /** What BullMQ's own `add` calls, within its telemetry. */
  protected override addJob(
    name: NameType,
    data: DataType,
    opts?: JobsOptions,
  ): Promise<SingletonJob<DataType, ResultType, NameType>> {
    const { producer } = this.#side
    if (producer.has(name)) return producer.add({ name, data, opts })
    // In their order with the others.
    return super.addJob(name, data, fusedOf.has(this) ? gathered(opts) : opts) as never
  }

  #answer(
    { name, data, opts }: Item,
    job: Job | null,
    outcome: SingletonOutcome,
  ): SingletonJob<DataType, ResultType, NameType> {
    // BullMQ, too, answers a duplicate with the live one's id and the data it was given.
    const answered = job ?? new this.Job(this as unknown as MinimalQueue, name, data, opts ?? {}, outcome.id)
    if (job === null) this.#standIns.add(answered)
    const singleton = answered as SingletonJob<DataType, ResultType, NameType>
    singleton.singleton = outcome
    return singleton
  }
}

/** For a job that is added in one call with others. */
function gathered(opts: JobsOptions | undefined): JobsOptions {
  const added: Record<string | symbol, unknown> = { ...opts }
  added[ADDING] = UNLOCKED
  return added as JobsOptions
}
