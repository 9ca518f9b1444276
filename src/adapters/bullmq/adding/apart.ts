import type { Job } from 'bullmq'
import { LockTimeoutError } from '../../../errors.js'
import type { JobLocks, JobStrategy, Seen, SeenRun, TriggerAction } from '../../../index.js'
import { isGated } from '../../../internal/job-decision.js'
import { monotonicMs, sleep } from '../../../internal/real-time.js'
import type { Answer, SeenJob } from '../fused/answer.js'
import type { Life, Lives } from '../lock/lives.js'
import { neverBegan, releaseNeverBegun } from '../lock/never-begun.js'
import { parseOwner } from '../lock/owner.js'
import type { Actions } from './actions.js'
import type { Trigger } from './trigger.js'

const FIRST_PAUSE_MS = 5
const LONGEST_PAUSE_MS = 100
/** How long a trigger goes on when others keep changing what it sees, beyond the grace time. */
const PATIENCE_MS = 30_000
/** A worker of ours begins a run when it takes a job up, within this time; others note that it has begun some seconds later. */
const BEGUN_BY_ITSELF_MS = 3_000
const MOST_STRANGE = 1_000
const NOBODY = { running: null, pending: null, waiting: null }

/** The trigger is to be made again. */
interface Again {
  /** An owner to trigger without; `null`: one whose job may still come. */
  readonly over: string | null
  /** Its job is gone. */
  readonly gone?: boolean
  /** Under another id. */
  readonly fresh?: boolean
}

/** It depends on others what the trigger comes to: it is to be made again once the other jobs of its call are in the queue. */
export const LATER: unique symbol = Symbol('later')

/** One of several jobs that are added by one call. */
export interface Beside {
  /** The owners of all that have asked for a lock: their jobs will come into the queue together. */
  readonly coming: Set<string>
  /** How many before it in the call have the same lock. */
  readonly before: number
}

/** What a trigger came to, and under which id. */
export interface Triggered {
  readonly trigger: Trigger
  readonly answer: Answer
}

export interface ApartHost {
  readonly locks: JobLocks
  readonly lives: Lives
  /** How long a job may take to appear in its queue after its lock was taken. */
  readonly graceMs: number
}

/**
 * The steps of a job's lock as calls of their own: where the locks are elsewhere than the queue, or its scripts cannot be run
 * within ours. It takes its lock, or a place in its queue; then the job is added. What a trigger comes to differs where others get
 * between these steps: docs/adapters/bullmq.md says how.
 */
export class Apart {
  readonly #host: ApartHost
  /** By owner: whether a run begins that a worker has in hand. */
  readonly #beginning = new Map<string, Promise<boolean>>()
  /** By trigger that was put off: the run with which it has left its data, and whose job may still come. */
  readonly #left = new WeakMap<Trigger, Life>()
  /** Owners whose jobs are run by a worker that knows nothing of locks. */
  readonly #strange = new Set<string>()

  constructor(host: ApartHost) {
    this.#host = host
  }

  /**
   * @param beside where it is one of several jobs of a call: it never waits then
   * @returns what is to be done with the job: with `granted` and `queued` it is to be added
   */
  async trigger(first: Trigger, strategy: JobStrategy, actions: Actions): Promise<Triggered>
  async trigger(
    first: Trigger,
    strategy: JobStrategy,
    actions: Actions,
    beside: Beside | null,
  ): Promise<Triggered | typeof LATER>
  async trigger(
    first: Trigger,
    strategy: JobStrategy,
    actions: Actions,
    beside: Beside | null = null,
  ): Promise<Triggered | typeof LATER> {
    let trigger = first
    const longestMs = this.#host.graceMs + PATIENCE_MS
    let recovered = false
    let without: string | null = null
    const left = this.#left.get(trigger)
    if (left !== undefined) {
      this.#left.delete(trigger)
      const came = await this.#comes(trigger.lock, left)
      if (came === true) {
        const pending = await this.#host.lives.of(trigger.lock, left.owner, left.ageMs)
        const id = left.parsed?.jobId ?? left.owner
        return { trigger, answer: { course: 'noted', id, ...NOBODY, pending, recovered: false } }
      }
      recovered = came === false
    }
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const look = await this.#once(trigger, strategy, actions, without, beside)
      if (look === LATER) return LATER
      if (!('over' in look)) {
        const told = { trigger, answer: { ...look, recovered: look.recovered || recovered } }
        if (look.course !== 'noted' || (await this.#tellsRun(trigger.lock, look.pending as Life | null))) return told
        // What was left with that run is lost: another one is to follow.
        trigger = trigger.underFreshId()
        continue
      }
      without = look.over
      if (look.fresh === true) {
        trigger = trigger.underFreshId()
        continue
      }
      if (look.gone) recovered = true
      if (without !== null) continue
      if (beside !== null) return LATER
      const waitedMs = monotonicMs() - trigger.sinceMs
      if (waitedMs > longestMs) {
        const bound = `${longestMs} ms (graceMs + ${PATIENCE_MS})`
        throw new LockTimeoutError({ lockName: trigger.lock, holder: null, waitedMs, bound })
      }
      await sleep(pauseMs * (0.5 + Math.random()))
    }
  }

  /**
   * Whether a run begins that a note was left with. One of our workers begins it as soon as it has the job in hand. A job that a
   * worker has in hand which knows nothing of locks is noted to have begun without.
   */
  async #tellsRun(lock: string, run: Life | null): Promise<boolean> {
    if (run === null || !run.active) return true
    let beginning = this.#beginning.get(run.owner)
    if (beginning === undefined) {
      beginning = this.#begins(lock, run).finally(() => this.#beginning.delete(run.owner))
      this.#beginning.set(run.owner, beginning)
    }
    return await beginning
  }

  async #begins(lock: string, { owner }: Life): Promise<boolean> {
    const { locks, lives } = this.#host
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const life = await lives.of(lock, owner, null)
      const state = await locks.inspect(lock)
      const takenAtMs = life.job?.processedOn ?? 0
      if (state?.pending?.owner !== owner) {
        if (await neverBegan(locks, lock, owner)) return false
        // After so long it was rather another trigger that noted it to have begun.
        return life.over || Date.now() - takenAtMs < BEGUN_BY_ITSELF_MS
      }
      // It has ended, and never begun.
      if (life.over) return false
      if (!life.active) return true
      if (life.strange) {
        await this.#beginStrange(lock, owner)
        return false
      }
      await sleep(pauseMs * (0.5 + Math.random()))
    }
  }

  /** A worker that knows nothing of locks runs the job: its run is noted to have begun. */
  async #beginStrange(lock: string, owner: string): Promise<void> {
    if (this.#strange.size >= MOST_STRANGE) this.#strange.clear()
    this.#strange.add(owner)
    await this.#host.locks.begin(lock, owner)
  }

  async #once(
    trigger: Trigger,
    strategy: JobStrategy,
    actions: Actions,
    without: string | null,
    beside: Beside | null,
  ): Promise<Answer | Again | typeof LATER> {
    const { definition, lock, owner, jobId, data, meta } = trigger
    const { locks } = this.#host
    const before = await this.#before(trigger, strategy, actions)
    if ('course' in before || 'over' in before) return before
    // It takes the place of a job that has to be in the queue first.
    if (strategy === 'replace' && beside !== null && beside.before > 0) return LATER
    beside?.coming.add(owner)
    const told = await locks.trigger(lock, owner, {
      running: before.running,
      pending: before.pending,
      note: actions.begins || strategy === 'rerun' ? JSON.stringify(data ?? {}) : null,
      begins: actions.begins,
      debounce: definition.debounce,
      without: without ?? before.without,
      limit: definition.limit,
      ttlMs: definition.expiryMs,
      meta: meta === '' ? undefined : meta,
    })
    // An earlier trigger with this id was, perhaps. This one is another.
    if (told.status === 'displaced' && (trigger.hasOwnId || told.by === '')) return { over: null, fresh: true }
    if (told.status === 'displaced') {
      return { course: 'met', id: parseOwner(told.by)?.jobId ?? told.by, ...NOBODY, recovered: false }
    }
    const [running, seenPending, waiting] = await this.#livesOf(trigger, told.seen, beside)
    // An answer that was lost has told whose place it took; the next does not.
    const taken = told.status === 'granted' || told.status === 'busy'
    const unseen = taken && seenPending === null && before.waits !== null && before.waits !== owner
    const pending = unseen ? await this.#displacedBefore(lock, before.waits) : seenPending
    const seen = { running: before.replaced ?? running, pending, waiting }
    if (told.status === 'granted') {
      // With a limit there may have been room beside it.
      const displaced = definition.limit !== null && !told.pending ? null : pending
      if (before.pending === 'displace' && displaced?.job) await removed(displaced.job)
      return { course: 'granted', id: jobId, ...seen, pending: displaced, recovered: false }
    }
    // A worker that had it in hand may have found already that its place was taken.
    const displaced = told.status === 'busy' && before.pending === 'displace' && pending?.job ? pending : null
    if (displaced !== null) seen.pending = { ...displaced, state: 'queued' }
    for (const life of [running, pending]) {
      if (life?.over !== true || life === displaced) continue
      if (told.status === 'met' && told.noted !== null && told.noted !== life.owner) {
        // What the trigger left is with another run, and must not be left once more: whoever ran before gives the lock up here.
        if (!isYoung(life, this.#host.graceMs)) await locks.release(lock, life.owner)
        continue
      }
      const young = isYoung(life, this.#host.graceMs)
      if (young && told.status === 'met' && told.noted === life.owner) {
        if (beside !== null) {
          this.#left.set(trigger, life)
          return LATER
        }
        const came = await this.#comes(lock, life)
        if (came === true) break
        return { over: null, gone: came === false }
      }
      if (young && told.status === 'met') return { over: null }
      if (young) break
      if (life === pending) {
        // It has ended, or is gone. With a worker of ours it had begun before, with what was left with it.
        const unbegun = (await locks.inspect(lock))?.pending?.owner === life.owner
        if (unbegun) await releaseNeverBegun(locks, lock, life.owner)
        const noted = told.status === 'met' && told.noted === life.owner && life.job !== null
        if (noted && !unbegun && !(await neverBegan(locks, lock, life.owner))) break
      }
      return { over: life.owner, gone: life.job === null }
    }
    if (told.status === 'busy') {
      if (displaced?.over === false) await removed(displaced.job as Job)
      return { course: 'queued', id: jobId, ...seen, recovered: false }
    }
    const by =
      told.noted === null
        ? metBy(definition.mode, seen)
        : ([pending, running].find(life => life?.owner === told.noted) ?? null)
    if (by === null && told.noted === null) return { over: null }
    return {
      course: told.noted === null ? 'met' : 'noted',
      id: by?.parsed?.jobId ?? told.noted ?? by?.owner ?? '',
      ...seen,
      recovered: false,
    }
  }

  /** What becomes of the jobs that a trigger met; it does not count as one itself. */
  async #livesOf(
    { lock, owner }: Trigger,
    { running, pending, waiting }: Seen,
    beside: Beside | null,
  ): Promise<readonly [Life | null, Life | null, Life | null]> {
    if (running === null && pending === null && waiting === null) return [null, null, null]
    const lifeOf = (run: SeenRun | null) => {
      if (run === null || run.owner === owner) return null
      return beside?.coming.has(run.owner) ? lifeToCome(run) : this.#host.lives.of(lock, run.owner, run.ageMs)
    }
    const [runs, waits, next] = await Promise.all([lifeOf(running), lifeOf(pending), lifeOf(waiting)])
    // A run that takes long is one of ours, unless it was seen not to begin.
    const strange = runs?.strange === true && this.#strange.has(runs.owner)
    return [runs && { ...runs, strange }, notBegun(waits), notBegun(next)]
  }

  /**
   * Waits for the job of a pending run, within the grace time. A run whose job does not come is given up.
   *
   * @returns whether it came, or has begun; `null` when others gave it up, or may have, with all that was left with it
   */
  async #comes(lock: string, { owner, ageMs }: Life): Promise<boolean | null> {
    const { locks, lives, graceMs } = this.#host
    const untilMs = monotonicMs() + graceMs - (ageMs ?? 0)
    let held = false
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      await sleep(pauseMs * (0.5 + Math.random()))
      if ((await lives.of(lock, owner, null)).job !== null) return true
      const state = await locks.inspect(lock)
      held ||= state?.holders.some(holder => holder.owner === owner) === true
      // Word is left of a run that had the lock. Of one that waited there is no telling.
      if (state?.pending?.owner !== owner) return held && !(await neverBegan(locks, lock, owner)) ? true : null
      if (monotonicMs() <= untilMs) continue
      await releaseNeverBegun(locks, lock, owner)
      return false
    }
  }

  /** What has to be known of the live job before the trigger is made. */
  async #before(
    { definition, lock, owner, jobId }: Trigger,
    strategy: JobStrategy,
    { running, pending }: Actions,
  ): Promise<
    | {
        running: TriggerAction
        pending: TriggerAction
        without: string | null
        replaced: SeenJob | null
        /** Whose place it may take. */
        waits: string | null
      }
    | Answer
    | Again
  > {
    let as = { running, pending, without: null, replaced: null, waits: null as string | null }
    const { locks, lives } = this.#host
    if (definition.mode === 'whileExecuting') {
      // Any number may be queued: only what runs is in the way, and the one that follows it.
      const state = await locks.inspect(lock)
      const busy = (state?.holding ?? 0) >= (definition.limit ?? 1)
      const [holder] = state?.holders ?? []
      if (!busy || holder === undefined) return { course: 'granted', id: jobId, ...NOBODY, recovered: false }
      if (running !== 'wait') return as
      const life = await lives.of(lock, holder.owner, null)
      if (life.over) return { over: holder.owner, gone: life.job === null }
      return { course: 'queued', id: jobId, ...NOBODY, running: life, recovered: false }
    }
    if (strategy !== 'replace') return as
    const state = await locks.inspect(lock)
    as = { ...as, waits: state?.pending?.owner ?? null }
    const [holder] = state?.holders ?? []
    const isPending = state?.pending != null && holder?.owner === state.pending.owner
    if (holder === undefined || holder.owner === owner || isPending || definition.limit !== null) {
      const life = state?.pending ? await lives.of(lock, state.pending.owner, null) : null
      // What belongs to a flow cannot be taken out of it; what a worker has in hand that knows nothing of locks has begun.
      if (life?.active && life.strange) await this.#beginStrange(lock, life.owner)
      else if (life?.job && (life.active || (await isBound(life.job)))) await locks.begin(lock, life.owner)
      const isFull = definition.limit !== null && (state?.holding ?? 0) >= definition.limit
      const running = isFull && definition.stops ? state?.holders.find(one => one.owner !== life?.owner) : undefined
      if (running && (await lives.of(lock, running.owner, null)).active) await locks.take(`${lock}:stop`, running.owner)
      return as
    }
    const life = await lives.of(lock, holder.owner, null)
    if (life.job === null || (definition.mode !== 'untilExpired' && (life.active || (await isBound(life.job))))) {
      if (life.active && definition.stops) await locks.take(`${lock}:stop`, holder.owner)
      return definition.mode === 'untilExpired'
        ? { ...as, without: holder.owner, replaced: { ...life, strange: false } }
        : as
    }
    if (life.state !== 'finished' && !life.active && !(await isBound(life.job))) await removed(life.job)
    return { ...as, without: holder.owner, replaced: { ...life, strange: false } }
  }

  /** @returns a job that was pending when it was looked at, and has no place any more; `null`: it has, or has begun */
  async #displacedBefore(lock: string, owner: string | null): Promise<Life | null> {
    if (owner === null) return null
    const state = await this.#host.locks.inspect(lock)
    const has = [...(state?.holders ?? []), ...(state?.waiters ?? [])].some(claim => claim.owner === owner)
    // Of many that wait not all are shown. A sweep finds it then.
    if (has || (state?.waiting ?? 0) > (state?.waiters.length ?? 0)) return null
    const life = await this.#host.lives.of(lock, owner, null)
    return life.over || life.active ? null : life
  }
}

/** Whether its job may still come into the queue. */
function isYoung({ job, ageMs }: Life, graceMs: number): boolean {
  return job === null && ageMs !== null && ageMs < graceMs
}

/** A run that waits has not begun, also where a worker took its job up and is about to put it back. */
function notBegun(life: Life | null): Life | null {
  return life?.state === 'running' && !life.strange ? { ...life, state: 'queued' } : life
}

/** Of a job that will come into the queue. */
function lifeToCome({ owner, ageMs }: SeenRun): Life {
  const none = { job: null, strange: false, over: false, active: false }
  return { owner, ageMs, parsed: parseOwner(owner), state: 'queued', ...none }
}

function metBy(
  mode: Trigger['definition']['mode'],
  seen: Pick<Answer, 'running' | 'pending' | 'waiting'>,
): Life | null {
  const order = isGated(mode) ? [seen.pending, seen.waiting, seen.running] : [seen.running, seen.pending, seen.waiting]
  return (order.find(run => run !== null) ?? null) as Life | null
}

/** Whether a job has a parent, or children it waits for. */
export async function isBound(job: Job): Promise<boolean> {
  return job.parentKey !== undefined || (await job.isWaitingChildren())
}

/** Removes a job that has not started. One that was taken up meanwhile finds that its place was taken. */
async function removed(job: Job): Promise<void> {
  try {
    await job.remove()
  } catch {
    // Either the job cannot be removed now, or the queue does not answer: then this call fails as well.
    await job.getState()
  }
}
