import type { Job } from 'bullmq'
import { DuplicateJobError, LockTimeoutError, type Soloist } from '../../index.js'
import { checkStrategy } from '../../internal/job-modes.js'
import { monotonicMs, sleep } from '../../internal/real-time.js'
import { type Carried, canLockWhenAdded, carriedBy, runsAlone } from './carried.js'
import type { SingletonStrategy } from './definition.js'
import type { Life, Lives } from './life.js'
import { type Addition, type Met, outcomeOf, type Sighting, sighting } from './outcome.js'
import { marked, parseOwner, queuedOwner, SET_MARK } from './owner.js'
import type { Trigger } from './trigger.js'

/** What a trigger needs of the queue it is made on. */
export interface TriggerHost {
  readonly solo: Soloist
  readonly lives: Lives
  readonly graceMs: number
}

type Live = Extract<Life, { state: 'live' }>
/** `null`: the lock or its job has changed meanwhile; look again. */
type Step = Addition | Met | null

const FIRST_PAUSE_MS = 5
const LONGEST_PAUSE_MS = 100
/** How long a trigger goes on when others keep changing what it sees, beyond the grace time. */
const PATIENCE_MS = 30_000
const MERGE_TTL_MS = 10_000
/** How many jobs a new one may be known to replace. */
const LONGEST_CHAIN = 20

/** Takes a trigger's lock, or finds out what to do about who holds it. Adds nothing. */
export class Triggers {
  readonly #host: TriggerHost

  constructor(host: TriggerHost) {
    this.#host = host
  }

  /**
   * @param holder who is known to hold the trigger lock, if anybody is
   * @throws SoloistError `DUPLICATE_JOB`, `BACKEND_UNAVAILABLE`, or `LOCK_TIMEOUT` when others kept changing what it saw
   */
  async decide(trigger: Trigger, holder?: string): Promise<Addition | Met> {
    let known = holder
    return await this.until(trigger, async () => {
      const step = await this.#look(trigger, known)
      known = undefined
      return step
    })
  }

  /** What to add if the lock is taken in the step that adds it; `null` when it is to be taken before. */
  together(trigger: Trigger): Addition | null {
    const { definition, jobId, names, opts } = trigger
    // A job whose id is the caller's may be there already.
    if (opts?.jobId || !canLockWhenAdded(definition.mode)) return null
    const carried = this.#carried(trigger)
    return { kind: 'add', outcome: outcomeOf('started', jobId), carried, holds: names.trigger, after: null }
  }

  /**
   * For a job of a flow, which cannot be left out: takes the lock, or lets the job wait for the live one, unless its strategy
   * is `reject`.
   *
   * @throws as {@link Triggers.decide}
   */
  async inFlow(trigger: Trigger): Promise<Addition> {
    if (trigger.definition.mode === 'whileExecuting') return this.unasked(trigger, 'started', true)
    return await this.until(trigger, () =>
      this.#lookAtTrigger(trigger, async (holder, live) => {
        const seen = sighting(holder, live.owner, live.job)
        const rejects = trigger.definition.strategy === 'reject'
        if (rejects) throw new DuplicateJobError({ job: trigger.definition.name, ...seen })
        return { ...this.unasked(trigger, 'deferred', true), outcome: outcomeOf('deferred', trigger.jobId, seen) }
      }),
    )
  }

  /** Looks again as long as the lock and its job change between two steps. */
  async until<S>(trigger: Trigger, look: () => Promise<S | null>): Promise<S> {
    const longestMs = this.#host.graceMs + PATIENCE_MS
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const step = await look()
      if (step !== null) return step
      const waitedMs = monotonicMs() - trigger.sinceMs
      if (waitedMs > longestMs) {
        const bound = `${longestMs} ms (graceMs + ${PATIENCE_MS})`
        throw new LockTimeoutError({ lockName: trigger.names.trigger, holder: null, waitedMs, bound })
      }
      await sleep(pauseMs * (0.5 + Math.random()))
    }
  }

  /** Takes the trigger lock if it is free; `null` when the trigger has to be decided. */
  async tryTake(trigger: Trigger): Promise<Addition | null> {
    if (trigger.definition.mode === 'whileExecuting') return null
    const taken = await this.#take(trigger)
    return taken.status === 'granted' ? started(trigger, this.#holding(trigger, taken.fence), 'started') : null
  }

  /** Puts a trigger in the queue without looking for a live job: the worker waits for that when the job starts. */
  unasked(trigger: Trigger, status: 'started' | 'deferred', guaranteed: boolean): Addition {
    const carried: Carried = { ...this.#carried(trigger), part: 'waiter' }
    return {
      kind: 'add',
      outcome: outcomeOf(status, trigger.jobId, null, guaranteed),
      carried,
      holds: null,
      after: null,
    }
  }

  async #look(trigger: Trigger, known?: string): Promise<Step> {
    const { definition, names } = trigger
    if (definition.mode === 'whileExecuting') {
      const running = await this.#host.solo.jobs.holder(names.run)
      if (running === null) return this.unasked(trigger, 'started', true)
      const life = await this.#host.lives.of(names.run, running.owner)
      const owner = parseOwner(running.owner)
      // A run is over when its lease is, and not before.
      const job = 'job' in life ? life.job : null
      return await this.#conflict(trigger, names.run, running.owner, { state: 'live', owner, job })
    }
    const conflict = (holder: string, live: Live) => this.#conflict(trigger, names.trigger, holder, live)
    return await this.#lookAtTrigger(trigger, conflict, known)
  }

  async #lookAtTrigger<S>(
    trigger: Trigger,
    conflict: (holder: string, live: Live) => Promise<S | null>,
    known?: string,
  ): Promise<Addition | S | null> {
    const taken = known ? ({ status: 'busy', holder: known } as const) : await this.#take(trigger)
    if (taken.status === 'granted') return started(trigger, this.#holding(trigger, taken.fence), 'started')
    if (taken.holder === null) return null
    const life = await this.#host.lives.of(trigger.names.trigger, taken.holder)
    if (life.state === 'live') return await conflict(taken.holder, life)
    if (life.state !== 'over') return null
    const over = await this.#take(trigger, taken.holder)
    if (over.status === 'busy') return null
    return started(trigger, this.#holding(trigger, over.fence), life.died ? 'recovered' : 'started')
  }

  /** Does what the strategy says about the live job that holds `lock`. */
  async #conflict(trigger: Trigger, lock: string, holder: string, live: Live): Promise<Step> {
    const seen = sighting(holder, live.owner, live.job)
    const strategy = await this.#strategy(trigger, seen)
    switch (strategy) {
      case 'join':
        return { kind: 'met', outcome: outcomeOf('duplicate', seen.id, seen), job: live.job }
      case 'skip':
        return { kind: 'met', outcome: outcomeOf('duplicate', seen.id, seen), job: null }
      case 'reject':
        throw new DuplicateJobError({ job: trigger.definition.name, ...seen })
      case 'delay': {
        const { carried } = this.unasked(trigger, 'deferred', true)
        return { kind: 'add', outcome: outcomeOf('deferred', trigger.jobId, seen), carried, holds: null, after: null }
      }
      case 'rerun': {
        const waits = lock === trigger.names.trigger && live.owner?.mark === null ? live.job : null
        if (waits === null || carriedBy(waits)?.mutable !== true) return await this.#follow(trigger, 'deferred', seen)
        if (!(await this.#update(trigger, waits, lock, holder))) return null
        return { kind: 'met', outcome: outcomeOf('duplicate', seen.id, seen), job: waits }
      }
      case 'replace':
        return await this.#replace(trigger, lock, holder, live, seen)
    }
  }

  /** Takes the lock `next` of the one follow-up, or changes the data of the job that has it. */
  async #follow(trigger: Trigger, status: 'deferred' | 'replaced', seen: Sighting): Promise<Step> {
    const { names, owner, jobId } = trigger
    const { jobs } = this.#host.solo
    const added = (): Addition => ({
      kind: 'add',
      outcome: outcomeOf(status, jobId, seen),
      carried: { ...this.#carried(trigger), part: 'follower' },
      holds: names.next,
      after: null,
    })
    const taken = await jobs.take(names.next, owner)
    if (taken.status === 'granted') return added()
    if (taken.holder === null) return null
    const life = await this.#host.lives.of(names.next, taken.holder)
    if (life.state === 'over') {
      const over = await jobs.take(names.next, owner, { replaces: taken.holder })
      return over.status === 'granted' ? added() : null
    }
    if (life.state !== 'live' || life.job === null) return null
    if (!(await this.#update(trigger, life.job, names.next, taken.holder))) return null
    return { kind: 'met', outcome: outcomeOf(status, life.job.id as string, seen), job: life.job }
  }

  /**
   * Gives a job that has not started newer data. It counts if `lock` is still with `holder` afterwards: a worker lets go of
   * it, or marks it, before it reads the data once more and runs.
   */
  async #update({ definition, data, names }: Trigger, job: Job, lock: string, holder: string): Promise<boolean> {
    const { solo, lives } = this.#host
    const write = async (to: Job, newer: unknown) => {
      try {
        await to.updateData(newer)
      } catch (error) {
        if ((await this.#again(to)) === null) return false
        throw error
      }
      return (await solo.jobs.holder(lock))?.owner === holder
    }
    if (definition.merge === null) return await write(job, data)
    const { merge } = definition
    return await solo.withLock(`merge:${names.trigger}`, { ttlMs: MERGE_TTL_MS }, async lease => {
      const present = await this.#again(job)
      if (present === null || (await lives.of(lock, holder)).state !== 'live') return false
      const merged = merge(present.data, data)
      lease.assertValid()
      return await write(present, merged)
    })
  }

  async #replace(trigger: Trigger, lock: string, holder: string, live: Live, seen: Sighting): Promise<Step> {
    const { definition, names } = trigger
    const { owner, job } = live
    if (lock === names.run) {
      if (!definition.stops) return await this.#follow(trigger, 'replaced', seen)
      // The trigger lock says, in this mode, who wants the present run to stop.
      const taken = await this.#take(trigger)
      if (taken.status === 'granted') return this.#inPlace(trigger, taken.fence, seen, null)
      if (taken.holder === null) return null
      const life = await this.#host.lives.of(names.trigger, taken.holder)
      if (life.state !== 'live' && life.state !== 'over') return null
      return await this.#displace(trigger, taken.holder, life.state === 'live' ? life.job : null, seen)
    }
    if (owner === null) return await this.#follow(trigger, 'replaced', seen)
    // What belongs to a flow cannot be taken out of it.
    const bound = job !== null && (job.parentKey !== undefined || (await job.isWaitingChildren()))
    if (bound && definition.mode !== 'untilExpired') return await this.#follow(trigger, 'replaced', seen)
    const active = job !== null && !job.finishedOn && (await job.isActive())
    if (definition.mode === 'untilExecuted' && active && !definition.stops) {
      return await this.#follow(trigger, 'replaced', seen)
    }
    // Where runs do not exclude each other, one that has started is left alone.
    const alone = bound || (definition.mode === 'untilExpired' && (active || job?.finishedOn))
    return await this.#displace(trigger, holder, alone ? null : job, seen)
  }

  /** Takes the trigger lock from `holder`, and removes its job, if there is one to remove, once this one is there. */
  async #displace(trigger: Trigger, holder: string, job: Job | null, seen: Sighting): Promise<Step> {
    const taken = await this.#take(trigger, holder)
    if (taken.status === 'busy') return null
    if (job === null) return this.#inPlace(trigger, taken.fence, seen, null)
    const before = carriedBy(job)?.replaces ?? []
    const replaces = [queuedOwner(job.queueQualifiedName, job.id as string), ...before].slice(0, LONGEST_CHAIN)
    return this.#inPlace(trigger, taken.fence, seen, { replaces, removed: job })
  }

  #inPlace(
    trigger: Trigger,
    fence: number,
    seen: Sighting,
    old: { readonly replaces: readonly string[]; readonly removed: Job } | null,
  ): Addition {
    const { carried, holds, after } = this.#holding(trigger, fence)
    return {
      kind: 'add',
      outcome: outcomeOf('replaced', trigger.jobId, seen),
      carried: old === null ? carried : { ...carried, replaces: old.replaces },
      holds,
      after: async () => {
        if (old !== null) await removeQueued(old.removed)
        await after?.()
      },
    }
  }

  async #strategy({ definition, data }: Trigger, { id, state, ageMs }: Sighting): Promise<SingletonStrategy> {
    const { strategy, name } = definition
    if (typeof strategy !== 'function') return strategy
    return checkStrategy('what onDuplicate returned', await strategy({ name, id, state, ageMs, data }))
  }

  async #take({ definition, names, owner }: Trigger, replaces?: string): ReturnType<Soloist['jobs']['take']> {
    return await this.#host.solo.jobs.take(names.trigger, owner, { ttlMs: definition.expiryMs, replaces })
  }

  #holding(trigger: Trigger, fence: number): Pick<Addition, 'carried' | 'holds' | 'after'> {
    const { definition, names, owner, sinceMs } = trigger
    const { expiryMs, mode } = definition
    const after = async () => {
      // With this owner the lock stands until it expires, whatever becomes of the job.
      const leftMs = (expiryMs ?? 0) - (monotonicMs() - sinceMs)
      if (leftMs < 1) return
      await this.#host.solo.jobs.take(names.trigger, marked(owner, SET_MARK), { ttlMs: leftMs, replaces: owner })
    }
    return {
      carried: runsAlone(mode) ? this.#carried(trigger) : { ...this.#carried(trigger), fence },
      holds: names.trigger,
      after: expiryMs === null ? null : after,
    }
  }

  #carried({ definition, names }: Trigger): Carried {
    const { mode, strategy, expiryMs, stops } = definition
    const chooses = typeof strategy === 'function'
    const merges = chooses || strategy === 'rerun'
    const follows = merges || strategy === 'replace'
    const carried: { -readonly [field in keyof Carried]: Carried[field] } = { lock: names.trigger, mode }
    if (expiryMs !== null) carried.expiryMs = expiryMs
    if (merges && mode !== 'whileExecuting') carried.mutable = true
    if (follows) carried.followed = true
    if (stops) carried.stoppable = true
    return carried
  }

  /** The job as it is now, or `null` when it is gone or has finished. */
  async #again(job: Job): Promise<Job | null> {
    const owner = parseOwner(queuedOwner(job.queueQualifiedName, job.id as string))
    const found = owner === null ? null : await this.#host.lives.find(owner)
    return found === null || found === 'elsewhere' || found.finishedOn ? null : found
  }
}

function started(
  { jobId }: Trigger,
  held: Pick<Addition, 'carried' | 'holds' | 'after'>,
  status: 'started' | 'recovered',
): Addition {
  return { kind: 'add', outcome: outcomeOf(status, jobId), ...held }
}

/**
 * Removes a job that has not started. One that was picked up meanwhile cannot be removed; it finds that its place was
 * taken when it starts.
 *
 * @returns whether it was removed
 */
export async function removeQueued(job: Job): Promise<boolean> {
  if (job.finishedOn) return false
  // It may have started or ended since it was read, and what has ended is kept.
  const state = await job.getState()
  if (state === 'active' || state === 'completed' || state === 'failed') return false
  try {
    await job.remove()
    return true
  } catch {
    // Either the job cannot be removed now, or the queue does not answer: then this call fails as well.
    await job.getState()
    return false
  }
}
