import type { Job } from 'bullmq'
import { DuplicateJobError, jobLockNames, SoloistError } from '../../index.js'
import { type Carried, carriedBy, jobNameOf, namesOf } from './carried.js'
import { type Definition, invalid } from './definition.js'
import { newJobId } from './ids.js'
import { checkInQueue, inQueue, metInQueue, sightingInQueue } from './in-queue.js'
import { type Addition, type Met, outcomeOf, sighting, type Unique } from './outcome.js'
import { parseOwner, queuedOwner } from './owner.js'
import { type Decided, type Item, Placing, type PlacingHost } from './placing.js'
import { type Trigger, Triggers } from './trigger.js'

/** What a {@link Producer} needs of the queue it adds to. */
export interface ProducerHost extends PlacingHost {
  readonly definitions: ReadonlyMap<string, Definition>
  readonly graceMs: number
  readonly onBackendFault: 'fail' | 'enqueue'
  /** Which job holds a deduplication id of BullMQ's. */
  deduplicated(id: string): Promise<string | null>
}

/** Adds jobs that are unique: each takes its lock first, and goes into the queue with what a worker needs to know of it. */
export class Producer {
  readonly #host: ProducerHost
  readonly #triggers: Triggers
  readonly #placing: Placing

  constructor(host: ProducerHost) {
    this.#host = host
    this.#triggers = new Triggers(host)
    this.#placing = new Placing(host)
  }

  /** @returns whether jobs of this name are singletons */
  has(name: string): boolean {
    return this.#host.definitions.has(name)
  }

  async addUnique(item: Item): Promise<Unique<Job>> {
    const trigger = this.trigger(item)
    if (trigger.definition.scope === 'queue') return await this.#addInQueue(trigger)
    const step = (await this.#sameId(trigger)) ?? (await this.#decide(trigger))
    return step.kind === 'add' ? await this.#placing.add({ trigger, addition: step }) : this.#met(trigger, step)
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
    const together = items.flatMap((item, i): { readonly i: number; readonly job: Decided | Item }[] => {
      const [trigger, addition] = [triggers[i] ?? null, taken[i] ?? null]
      if (trigger === null) return [{ i, job: item }]
      return addition === null ? [] : [{ i, job: { trigger, addition } }]
    })
    const placed = await this.#placing.addTogether(together.map(({ job }) => job))
    const results: Unique<Job>[] = []
    for (const [k, { i }] of together.entries()) {
      const added = placed[k] ?? null
      if (added !== null) results[i] = added
    }
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
    await Promise.all([trigger, next].map(lock => this.#placing.giveBack(lock, job.id as string)))
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
    let job = await this.#placing.put({ trigger, addition })
    if (job.id !== trigger.jobId) {
      const step = await this.#triggers.until(trigger, async () => {
        const met = await metInQueue(this.#host.lives, trigger, job)
        if (met !== null) return met
        job = await this.#placing.put({ trigger, addition })
        return job.id === trigger.jobId ? addition : null
      })
      if (step.kind === 'met') return this.#met(trigger, step)
    }
    return await this.#placing.added({ trigger, addition }, job)
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
    this.#host.singleton.emit('fault', { during: 'trigger', error, id: trigger.jobId })
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
}
