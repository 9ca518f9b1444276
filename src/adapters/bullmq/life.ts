import { Job, type MinimalQueue, type Queue } from 'bullmq'
import type { JobLocks } from '../../index.js'
import { type Owner, parseOwner, RUN_MARK, SET_MARK } from './owner.js'
import type { Store } from './store.js'

/** Whether the job that holds a lock is alive. */
export type Life =
  /** `job` is `null` for an owner that is no BullMQ job, and for a job that is gone while its period goes on. */
  | { readonly state: 'live'; readonly owner: Owner | null; readonly job: Job | null }
  /** It took the lock a short while ago, and its job may still come into the queue. */
  | { readonly state: 'pending' }
  /** It does not hold the lock any more. */
  | { readonly state: 'changed' }
  /** Its job ended, or never came. `died`: so long ago that its worker is not just about to release the lock. */
  | { readonly state: 'over'; readonly job: Job | null; readonly died: boolean }

/** What is needed of a queue or a worker to find jobs. */
export interface Home {
  readonly qualifiedName: string
  readonly queue: MinimalQueue
  /** Opens another queue on the same connection. */
  open(name: string, prefix: string): Queue
}

/** Finds jobs by their owner text, and judges with BullMQ's own objects whether they are alive. */
export class Lives {
  readonly #home: Home
  readonly #locks: JobLocks
  readonly #beside: boolean
  readonly #graceMs: number
  /** By qualified name. */
  readonly #others = new Map<string, Queue>()

  /** @param graceMs how long after its lock was taken a job may take to appear in its queue */
  constructor(home: Home, { solo, beside }: Store, graceMs: number) {
    this.#home = home
    this.#locks = solo.jobs
    this.#beside = beside
    this.#graceMs = graceMs
  }

  /** A job of the queue this belongs to. */
  async own(jobId: string): Promise<Job | undefined> {
    return await Job.fromId(this.#home.queue, jobId)
  }

  /** Whether the holder of `lock` is alive. */
  async of(lock: string, holder: string): Promise<Life> {
    const owner = parseOwner(holder)
    if (owner === null) return { state: 'live', owner, job: null }
    const found = await this.find(owner)
    if (found === 'elsewhere') return { state: 'live', owner, job: null }
    if (found === null) return await this.#withoutJob(lock, owner)
    if (!found.finishedOn || owner.mark === SET_MARK) return { state: 'live', owner, job: found }
    return { state: 'over', job: found, died: Date.now() - found.finishedOn > this.#graceMs }
  }

  /** The owner's job; `null` when there is none; `'elsewhere'` when its queue is not known on this connection. */
  async find(owner: Owner): Promise<Job | null | 'elsewhere'> {
    if (owner.queue === this.#home.qualifiedName) return (await this.own(owner.jobId)) ?? null
    const other = this.#other(owner.queue)
    const job = await Job.fromId(other as MinimalQueue, owner.jobId)
    if (job !== undefined) return job
    if (this.#beside) return null
    // A queue that is in use has its description; one that has none lives on another server, or was obliterated.
    return (await other.getMeta()).maxLenEvents === undefined ? 'elsewhere' : null
  }

  /** The job that holds `lock`, if one does. */
  async holderOf(lock: string): Promise<Job | null> {
    const owner = parseOwner((await this.#locks.holder(lock))?.owner ?? '')
    const found = owner === null ? null : await this.find(owner)
    return found === 'elsewhere' ? null : found
  }

  async close(): Promise<void> {
    const others = [...this.#others.values()]
    this.#others.clear()
    await Promise.all(others.map(queue => queue.close()))
  }

  async #withoutJob(lock: string, owner: Owner): Promise<Life> {
    if (owner.mark === SET_MARK) return { state: 'live', owner, job: null }
    if (owner.mark === RUN_MARK) return { state: 'over', job: null, died: false }
    const held = await this.#locks.holder(lock)
    if (held?.owner !== owner.text) return { state: 'changed' }
    if (held.ageMs !== null && held.ageMs < this.#graceMs) return { state: 'pending' }
    return { state: 'over', job: null, died: true }
  }

  #other(qualifiedName: string): Queue {
    let queue = this.#others.get(qualifiedName)
    if (queue === undefined) {
      const colon = qualifiedName.lastIndexOf(':')
      queue = this.#home.open(qualifiedName.slice(colon + 1), qualifiedName.slice(0, Math.max(colon, 0)))
      this.#others.set(qualifiedName, queue)
    }
    return queue
  }
}
