import type { Job } from 'bullmq'
import type { JobLockNames } from '../../index.js'
import type { Carried } from './carried.js'
import type { Lives } from './life.js'

/** How many jobs that were put back are remembered. The others are not woken; they look again after `snoozeMs`. */
const REMEMBERED = 10_000
const JOB_NOT_THERE = -1
const JOB_NOT_DELAYED = -3

/**
 * Wakes jobs that were put back until a lock is free. Nothing depends on it: each looks again by itself after
 * `snoozeMs`.
 */
export class Sleepers {
  readonly #lives: Lives
  readonly #onFault: (during: string, error: unknown) => void
  /** Ids of jobs this process put back, by trigger lock. */
  readonly #byLock = new Map<string, Set<string>>()
  #count = 0

  constructor(lives: Lives, onFault: (during: string, error: unknown) => void) {
    this.#lives = lives
    this.#onFault = onFault
  }

  add(lock: string, job: Job): void {
    if (this.#count >= REMEMBERED) return
    let ids = this.#byLock.get(lock)
    if (ids === undefined) {
      ids = new Set()
      this.#byLock.set(lock, ids)
    }
    if (!ids.has(job.id as string)) this.#count += 1
    ids.add(job.id as string)
  }

  /** The job was picked up. */
  awake(lock: string, job: Job): void {
    this.#forget(lock, job.id as string)
  }

  /** Wakes the job that holds the follow-up's slot, and one that was put back here. */
  async wake({ lock, followed }: Carried, names: JobLockNames): Promise<void> {
    const next = followed === true ? await this.#lives.holderOf(names.next) : null
    if (next !== null) await this.#promote(next)
    const [id] = this.#byLock.get(lock) ?? []
    if (id === undefined) return
    this.#forget(lock, id)
    const job = await this.#lives.own(id)
    if (job !== undefined) await this.#promote(job)
  }

  /**
   * Only a job that a worker has picked up before was put back. Any other waits for its turn, or for the end of its
   * delay.
   */
  async #promote(job: Job): Promise<void> {
    if (!job.processedOn || job.finishedOn) return
    try {
      await job.promote()
    } catch (error) {
      const { code } = error as { code?: unknown }
      // It is not delayed any more, or not there: nothing is to be done.
      if (code !== JOB_NOT_THERE && code !== JOB_NOT_DELAYED) this.#onFault('wake', error)
    }
  }

  #forget(lock: string, id: string): void {
    const ids = this.#byLock.get(lock)
    if (ids?.delete(id)) this.#count -= 1
    if (ids?.size === 0) this.#byLock.delete(lock)
  }
}
