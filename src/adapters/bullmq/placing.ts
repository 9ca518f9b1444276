import type { Job, JobsOptions } from 'bullmq'
import type { Soloist } from '../../index.js'
import { carriedBy, withCarried } from './carried.js'
import type { Singleton } from './events.js'
import type { Lives } from './life.js'
import { type Addition, outcomeOf, type Unique } from './outcome.js'
import { queuedOwner } from './owner.js'
import type { Trigger } from './trigger.js'

/** A job as `addBulk` is given it. */
export interface Item {
  readonly name: string
  readonly data: unknown
  readonly opts?: JobsOptions | undefined
}

/** How BullMQ itself adds to a queue. */
export interface Adding {
  add: (item: Item) => Promise<Job>
  addBulk: (items: readonly Item[]) => Promise<Job[]>
}

/** What {@link Placing} needs of the queue it adds to. */
export interface PlacingHost extends Adding {
  readonly qualifiedName: string
  readonly solo: Soloist
  readonly lives: Lives
  readonly singleton: Singleton
}

/** A trigger for which a job is to be added. */
export interface Decided {
  readonly trigger: Trigger
  readonly addition: Addition
}

/** Puts jobs in their queue after it was decided that they belong there, and gives up the locks of those that are not there. */
export class Placing {
  readonly #host: PlacingHost

  constructor(host: PlacingHost) {
    this.#host = host
  }

  async add(decided: Decided): Promise<Unique<Job>> {
    return await this.added(decided, await this.put(decided))
  }

  /** @returns the job that was added, or the one by which BullMQ's own deduplication turned it away */
  async put({ trigger, addition }: Decided): Promise<Job> {
    try {
      return await this.#host.add(itemOf({ trigger, addition }))
    } catch (error) {
      const job = await this.#thereAfterAll({ trigger, addition })
      if (job === null) throw error
      return job
    }
  }

  /**
   * By one call of `addBulk`.
   *
   * @param jobs those that are unique, and any others
   * @returns in the same order; `null` for a job that is unique in its queue and was turned away: that is to be looked at
   */
  async addTogether(jobs: readonly (Decided | Item)[]): Promise<(Unique<Job> | null)[]> {
    if (jobs.length === 0) return []
    let placed: (Job | null)[]
    try {
      placed = await this.#host.addBulk(jobs.map(job => ('trigger' in job ? itemOf(job) : job)))
    } catch (error) {
      // Some may be there and some not.
      placed = await Promise.all(jobs.map(job => ('trigger' in job ? this.#thereAfterAll(job) : null)))
      if (placed.includes(null)) throw error
    }
    return await Promise.all(
      jobs.map(async (one, i) => {
        const job = placed[i] as Job
        if (!('trigger' in one)) return { job, outcome: outcomeOf('started', job.id as string) }
        const { definition, jobId } = one.trigger
        return definition.scope === 'queue' && job.id !== jobId ? null : await this.added(one, job)
      }),
    )
  }

  /** @param job what {@link Placing.put} returned */
  async added({ trigger, addition }: Decided, job: Job): Promise<Unique<Job>> {
    const { definition, jobId } = trigger
    const { outcome, holds, after } = addition
    const { singleton } = this.#host
    if (job.id !== jobId) {
      await this.giveBack(holds, jobId)
      singleton.count(definition.name, 'duplicate')
      return { job, outcome: outcomeOf('duplicate', job.id as string) }
    }
    if (after !== null) {
      try {
        await after()
      } catch (error) {
        // The worker that starts the job sees to it.
        singleton.emit('fault', { during: 'trigger', error, id: jobId })
      }
    }
    singleton.count(definition.name, outcome.status)
    return { job, outcome }
  }

  /** Gives up a lock that was taken for a job that is not there. */
  async giveBack(lock: string | null, jobId: string): Promise<void> {
    if (lock === null) return
    try {
      await this.#host.solo.jobs.release(lock, queuedOwner(this.#host.qualifiedName, jobId))
    } catch (error) {
      // It is taken over after the grace time, since its job is not there.
      this.#fault(error, jobId)
    }
  }

  /**
   * The job whose `add` failed, which may have been carried out: what is in the queue decides. While that cannot be asked,
   * nothing is given up.
   */
  async #thereAfterAll({ trigger: { jobId }, addition: { holds } }: Decided): Promise<Job | null> {
    try {
      const job = await this.#host.lives.own(jobId)
      if (job !== undefined && carriedBy(job) !== null) return job
    } catch (error) {
      this.#fault(error, jobId)
      return null
    }
    await this.giveBack(holds, jobId)
    return null
  }

  #fault(error: unknown, id: string): void {
    this.#host.singleton.emit('fault', { during: 'add', error, id })
  }
}

function itemOf({ trigger: { definition, data, opts, jobId }, addition }: Decided): Item {
  return { name: definition.name, data, opts: withCarried(opts, jobId, addition.carried) }
}
