import type { Job } from 'bullmq'
import { DuplicateJobError, SoloistError } from '../../index.js'
import { monotonicMs } from '../../internal/real-time.js'
import { type Carried, carriedBy, jobNameOf, namesOf } from './carried.js'
import { type Definition, invalid } from './definition.js'
import { type Addition, type Met, outcomeOf, sighting } from './outcome.js'
import { parseOwner, queuedOwner } from './owner.js'
import { type Decided, type Item, Placing, type PlacingHost } from './placing.js'
import { Trigger } from './trigger.js'
import { Triggers } from './triggers.js'

/** What a {@link Producer} needs of the queue it adds to. */
export interface ProducerHost<A> extends PlacingHost<A> {
  readonly definitions: ReadonlyMap<string, Definition>
  readonly graceMs: number
  readonly onBackendFault: 'fail' | 'enqueue'
}

/**
 * Adds jobs that are unique: each takes its lock, before it goes into the queue or in the step that puts it there, and carries
 * what a worker needs to know of it.
 */
export class Producer<A> {
  readonly #host: ProducerHost<A>
  readonly #triggers: Triggers
  readonly #placing: Placing<A>

  constructor(host: ProducerHost<A>) {
    this.#host = host
    this.#triggers = new Triggers(host)
    this.#placing = new Placing(host)
  }

  /** What a job of the queue is to be added by in place of `runner`, where it takes its lock in the same step. */
  through<R>(runner: R, jobId: string | undefined): R {
    return this.#host.oneStep?.through(runner, jobId) ?? runner
  }

  /** @returns whether jobs of this name are singletons */
  has(name: string): boolean {
    return this.#host.definitions.has(name)
  }

  /** @throws SoloistError `INVALID_ARGUMENT` when they are not */
  assertHas(name: string): Definition {
    const definition = this.#host.definitions.get(name)
    if (definition === undefined) throw invalid(`there are no singleton options for jobs named ${JSON.stringify(name)}`)
    return definition
  }

  /** @throws SoloistError at once for what cannot be taken; what it returns rejects with all else */
  add(item: Item): Promise<A> {
    const trigger = this.trigger(item)
    const addition = this.#together(trigger)
    if (addition === null) return this.#inTwoSteps(trigger)
    return this.#placing.addTakingLock({ trigger, addition }, holder => this.#inTwoSteps(trigger, holder))
  }

  /**
   * In the order of the items; those whose key is free are added in one call. What one item fails with is thrown after
   * the others were added.
   */
  async addBulk(items: readonly Item[]): Promise<A[]> {
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
      if (triggers[i] === null) return [{ i, job: item }]
      const decided = taken[i] ?? null
      return decided === null ? [] : [{ i, job: decided }]
    })
    const placed = await this.#placing.addTogether(together.map(({ job }) => job))
    const answers = new Map<number, A>()
    for (const [k, { i }] of together.entries()) {
      const added = placed[k] ?? null
      if (added !== null) answers.set(i, added.answer)
    }
    const refusals: unknown[] = []
    for (const [i, item] of items.entries()) {
      if (answers.has(i)) continue
      try {
        answers.set(i, await this.add(item))
      } catch (error) {
        refusals.push(error)
      }
    }
    if (refusals.length > 0) throw refusals[0]
    return items.map((_, i) => answers.get(i) as A)
  }

  trigger({ name, data, opts }: Item): Trigger {
    return new Trigger(this.assertHas(name), this.#host.qualifiedName, data, opts)
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
    const sinceMs = monotonicMs()
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
    } while (monotonicMs() - sinceMs < graceMs)
    throw new SoloistError('LOCK_TIMEOUT', `the lock of job ${job.id} kept changing hands`)
  }

  /** Gives up the locks of a job that was removed before it started. */
  async removed(job: Job): Promise<void> {
    const carried = carriedBy(job)
    if (carried === null || carried.mode === 'untilExpired') return
    const { trigger, next } = namesOf(carried)
    await Promise.all([trigger, next].map(lock => this.#placing.giveBack(lock, job.id as string)))
  }

  /** @param holder who is known to hold the trigger lock, if anybody is */
  async #inTwoSteps(trigger: Trigger, holder?: string): Promise<A> {
    const step = (await this.#sameId(trigger)) ?? (await this.#decide(trigger, holder))
    if (step.kind === 'add') return await this.#placing.add({ trigger, addition: step })
    return this.#placing.answer(trigger, step.job, step.outcome)
  }

  #together(trigger: Trigger): Addition | null {
    return this.#placing.inOneStep(trigger) ? this.#triggers.together(trigger) : null
  }

  async #decide(trigger: Trigger, holder: string | undefined): Promise<Addition | Met> {
    try {
      return await this.#triggers.decide(trigger, holder)
    } catch (error) {
      return this.#unguarded(trigger, error)
    }
  }

  /** Takes the lock if it is free, or is to take it in the step that adds the job; `null` when it has to be decided. */
  async #tryTake(trigger: Trigger): Promise<Decided | null> {
    const together = this.#together(trigger)
    if (together !== null) return { trigger, addition: together, together: true }
    try {
      const addition = await this.#triggers.tryTake(trigger)
      return addition === null ? null : { trigger, addition }
    } catch (error) {
      return { trigger, addition: this.#unguarded(trigger, error) }
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
}
