import type { Job, JobsOptions } from 'bullmq'
import type { Soloist } from '../../index.js'
import { carriedBy, withCarried } from './carried.js'
import type { Singleton } from './events.js'
import type { Lives } from './life.js'
import { Held, isHeldInstead, type OneStep } from './one-step.js'
import { type Addition, outcomeOf, type SingletonOutcome } from './outcome.js'
import { queuedOwner } from './owner.js'
import type { Trigger } from './trigger.js'

/** A job as `addBulk` is given it. */
export interface Item {
  readonly name: string
  readonly data: unknown
  readonly opts?: JobsOptions | undefined
}

/** How BullMQ itself adds to a queue, and what the caller is answered. */
export interface Adding<A> {
  add: (item: Item) => Promise<Job>
  addBulk: (items: readonly Item[]) => Promise<Job[]>
  /** @param job the one that covers the item; `null` where there is none to answer */
  answer: (item: Item, job: Job | null, outcome: SingletonOutcome) => A
  /** For a job that is no singleton. */
  answerPlain: (job: Job) => A
}

/** What {@link Placing} needs of the queue it adds to. */
export interface PlacingHost<A> extends Adding<A> {
  readonly qualifiedName: string
  readonly solo: Soloist
  readonly lives: Lives
  readonly singleton: Singleton
  /** `null` where the lock of a job and the job are always two steps. */
  readonly oneStep: OneStep | null
}

/** A trigger for which a job is to be added. */
export interface Decided {
  readonly trigger: Trigger
  readonly addition: Addition
  /** The lock is to be taken in the step that adds the job. */
  readonly together?: true
}

/** Puts jobs in their queue after it was decided that they belong there, and gives up the locks of those that are not there. */
export class Placing<A> {
  readonly #host: PlacingHost<A>

  constructor(host: PlacingHost<A>) {
    this.#host = host
  }

  /** Whether the lock of a trigger that was made just now can be taken in the step that adds its job. */
  inOneStep({ sinceMs }: Trigger): boolean {
    return this.#host.oneStep?.isReady(sinceMs) === true
  }

  async add(decided: Decided): Promise<A> {
    let job: Job
    try {
      job = await this.#host.add(itemOf(decided))
    } catch (error) {
      job = await this.#orThrow(error, decided)
    }
    return this.#added(decided, job)
  }

  /**
   * Takes the lock and adds the job in one step.
   *
   * @param held called instead when somebody holds the lock
   */
  async addTakingLock(decided: Decided, held: (holder: string) => Promise<A>): Promise<A> {
    const { oneStep } = this.#host
    let job: Job
    oneStep?.begin(decided.trigger)
    try {
      job = await this.#host.add(itemOf(decided))
      oneStep?.end(decided.trigger)
    } catch (error) {
      // The lock is taken when the job is added.
      oneStep?.end(decided.trigger)
      if (error instanceof Held) return await held(error.holder)
      job = await this.#orThrow(error, decided)
    }
    return this.#added(decided, job)
  }

  /**
   * By one call of `addBulk`.
   *
   * @param jobs those that are unique, and any others
   * @returns in the same order; `null` for a job whose lock was to be taken with it and is held
   */
  async addTogether(jobs: readonly (Decided | Item)[]): Promise<({ readonly answer: A } | null)[]> {
    if (jobs.length === 0) return []
    let placed: (Job | null)[]
    const { oneStep, answerPlain } = this.#host
    const taking = jobs.flatMap(job => ('together' in job ? [job.trigger] : []))
    try {
      const items = jobs.map(job => ('trigger' in job ? itemOf(job) : job))
      for (const trigger of taking) oneStep?.begin(trigger)
      placed = await this.#host.addBulk(items)
    } catch (error) {
      // Some of the jobs may have been added and some not.
      placed = await Promise.all(jobs.map(job => ('trigger' in job ? this.#thereAfterAll(job) : null)))
      if (placed.includes(null)) throw error
    } finally {
      for (const trigger of taking) oneStep?.end(trigger)
    }
    return await Promise.all(
      jobs.map(async (one, i) => {
        const job = placed[i] as Job
        if (!('trigger' in one)) return { answer: answerPlain(job) }
        return isHeldInstead(job.id) ? null : { answer: await this.#added(one, job) }
      }),
    )
  }

  /** The job, if it is there although its `add` failed. */
  async #orThrow(error: unknown, decided: Decided): Promise<Job> {
    const job = await this.#thereAfterAll(decided)
    if (job === null) throw error
    return job
  }

  /** @param job what BullMQ answered: the one that was added, or the one by which its own deduplication turned it away */
  #added({ trigger, addition }: Decided, job: Job): A | Promise<A> {
    const { outcome, after } = addition
    if (job.id !== trigger.jobId) return this.#turnedAway({ trigger, addition }, job)
    return after === null ? this.answer(trigger, job, outcome) : this.#thereThen(after, trigger, job, outcome)
  }

  async #turnedAway({ trigger, addition: { holds } }: Decided, job: Job): Promise<A> {
    await this.giveBack(holds, trigger.jobId)
    return this.answer(trigger, job, outcomeOf('duplicate', job.id as string))
  }

  async #thereThen(after: () => Promise<void>, trigger: Trigger, job: Job, outcome: SingletonOutcome): Promise<A> {
    try {
      await after()
    } catch (error) {
      // The worker that starts the job sees to it.
      this.#host.singleton.emit('fault', { during: 'trigger', error, id: trigger.jobId })
    }
    return this.answer(trigger, job, outcome)
  }

  /** Counts what became of a trigger, and answers it. */
  answer(trigger: Trigger, job: Job | null, outcome: SingletonOutcome): A {
    this.#host.singleton.count(trigger.name, outcome.status)
    return this.#host.answer(trigger, job, outcome)
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
   * Looks for a job whose `add` failed, since it may have been carried out all the same. Its lock is given up only when
   * the queue has answered that the job is not there.
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
