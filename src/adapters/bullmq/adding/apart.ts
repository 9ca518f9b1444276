import type { Job } from 'bullmq'
import type { JobStrategy, LockState, Seen, SeenRun, TriggerAction } from '../../../index.js'
import { isGated } from '../../../internal/job-decision.js'
import { monotonicMs } from '../../../internal/real-time.js'
import type { Answer, SeenJob } from '../fused/answer.js'
import { isYoung, type Life } from '../lock/lives.js'
import { parseOwner } from '../lock/owner.js'
import { startPeriod } from '../lock/period.js'
import { isBound, removed } from '../lock/removing.js'
import { takeOver } from '../lock/take-over.js'
import type { Actions } from './actions.js'
import { type FateHost, fateOf, isStillYoung, mayBeAnother, type Noted, Patience, startsAfter } from './fate.js'
import type { Trigger } from './trigger.js'

const NOBODY = { running: null, pending: null, waiting: null }

export interface ApartHost extends FateHost {
  /** Gives up the claim of a job that will not be added. Never rejects. */
  giveUp(trigger: Trigger): Promise<void>
}

/** The trigger is to be made again. */
interface Again {
  /** `later`: others are about to get on. `fresh`: at once, under another id. */
  readonly again: 'now' | 'later' | 'fresh'
  /** It takes the place of a job that is gone. */
  readonly gone?: boolean
}

/** It depends on others what the trigger comes to: it is to be made again once the other jobs of its call are in the queue. */
export class Later {
  readonly trigger: Trigger
  /** With which run it has left its data, and what it saw then; `null`: with none. */
  readonly left: Left | null

  constructor(trigger: Trigger, left: Left | null = null) {
    this.trigger = trigger
    this.left = left
  }
}

/** A trigger has left its data with a run. */
interface Left {
  /** The owner of the run. */
  readonly run: string
  readonly noted: Noted
  readonly seen: Pick<Answer, 'running' | 'waiting'> & { readonly pending: Life | null }
}

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

/**
 * The steps of a job's lock as calls of their own: where the locks are elsewhere than the queue, or its scripts cannot be run
 * within ours. It takes its lock, or a place in its queue; then the job is added. What a trigger comes to differs where others get
 * between these steps: docs/adapters/bullmq.md says how.
 */
export class Apart {
  readonly #host: ApartHost
  /** Those that have a lock, or a place in its queue. */
  readonly #claims = new WeakSet<Trigger>()
  /** By lock: who of its holders is found to be over just now, for all that ask at once. */
  readonly #looking = new Map<string, Promise<readonly Life[]>>()

  constructor(host: ApartHost) {
    this.#host = host
  }

  /**
   * @param beside where it is one of several jobs of a call: it never waits then
   * @param left what it has left before, where it comes back to that
   * @returns what is to be done with the job: with `granted` and `queued` it is to be added
   */
  async trigger(first: Trigger, strategy: JobStrategy, actions: Actions): Promise<Triggered>
  async trigger(
    first: Trigger,
    strategy: JobStrategy,
    actions: Actions,
    beside: Beside | null,
    left?: Left | null,
  ): Promise<Triggered | Later>
  async trigger(
    first: Trigger,
    strategy: JobStrategy,
    actions: Actions,
    beside: Beside | null = null,
    left: Left | null = null,
  ): Promise<Triggered | Later> {
    let trigger = first
    let recovered = false
    const patience = new Patience(trigger, this.#host.graceMs)
    if (left !== null) {
      const { run, seen } = left
      const fate = await fateOf(this.#host, trigger, run, patience, left.noted)
      if (fate === 'kept') return { trigger, answer: noted(run, seen) }
      trigger = trigger.underFreshId()
      recovered = seen.pending?.job === null
    }
    for (;;) {
      const look = await this.#held(trigger, this.#once(trigger, strategy, actions, beside, patience))
      if (look instanceof Later) return look
      if (!('again' in look)) return { trigger, answer: { ...look, recovered: look.recovered || recovered } }
      recovered ||= look.gone === true
      if (look.again === 'fresh') trigger = trigger.underFreshId()
      else if (look.again === 'later' && beside !== null) return new Later(trigger)
      else if (look.again === 'later') await patience.wait()
    }
  }

  /** What a trigger has claimed before it fails is given up: its job will not come. */
  async #held<T>(trigger: Trigger, made: Promise<T>): Promise<T> {
    try {
      return await made
    } catch (error) {
      if (this.#claims.has(trigger)) await this.#host.giveUp(trigger)
      throw error
    }
  }

  async #once(
    trigger: Trigger,
    strategy: JobStrategy,
    actions: Actions,
    beside: Beside | null,
    patience: Patience,
  ): Promise<Answer | Again | Later> {
    const { definition, lock, owner, jobId, data, meta } = trigger
    const { locks, lives, graceMs } = this.#host
    const before = await this.#before(trigger, strategy, actions)
    if ('course' in before || 'again' in before) return before
    // It takes the place of a job that has to be in the queue first.
    const takes = strategy === 'replace' && actions.pending === 'displace'
    if (takes && beside !== null && beside.before > 0) return new Later(trigger)
    beside?.coming.add(owner)
    const askedMs = monotonicMs()
    const notes = actions.begins || strategy === 'rerun'
    const told = await locks.trigger(lock, owner, {
      running: before.running,
      pending: before.pending,
      note: notes ? JSON.stringify(data ?? {}) : null,
      begins: actions.begins,
      debounce: definition.debounce,
      without: before.without,
      limit: definition.limit,
      meta: meta === '' ? undefined : meta,
    })
    // An earlier trigger with this id was, perhaps. This one is another.
    if (told.status === 'displaced' && (trigger.hasOwnId || told.by === '')) return { again: 'fresh' }
    if (told.status === 'displaced') {
      return { course: 'met', id: parseOwner(told.by)?.jobId ?? told.by, ...NOBODY, recovered: false }
    }
    const taken = told.status === 'granted' || told.status === 'busy'
    if (taken) this.#claims.add(trigger)
    // Whose place it took is known to this claim alone.
    if (taken && notes && before.pending !== 'displace' && (await mayBeAnother(this.#host, trigger, askedMs))) {
      await this.#host.giveUp(trigger)
      return { again: 'fresh' }
    }
    // Until then it holds its lock without an end, so that what others leave with a follow-up is not lost before that begins.
    if (told.status === 'granted' && definition.expiryMs !== null) await locks.renew(lock, owner, definition.expiryMs)
    const [running, seenPending, waiting] = await this.#livesOf(trigger, told.seen, beside)
    // An answer that was lost has told whose place it took; the next does not.
    const unseen = taken && seenPending === null && before.waits !== null && before.waits !== owner
    const pending = unseen ? await this.#displacedBefore(lock, before.waits) : seenPending
    const seen = { running: before.replaced ?? running, pending, waiting }
    if (told.status === 'granted') {
      // With a limit there may have been room beside it.
      const displaced = definition.limit !== null && !told.pending ? null : pending
      if (before.pending === 'displace' && displaced?.job) await lives.bounded(() => removed(displaced.job as Job))
      return { course: 'granted', id: jobId, ...seen, pending: displaced, recovered: false }
    }
    // A worker that had it in hand may have found already that its place was taken.
    const displaced = told.status === 'busy' && before.pending === 'displace' && pending?.job ? pending : null
    if (displaced !== null) seen.pending = { ...displaced, state: 'queued' }
    // Also where the trigger is to be made again: then it does not hear of it any more.
    if (displaced?.over === false) await lives.bounded(() => removed(displaced.job as Job))
    if (running?.parsed?.period && definition.expiryMs !== null && hasNoRun(running, graceMs)) {
      await startPeriod(locks, lock, running.owner, definition.expiryMs)
    }
    const run = told.status === 'met' ? told.noted : null
    const met = [running, run === null && displaced === null ? pending : null, waiting]
    const dead = await this.#deadOf(trigger, met, beside)
    if (run !== null) {
      // Who waits goes on.
      if (dead !== null) await takeOver(this.#host, lock, dead)
      const seenRun = pending?.owner === run ? pending : null
      const left = { run, seen, noted: { ageMs: told.seen.pending?.ageMs ?? null, askedMs } }
      const young = isStillYoung(left.noted.ageMs, askedMs, graceMs)
      const known = young && (beside?.coming.has(run) === true || (seenRun !== null && startsAfter(seenRun)))
      const waits = beside === null ? patience : null
      const fate = known ? 'kept' : await fateOf(this.#host, trigger, run, waits, left.noted, seenRun)
      if (fate === 'later') return new Later(trigger, left)
      return fate === 'kept' ? noted(run, seen) : { again: 'fresh', gone: pending?.job === null }
    }
    if (dead !== null) return await this.#without(lock, dead)
    if (told.status === 'busy') {
      const asks = strategy === 'replace' && definition.stops && running?.state === 'running'
      return { course: 'queued', id: jobId, ...seen, recovered: false, asks }
    }
    const by = metBy(definition.mode, seen)
    const soon = [running, pending, waiting].some(life => life?.over === true && isYoung(life, graceMs))
    if (by === null || soon) return { again: 'later' }
    return { course: 'met', id: by.parsed?.jobId ?? by.owner, ...seen, recovered: false }
  }

  /** The trigger is made again without this claim, unless its job has come after all. */
  async #without(lock: string, dead: Life): Promise<Again> {
    const gone = (await takeOver(this.#host, lock, dead)) && dead.job === null
    return { again: 'now', gone }
  }

  /** One of these, or with a limit of all that hold the lock, whose job is over. */
  async #deadOf(trigger: Trigger, seen: readonly (Life | null)[], beside: Beside | null): Promise<Life | null> {
    const { lock, owner, definition } = trigger
    const { graceMs } = this.#host
    const first = seen.find(life => isDead(life, graceMs))
    if (first !== undefined || definition.limit === null) return first ?? null
    let looking = this.#looking.get(lock)
    if (looking === undefined) {
      looking = this.#deadHolders(lock).finally(() => this.#looking.delete(lock))
      this.#looking.set(lock, looking)
    }
    return (await looking).find(life => life.owner !== owner && !beside?.coming.has(life.owner)) ?? null
  }

  async #deadHolders(lock: string): Promise<readonly Life[]> {
    const { locks, lives, graceMs } = this.#host
    const state = await locks.inspect(lock)
    const ageOf = (sinceMs: number | null) => (sinceMs === null || state === null ? null : state.atMs - sinceMs)
    // The pending run has not begun: it is judged by who asks what became of it.
    const holders = (state?.holders ?? []).filter(({ owner }) => owner !== state?.pending?.owner)
    const all = holders.map(({ owner, acquiredAtMs }) => lives.of(lock, owner, ageOf(acquiredAtMs)))
    return (await Promise.all(all)).filter(life => isDead(life, graceMs))
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
    return [runs, notBegun(waits), notBegun(next)]
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
    const { locks, lives, graceMs } = this.#host
    const boundTo = (job: Job) => lives.bounded(() => isBound(job))
    const removedOf = (job: Job) => lives.bounded(() => removed(job))
    let state: LockState | null = null
    if (definition.mode === 'whileExecuting') {
      // Any number may be queued: only what runs is in the way, and the one that follows it.
      state = await locks.inspect(lock)
      const busy = (state?.holding ?? 0) >= (definition.limit ?? 1)
      const [holder] = state?.holders ?? []
      if (!busy || holder === undefined) return { course: 'granted', id: jobId, ...NOBODY, recovered: false }
      if (running === 'wait') {
        const ageMs = state === null || holder.acquiredAtMs === null ? null : state.atMs - holder.acquiredAtMs
        const life = await lives.of(lock, holder.owner, ageMs)
        if (isDead(life, graceMs)) return await this.#without(lock, life)
        return { course: 'queued', id: jobId, ...NOBODY, running: life, recovered: false }
      }
    }
    if (strategy !== 'replace') return as
    state ??= await locks.inspect(lock)
    const { pending: run = null, holders = [] } = state ?? {}
    as = { ...as, waits: run?.owner ?? null }
    const [holder] = holders
    const place = run === null ? null : await lives.of(lock, run.owner, null)
    const isPending = holders.some(({ owner }) => owner === run?.owner)
    if (place?.job) {
      // What belongs to a flow cannot be taken out of it, nor what a worker has in hand: nobody takes its place any more.
      const isPart = await boundTo(place.job)
      if (isPart && !isPending) as = { ...as, pending: 'wait' }
      else if (isPart || place.active) {
        // One that waits, and that a worker has in hand, is about to be put back.
        if (isPending) await locks.takeBack(lock, place.owner, owner)
        // It has not its place, but follows all.
      } else if (pending === 'wait' && definition.limit === null && (await removedOf(place.job))) {
        return { ...as, without: place.owner, replaced: place }
      }
    }
    const ofRuns = definition.mode === 'whileExecuting' || definition.limit !== null
    if (holder === undefined || holder.owner === owner || isPending || ofRuns) return as
    const life = await lives.of(lock, holder.owner, null)
    const taken = { ...as, without: holder.owner, replaced: life }
    const isPeriod = definition.mode === 'untilExpired'
    if (life.job === null) return isPeriod ? taken : as
    const isFree = !life.active && !(await boundTo(life.job))
    if (isFree && (life.state === 'finished' || (await removedOf(life.job)))) return taken
    // A worker may have taken it up since it was looked at: what it has in hand keeps its lock.
    const runs = life.active || isFree
    if (isPeriod) return { ...taken, replaced: runs ? { ...life, state: 'running' } : life }
    return as
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

function isDead(life: Life | null, graceMs: number): boolean {
  return life?.over === true && !isYoung(life, graceMs)
}

/** Whether nobody will run the job of a period. */
function hasNoRun(life: Life, graceMs: number): boolean {
  return life.job === null ? !isYoung(life, graceMs) : life.state === 'finished'
}

/** The answer to a trigger that has left its data with a run, which starts after it. */
function noted(run: string, seen: Left['seen']): Answer {
  const pending: SeenJob =
    seen.pending?.owner === run ? seen.pending : { owner: run, ageMs: null, state: 'queued', strange: false }
  const id = parseOwner(run)?.jobId ?? run
  return { course: 'noted', id, ...seen, pending: { ...pending, state: 'queued' }, recovered: false }
}

/** A run that waits has not begun, also where a worker took its job up and is about to put it back. */
function notBegun(life: Life | null): Life | null {
  return life?.state === 'running' && !life.strange ? { ...life, state: 'queued' } : life
}

/** Of a job that will come into the queue. */
function lifeToCome({ owner, ageMs }: SeenRun): Life {
  const none = { job: null, strange: false, over: false, active: false, ours: false }
  return { owner, ageMs, parsed: parseOwner(owner), state: 'queued', ...none }
}

function metBy(
  mode: Trigger['definition']['mode'],
  seen: Pick<Answer, 'running' | 'pending' | 'waiting'>,
): Life | null {
  const order = isGated(mode) ? [seen.pending, seen.waiting, seen.running] : [seen.running, seen.pending, seen.waiting]
  return (order.find(run => run !== null) ?? null) as Life | null
}
