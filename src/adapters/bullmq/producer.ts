import type { Job, JobsOptions } from 'bullmq'
import { DuplicateJobError, jobLockNames, type Soloist, SoloistError } from '../../index.js'
import { type Carried, carriedBy, jobNameOf, namesOf, withCarried } from './carried.js'
import { type Definition, invalid } from './definition.js'
import type { Singleton } from './events.js'
import { newJobId } from './ids.js'
import { checkInQueue, inQueue, metInQueue, sightingInQueue } from './in-queue.js'
import type { Lives } from './life.js'
import { type Addition, type Met, outcomeOf, sighting, type Unique } from './outcome.js'
import { parseOwner, queuedOwner } from './owner.js'
import { type Trigger, Triggers } from './trigger.js'

/** A job as `addBulk` is given it. */
export interface Item {
  readonly name: string
  readonly data: unknown
  readonly opts?: JobsOptions | undefined
}

/** What a {@link Producer} needs of the queue it adds to. */
export interface ProducerHost {
  readonly qualifiedName: string
  readonly solo: Soloist
  readonly lives: Lives
  readonly singleton: Singleton
  readonly definitions: ReadonlyMap<string, Definition>
  readonly graceMs: number
  readonly onBackendFault: 'fail' | 'enqueue'
  /** Which job holds a deduplication id of BullMQ's. */
  deduplicated(id: string): Promise<string | null>
  /** BullMQ's own `add`. */
  add(item: Item): Promise<Job>
  /** BullMQ's own `addBulk`. */
  addBulk(items: readonly Item[]): Promise<Job[]>
}

/** Adds jobs that are unique: each takes its lock first, and goes into the queue with what a worker needs to know of it. */
export class Producer {
  readonly #host: ProducerHost
  readonly #triggers: Triggers

  constructor(host: ProducerHost) {
    this.#host = host
    this.#triggers = new Triggers(host)
  }

  /** @returns whether jobs of this name are singletons */
  has(name: string): boolean {
    return this.#host.definitions.has(name)
  }

  async addUnique(item: Item): Promise<Unique<Job>> {
    const trigger = this.trigger(item)
    if (trigger.definition.scope === 'queue') return await this.#addInQueue(trigger)
    const step = (await this.#sameId(trigger)) ?? (await this.#decide(trigger))
    return step.kind === 'add' ? await this.#add(trigger, step) : this.#met(trigger, step)
  }

  /**
   * In the order of the items; those whose key is free are added in one call. What one item fails with is thrown after
   * the others were added.
   */
  async addBulk(items: readonly Item[]): Promise<Unique<Job>[]> {
    const triggers = items.map(item => (this.has(item.name) ? this.trigger(item) : null))
    const seen = new Set<string>()
    const firsts = triggers.map(trigger => {
      if (trigger === null || trigger.opts?.jobId !== undefined || seen.has(trigger.names.trigger)) return false
      seen.add(trigger.names.trigger)
      return true
    })
    const taken = await Promise.all(
      triggers.map((trigger, i) => (trigger !== null && firsts[i] === true ? this.#tryTake(trigger) : null)),
    )
    const together = items.flatMap((_, i) => (triggers[i] === null || taken[i] !== null ? [i] : []))
    const results: Unique<Job>[] = []
    for (const [i, added] of await this.#addTogether(items, triggers, taken, together)) results[i] = added
    const refusals: unknown[] = []
    for (const [i, item] of items.entries()) {
      if (results[i] !== undefined) continue
      try {
        results[i] = await this.addUnique(item)
      } catch (error) {
        refusals.push(error)
      }
    }
    if (refusals.length > 0) throw refusals[0]
    return results
  }

  /** The key is computed here, and nowhere else. */
  trigger({ name, data, opts }: Item): Trigger {
    const definition = this.#host.definitions.get(name)
    if (definition === undefined) throw invalid(`there are no singleton options for jobs named ${JSON.stringify(name)}`)
    const names = jobLockNames(name, definition.key(data))
    if (definition.scope === 'queue') checkInQueue({ definition, opts })
    // BullMQ takes an empty one for none.
    const jobId = opts?.jobId || newJobId()
    const owner = queuedOwner(this.#host.qualifiedName, jobId)
    return { definition, data, opts, names, jobId, owner, sinceMs: performance.now() }
  }

  /** What the jobs of a scheduler carry. */
  tick(item: Item): Carried {
    const { definition, names } = this.trigger(item)
    const { mode, strategy, expiryMs, name } = definition
    if (typeof strategy === 'function') {
      throw invalid(`job ${JSON.stringify(name)}: onDuplicate cannot be a function for what a scheduler makes`)
    }
    return {
      lock: names.trigger,
      mode,
      part: 'tick',
      strategy,
      ...(expiryMs === null ? {} : { expiryMs }),
      ...(strategy === 'rerun' || strategy === 'replace' ? { followed: true as const } : {}),
    }
  }

  /**
   * Takes the lock of a finished job again that is about to be retried by hand.
   *
   * @returns gives it back
   * @throws SoloistError `DUPLICATE_JOB` when another one is live
   */
  async retake(job: Job, carried: Carried): Promise<() => Promise<void>> {
    const { solo, lives, qualifiedName, graceMs } = this.#host
    if (carried.mode === 'whileExecuting' || carried.mode === 'untilExpired') return async () => {}
    const { trigger } = namesOf(carried)
    const owner = queuedOwner(qualifiedName, job.id as string)
    if (carried.scope === 'queue') await this.#assertAlone(job, carried)
    const sinceMs = performance.now()
    let replaces: string | undefined
    do {
      const taken = await solo.jobs.take(trigger, owner, { replaces })
      if (taken.status === 'granted') {
        return async () => {
          await solo.jobs.release(trigger, owner)
        }
      }
      const life = taken.holder === null ? null : await lives.of(trigger, taken.holder)
      if (life?.state === 'live' && taken.holder !== null) {
        throw new DuplicateJobError({ job: jobNameOf(carried), ...sighting(taken.holder, life.owner, life.job) })
      }
      replaces = life?.state === 'over' && taken.holder !== null ? taken.holder : undefined
    } while (performance.now() - sinceMs < graceMs)
    throw new SoloistError('LOCK_TIMEOUT', `the lock of job ${job.id} kept changing hands`)
  }

  /** Gives up the locks of a job that was removed before it started. */
  async removed(job: Job): Promise<void> {
    const carried = carriedBy(job)
    if (carried === null || carried.mode === 'untilExpired') return
    const { trigger, next } = namesOf(carried)
    await Promise.all([trigger, next].map(lock => this.#giveBack(lock, job.id as string)))
  }

  /** @throws DuplicateJobError when another job of this key is live in the queue */
  async #assertAlone(job: Job, carried: Carried): Promise<void> {
    const { deduplicated, lives } = this.#host
    const other = await deduplicated(carried.lock)
    const live = other === null || other === job.id ? undefined : await lives.own(other)
    if (live === undefined || live.finishedOn) return
    throw new DuplicateJobError({ job: jobNameOf(carried), ...sightingInQueue(live) })
  }

  async #addInQueue(trigger: Trigger): Promise<Unique<Job>> {
    const same = await this.#sameId(trigger)
    if (same !== null) return this.#met(trigger, same)
    const addition = inQueue(trigger)
    let job = await this.#put(trigger, addition)
    if (job.id !== trigger.jobId) {
      const step = await this.#triggers.until(trigger, async () => {
        const met = await metInQueue(this.#host.lives, trigger, job)
        if (met !== null) return met
        job = await this.#put(trigger, addition)
        return job.id === trigger.jobId ? addition : null
      })
      if (step.kind === 'met') return this.#met(trigger, step)
    }
    return await this.#added(trigger, addition, job)
  }

  async #decide(trigger: Trigger): Promise<Addition | Met> {
    try {
      return await this.#triggers.decide(trigger)
    } catch (error) {
      return this.#unguarded(trigger, error)
    }
  }

  async #tryTake(trigger: Trigger): Promise<Addition | null> {
    if (trigger.definition.scope === 'queue') return inQueue(trigger)
    try {
      return await this.#triggers.tryTake(trigger)
    } catch (error) {
      return this.#unguarded(trigger, error)
    }
  }

  #unguarded(trigger: Trigger, error: unknown): Addition {
    const down = error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE'
    if (!down || this.#host.onBackendFault === 'fail') throw error
    this.#fault('trigger', error, trigger.jobId)
    return this.#triggers.unasked(trigger, 'started', false)
  }

  /** BullMQ adds no second job under an id it knows, whatever became of the first. */
  async #sameId(trigger: Trigger): Promise<Met | null> {
    const { opts, jobId, owner, definition } = trigger
    const job = opts?.jobId === undefined ? undefined : await this.#host.lives.own(jobId)
    if (job === undefined) return null
    const seen = sighting(owner, parseOwner(owner), job)
    if (definition.strategy === 'reject') throw new DuplicateJobError({ job: definition.name, ...seen })
    return { kind: 'met', outcome: outcomeOf('duplicate', jobId, seen), job }
  }

  #met({ definition }: Trigger, { outcome, job }: Met): Unique<Job> {
    this.#host.singleton.count(definition.name, outcome.status)
    return { job, outcome }
  }

  async #add(trigger: Trigger, addition: Addition): Promise<Unique<Job>> {
    return await this.#added(trigger, addition, await this.#put(trigger, addition))
  }

  async #put(trigger: Trigger, addition: Addition): Promise<Job> {
    const { definition, data, opts, jobId } = trigger
    try {
      return await this.#host.add({ name: definition.name, data, opts: withCarried(opts, jobId, addition.carried) })
    } catch (error) {
      return await this.#afterFailure(trigger, addition, error)
    }
  }

  async #addTogether(
    items: readonly Item[],
    triggers: readonly (Trigger | null)[],
    taken: readonly (Addition | null)[],
    together: readonly number[],
  ): Promise<[number, Unique<Job>][]> {
    if (together.length === 0) return []
    const bulk = together.map(i => {
      const item = items[i] as Item
      const trigger = triggers[i] ?? null
      const carried = taken[i]?.carried
      return trigger === null || carried === undefined
        ? item
        : { ...item, opts: withCarried(item.opts, trigger.jobId, carried) }
    })
    let jobs: (Job | null)[]
    try {
      jobs = await this.#host.addBulk(bulk)
    } catch (error) {
      // Some may be there and some not.
      jobs = await Promise.all(
        together.map(async i => {
          const [trigger, addition] = [triggers[i] ?? null, taken[i] ?? null]
          return trigger === null || addition === null ? null : await this.#afterFailure(trigger, addition, null)
        }),
      )
      if (jobs.includes(null)) throw error
    }
    // What BullMQ turned away is looked at for itself.
    const there = together.flatMap((i, k) => {
      const job = jobs[k] as Job
      const turnedAway = triggers[i]?.definition.scope === 'queue' && job.id !== triggers[i]?.jobId
      return turnedAway ? [] : [{ i, job }]
    })
    return await Promise.all(
      there.map(async ({ i, job }): Promise<[number, Unique<Job>]> => {
        const [trigger, addition] = [triggers[i] ?? null, taken[i] ?? null]
        if (trigger === null || addition === null) return [i, { job, outcome: outcomeOf('started', job.id as string) }]
        return [i, await this.#added(trigger, addition, job)]
      }),
    )
  }

  async #added({ definition, jobId }: Trigger, addition: Addition, job: Job): Promise<Unique<Job>> {
    const { outcome, holds, after } = addition
    if (job.id !== jobId) {
      // BullMQ's own deduplication found another job.
      await this.#giveBack(holds, jobId)
      const met = outcomeOf('duplicate', job.id as string)
      this.#host.singleton.count(definition.name, 'duplicate')
      return { job, outcome: met }
    }
    if (after !== null) {
      try {
        await after()
      } catch (error) {
        // The worker that starts the job sees to it.
        this.#fault('trigger', error, jobId)
      }
    }
    this.#host.singleton.count(definition.name, outcome.status)
    return { job, outcome }
  }

  /** An `add` that failed may have been carried out: what is in the queue decides, and while it cannot be asked, nothing. */
  async #afterFailure(trigger: Trigger, { holds }: Addition, error: unknown): Promise<Job>
  async #afterFailure(trigger: Trigger, { holds }: Addition, error: null): Promise<Job | null>
  async #afterFailure({ jobId }: Trigger, { holds }: Addition, error: unknown): Promise<Job | null> {
    let job: Job | undefined
    try {
      job = await this.#host.lives.own(jobId)
    } catch (second) {
      this.#fault('add', second, jobId)
      if (error === null) return null
      throw error
    }
    if (job !== undefined && carriedBy(job) !== null) return job
    await this.#giveBack(holds, jobId)
    if (error === null) return null
    throw error
  }

  async #giveBack(holds: string | null, jobId: string): Promise<void> {
    if (holds === null) return
    try {
      await this.#host.solo.jobs.release(holds, queuedOwner(this.#host.qualifiedName, jobId))
    } catch (error) {
      // It is taken over after the grace time, since its job is not there.
      this.#fault('add', error, jobId)
    }
  }

  #fault(during: string, error: unknown, id: string): void {
    this.#host.singleton.emit('fault', { during, error, id })
  }
}
