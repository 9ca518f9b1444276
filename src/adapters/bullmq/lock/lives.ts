import { Job, type MinimalQueue } from 'bullmq'
import type { JobState } from '../../../index.js'
import type { SeenJob } from '../fused/answer.js'
import { Answering } from './answering.js'
import { clientOf, isOnRedis } from './connection.js'
import { type Open, Others } from './others.js'
import { type Owner, parseOwner } from './owner.js'
import { isParked } from './parked.js'
import { termsOf } from './terms.js'

/** What is needed of a queue or a worker to find jobs. */
export interface Home {
  readonly qualifiedName: string
  readonly queue: MinimalQueue
  readonly open: Open
  /** Bounds what that queue is asked; `null`: it is waited for as BullMQ itself does. */
  readonly answering: Answering | null
}

/** What the tokens of workers begin with that know of locks. */
export const KNOWING = 'soloist-'

/** What is known of a job that has a lock or waits for it. */
export interface Life extends SeenJob {
  /** `null`: it is gone, or is no job of BullMQ. */
  readonly job: Job | null
  readonly parsed: Owner | null
  /** It has ended, is gone, or has another lock. */
  readonly over: boolean
  /** A worker has it in hand. */
  readonly active: boolean
  /** That is known to be one of ours, which begins its run or puts it back. */
  readonly ours: boolean
}

/** Whether its job may still come into the queue. */
export function isYoung({ job, ageMs }: Life, graceMs: number): boolean {
  return job === null && ageMs !== null && ageMs < graceMs
}

const NOBODY = { active: false, ours: false, strange: false } as const

/** Finds jobs by their owners, and judges with BullMQ's own objects whether they are alive. */
export class Lives {
  readonly #home: Home
  readonly #others: Others
  /** Of the connection to other queues. */
  #ofOthers: Answering | null = null

  constructor(home: Home) {
    this.#home = home
    this.#others = new Others(home.open)
  }

  /** The qualified name of the queue this belongs to. */
  get queue(): string {
    return this.#home.qualifiedName
  }

  /** A job of the queue this belongs to. */
  async own(jobId: string): Promise<Job | undefined> {
    const { queue, qualifiedName } = this.#home
    return await this.#ask(qualifiedName, () => Job.fromId(queue, jobId))
  }

  /** As {@link isOnRedis}, of that queue. */
  get isOnRedis(): boolean {
    return isOnRedis(this.#home.queue)
  }

  /** Asks that queue something. @throws when it does not answer */
  async ask(): Promise<void> {
    await this.own('-')
  }

  /** What is known of who has `lock`. */
  async of(lock: string, owner: string, ageMs: number | null): Promise<Life> {
    const parsed = parseOwner(owner)
    const { job, ...by } = parsed === null ? { job: null, ...NOBODY } : await this.#look(parsed)
    const none = { owner, parsed, job, ageMs, ...by }
    if (parsed === null) return { ...none, state: 'running', over: false }
    if (job === null) return { ...none, state: parsed.period ? 'finished' : 'queued', over: !parsed.period }
    const finished = Boolean(job.finishedOn)
    const other = termsOf(job)?.lock !== lock
    return {
      ...none,
      ageMs: ageMs ?? Math.max(Date.now() - job.timestamp, 0),
      state: finished ? 'finished' : stateOf(job),
      over: !parsed.period && (finished || other),
    }
  }

  /** The owner's job, and whose worker has it in hand. */
  async #look(owner: Owner): Promise<Pick<Life, 'job' | 'active' | 'strange' | 'ours'>> {
    const job = await this.find(owner)
    if (job === null || job.finishedOn || !job.processedOn) return { job, ...NOBODY }
    if (!(await this.#ask(owner.queue, () => job.isActive()))) {
      // It is between two attempts, or has ended since it was read.
      return { job: await this.find(owner), ...NOBODY }
    }
    const token = await this.#tokenOf(owner)
    const ours = token?.startsWith(KNOWING) === true
    return { job, active: true, ours, strange: token !== null && !ours }
  }

  /** With which token BullMQ has locked the job; `null`: none, or it cannot be asked for, since that is not Redis. */
  async #tokenOf({ queue, jobId }: Owner): Promise<string | null> {
    const of = this.#queueOf(queue)
    const token = await this.#ask(queue, async () => {
      const client = await clientOf(of)
      const { get } = (client ?? {}) as { get?: (key: string) => Promise<unknown> }
      return typeof get === 'function' ? await get.call(client, `${queue}:${jobId}:lock`) : null
    })
    return typeof token === 'string' ? token : null
  }

  /** The owner's job; `null` when there is none. */
  async find(owner: Owner): Promise<Job | null> {
    return (await this.#ask(owner.queue, queue => Job.fromId(queue, owner.jobId))) ?? null
  }

  /** Some of the delayed jobs of the queue this belongs to, the last first: those that wait for their locks are. */
  async delayed(count: number): Promise<readonly Job[]> {
    const queue = this.#others.of(this.#home.qualifiedName)
    return await this.#boundOther(queue, () => queue.getJobs(['delayed'], 0, count - 1, false))
  }

  async close(): Promise<void> {
    try {
      await this.#others.close()
    } finally {
      this.#home.answering?.close()
    }
  }

  /**
   * Does something with one of the jobs that were found.
   *
   * @param qualifiedName of its queue
   * @throws SoloistError `BACKEND_UNAVAILABLE`, where calls are bounded
   */
  async bounded<T>(call: () => Promise<T>, qualifiedName: string = this.queue): Promise<T> {
    if (qualifiedName !== this.queue) return await this.#boundOther(this.#queueOf(qualifiedName), call)
    return await (this.#home.answering?.call(call) ?? call())
  }

  /** Asks a queue something that changes nothing. @throws SoloistError `BACKEND_UNAVAILABLE`, where calls are bounded */
  async #ask<T>(qualifiedName: string, ask: (queue: MinimalQueue) => Promise<T>): Promise<T> {
    return await this.bounded(() => ask(this.#queueOf(qualifiedName)), qualifiedName)
  }

  /** No worker of BullMQ's waits for this connection. @throws SoloistError `BACKEND_UNAVAILABLE` */
  async #boundOther<T>(queue: object, call: () => Promise<T>): Promise<T> {
    this.#ofOthers ??= new Answering(queue)
    return await this.#ofOthers.call(call)
  }

  #queueOf(qualifiedName: string): MinimalQueue {
    const { queue, qualifiedName: own } = this.#home
    return qualifiedName === own ? queue : (this.#others.of(qualifiedName) as unknown as MinimalQueue)
  }
}

function stateOf(job: Job): JobState {
  // One that waits for its lock may have been taken up, and put back.
  return job.processedOn && !isParked(job) ? 'running' : 'queued'
}
