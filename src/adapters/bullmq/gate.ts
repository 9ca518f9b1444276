import type { Job } from 'bullmq'
import type { JobLockNames, JobLocks } from '../../index.js'
import { type Carried, carriedBy } from './carried.js'
import type { Life, Lives } from './life.js'
import { marked, queuedOwner, RUN_MARK, SET_MARK } from './owner.js'

/** Whether a job that a worker picked up may run now. */
export type Gate =
  | { readonly to: 'open' }
  /** Another job holds the lock and is alive (`sure`), or may be. */
  | { readonly to: 'shut'; readonly holder: string; readonly sure: boolean; readonly forMs: number | null }
  /** A newer job took this one's place. */
  | { readonly to: 'replaced'; readonly holder: string }

const OPEN: Gate = { to: 'open' }
/** How often the lock is looked at again when its holder changes meanwhile. */
const LOOKS = 5

/** Decides by the trigger lock whether a job may run. */
export class Gates {
  readonly #locks: JobLocks
  readonly #lives: Lives

  constructor(locks: JobLocks, lives: Lives) {
    this.#locks = locks
    this.#lives = lives
  }

  /** @param names those of the job's locks @param me its owner, without a mark */
  async pass(job: Job, carried: Carried, names: JobLockNames, me: string): Promise<Gate> {
    const part = carried.part ?? 'holder'
    switch (carried.mode) {
      case 'untilExecuted':
        return await this.#take(names.trigger, me, marked(me, RUN_MARK), null)
      case 'untilExpired': {
        const leftMs = (carried.expiryMs ?? 0) - (Date.now() - job.timestamp)
        if (part !== 'holder')
          return await this.#take(names.trigger, me, marked(me, SET_MARK), carried.expiryMs ?? null)
        if (leftMs >= 1) {
          // Its producer sets this owner after the add, and may have died before it did.
          const taken = await this.#locks.take(names.trigger, marked(me, SET_MARK), { ttlMs: leftMs, replaces: me })
          if (taken.status === 'busy' && taken.holder !== null) return await this.#superseded(names, me, taken.holder)
        }
        return OPEN
      }
      case 'whileExecuting':
      case 'untilExecuting':
      case 'untilAndWhileExecuting': {
        if (carried.mode === 'whileExecuting' && part !== 'holder') return OPEN
        const held = await this.#locks.holder(names.trigger)
        if (held === null || held.owner === me) return OPEN
        const life = await this.#lives.of(names.trigger, held.owner)
        if (takesPlaceOf(life, me)) return { to: 'replaced', holder: held.owner }
        if (life.state === 'over' || life.state === 'changed') return OPEN
        return { to: 'shut', holder: held.owner, sure: life.state === 'live', forMs: null }
      }
    }
  }

  /** Marks the lock as that of a started job, if it is this job's, free, or left by one that is over. */
  async #take(lock: string, me: string, mine: string, ttlMs: number | null): Promise<Gate> {
    let replaces = me
    let holder = ''
    for (let looks = 0; looks < LOOKS; looks += 1) {
      const taken = await this.#locks.take(lock, mine, { replaces, ttlMs })
      if (taken.status === 'granted') return OPEN
      if (taken.holder === null) continue
      holder = taken.holder
      const life = await this.#lives.of(lock, holder)
      if (takesPlaceOf(life, me)) return { to: 'replaced', holder }
      if (life.state === 'over') replaces = holder
      else if (life.state === 'changed') replaces = me
      else return { to: 'shut', holder, sure: life.state === 'live', forMs: await this.#leftMs(lock, ttlMs) }
    }
    return { to: 'shut', holder, sure: false, forMs: null }
  }

  async #superseded(names: JobLockNames, me: string, holder: string): Promise<Gate> {
    if (holder === marked(me, SET_MARK)) return OPEN
    const life = await this.#lives.of(names.trigger, holder)
    return takesPlaceOf(life, me) ? { to: 'replaced', holder } : OPEN
  }

  /** For a lock that runs out by itself: when. */
  async #leftMs(lock: string, ttlMs: number | null): Promise<number | null> {
    if (ttlMs === null) return null
    const expiresAtMs = (await this.#locks.holder(lock))?.expiresAtMs ?? null
    return expiresAtMs === null ? null : Math.max(expiresAtMs - Date.now(), 1)
  }
}

/** Whether the holder's job is one that was added in the place of `me`. */
function takesPlaceOf(life: Life, me: string): boolean {
  const job = life.state === 'live' || life.state === 'over' ? life.job : null
  return job !== null && (carriedBy(job)?.replaces ?? []).includes(me)
}

/** The owner of a job while it is queued. */
export function ownerOf(job: Job, qualifiedName: string): string {
  return queuedOwner(qualifiedName, job.id as string)
}
