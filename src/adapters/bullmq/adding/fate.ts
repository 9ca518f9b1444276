import { LockTimeoutError } from '../../../errors.js'
import type { JobLocks } from '../../../index.js'
import { monotonicMs, sleep } from '../../../internal/real-time.js'
import { isYoung, type Life, type Lives } from '../lock/lives.js'
import { hasEnded, takeOver } from '../lock/take-over.js'
import type { Trigger } from './trigger.js'

const FIRST_PAUSE_MS = 5
const LONGEST_PAUSE_MS = 100
/** How long a trigger goes on when others keep changing what it sees, beyond the grace time. */
const PATIENCE_MS = 30_000

export interface FateHost {
  readonly locks: JobLocks
  readonly lives: Lives
  /** How long a job may take to appear in its queue after its lock was taken. */
  readonly graceMs: number
}

/** Waits a little, each time longer, for others to get on. */
export class Patience {
  readonly #trigger: Trigger
  readonly #longestMs: number
  #pauseMs = FIRST_PAUSE_MS

  constructor(trigger: Trigger, graceMs: number) {
    this.#trigger = trigger
    this.#longestMs = graceMs + PATIENCE_MS
  }

  /** @throws LockTimeoutError when others have changed what it sees for too long */
  async wait(): Promise<void> {
    const waitedMs = monotonicMs() - this.#trigger.sinceMs
    if (waitedMs > this.#longestMs) {
      const bound = `${this.#longestMs} ms (graceMs + ${PATIENCE_MS})`
      throw new LockTimeoutError({ lockName: this.#trigger.lock, holder: null, waitedMs, bound })
    }
    await sleep(this.#pauseMs * (0.5 + Math.random()))
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS)
  }
}

/** Whether a run that is pending after its job was looked at will have what was left with it before. */
export function startsAfter(life: Life): boolean {
  return !hasEnded(life) && (!life.active || life.ours)
}

/**
 * Whether nobody can have given a run up because its job was missing, before the job was seen just now: a look may take long.
 *
 * @param ageMs of its claim, by the store's word to what was asked at `askedMs`; `null`: not known
 */
export function isStillYoung(ageMs: number | null, askedMs: number, graceMs: number): boolean {
  return ageMs !== null && ageMs + monotonicMs() - askedMs < graceMs
}

/** The claim of a run when something was left with it. */
export interface Noted {
  /** How old it was, by the store's word; `null`: not known. */
  readonly ageMs: number | null
  /** When that was asked, on this process's monotonic clock. */
  readonly askedMs: number
}

/**
 * Whether the claim that a trigger has may be another than it made first: its answer was lost for so long that others may have taken
 * the first one over, and then it was sent again. Who left something with the first run would take this one for that.
 */
export async function mayBeAnother(
  { locks, graceMs }: FateHost,
  { lock, owner, hasOwnId }: Trigger,
  askedMs: number,
): Promise<boolean> {
  const waitedMs = monotonicMs() - askedMs
  // Under an id of its own a job can only be added once: the caller knows it by that.
  if (hasOwnId || waitedMs < graceMs) return false
  const state = await locks.inspect(lock)
  const { holders = [], waiters = [], waiting = 0, atMs = 0 } = state ?? {}
  const sinceMs =
    holders.find(holder => holder.owner === owner)?.acquiredAtMs ??
    waiters.find(waiter => waiter.owner === owner)?.waitingSinceMs
  // Of many that wait not all are shown. One that is gone was not made again.
  if (sinceMs == null) return waiting > waiters.length
  return atMs - sinceMs < waitedMs - graceMs
}

/**
 * What became of what a trigger left with a run, so that it is in one run that starts after it. As long as that run is pending it is
 * judged by its job, which was looked at before: others may give the run up meanwhile. One that is queued is taken up after this, and a
 * worker of ours that has it in hand is told of all that was left. One that another worker has in hand, or that has ended, may never
 * begin: then the trigger takes back what it left, and the store answers whether a worker of ours was told of it before. It has no
 * word of a run that began and ended, nor of one whose own trigger was sent again after others had given it up. So that the run began
 * is believed only where its job was seen since, or where nobody can have given it up for want of one.
 *
 * @param patience `null`: it does not wait
 * @param noted its claim when the data was left
 * @param seen its job, where that was looked at since
 * @returns `lost`: it is in no run, and has to be left anew; `later`: its job may still come, or is about to be put back
 */
export async function fateOf(
  { locks, lives, graceMs }: FateHost,
  { lock, owner: by }: Trigger,
  run: string,
  patience: Patience | null,
  noted: Noted,
  seen: Life | null = null,
): Promise<'kept' | 'lost' | 'later'> {
  let starts = seen !== null && startsAfter(seen)
  let { ageMs, askedMs } = noted
  let there = seen !== null && seen.job !== null
  for (;;) {
    const nowMs = monotonicMs()
    const state = await locks.inspect(lock)
    const pending = state?.pending?.owner === run
    let over: Life | null = null
    if (starts && pending) return 'kept'
    if (state !== null && pending) {
      const held = state.holders.find(({ owner }) => owner === run)
      const sinceMs = held?.acquiredAtMs ?? state.waiters.find(({ owner }) => owner === run)?.waitingSinceMs
      ageMs = sinceMs == null ? null : state.atMs - sinceMs
      askedMs = nowMs
      const life = await lives.of(lock, run, ageMs)
      there ||= life.job !== null
      starts = startsAfter(life)
      if (starts && isStillYoung(ageMs, askedMs, graceMs)) return 'kept'
      if (starts) continue
      const ended = hasEnded(life)
      if (isYoung(life, graceMs) || (!ended && held === undefined && !life.strange)) {
        if (patience === null) return 'later'
        await patience.wait()
        continue
      }
      // A period goes on without its job.
      const stays = held !== undefined && (!ended || (life.job !== null && life.parsed?.period === true))
      if (!stays && ended) over = life
      // One that waits, and that a worker has in hand which knows nothing of locks.
      else if (!stays) await locks.release(lock, run)
    }
    const told = await locks.takeBack(lock, run, by)
    if (told.status === 'begun' && told.notes.length > 0) return 'kept'
    // Who waits goes on.
    if (over !== null) await takeOver({ locks, lives }, lock, over)
    if (told.status === 'begun') return 'lost'
    if (told.status === 'displaced') return told.by === '' ? 'lost' : 'kept'
    if (pending) continue
    // It was not pending any more before this was asked: it has begun, and ended.
    if (there || isStillYoung(ageMs, askedMs, graceMs)) return 'kept'
    return (await lives.of(lock, run, null)).job === null ? 'lost' : 'kept'
  }
}
