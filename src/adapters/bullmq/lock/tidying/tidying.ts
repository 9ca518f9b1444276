import type { JobLocks } from '../../../../index.js'
import { clearTimeout, monotonicMs, setTimeout } from '../../../../internal/real-time.js'
import type { Fused } from '../../fused/fused.js'
import type { Lives } from '../lives.js'
import { takeOver } from '../take-over.js'

/** How often the locks are looked at that a worker was seen to have which knows nothing of locks, and for how long. */
const LOOK_MS = 1_000
const LOOK_FOR_MS = 60_000
/** How many of them are kept in mind where the steps of locks are calls of their own. */
const MOST_NOTICED = 1_000

export interface TidyingHost {
  /** The qualified name of the queue. */
  readonly queue: string
  /** What the keys of locks on the queue's Redis start with. */
  readonly prefix: string
  readonly locks: JobLocks
  readonly lives: Lives
  readonly graceMs: number
  /** How often a part of all locks is looked at, whoever of the queue's clients does it. */
  readonly everyMs: number
  /** What runs scripts on the queue's Redis; `null` where the steps of locks are calls of their own. */
  fused(): Fused | null
  /** A job is over, and had its lock still. */
  onLapse(jobId: string, lock: string): void
  onFault(error: unknown): void
}

/**
 * Gives up what a queue's jobs hold when they were ended by somebody who knows nothing of locks: soon where a trigger met such a
 * run, and else some time later, by a look at all locks in small parts that the queue's clients share.
 */
export class Tidying {
  readonly #host: TidyingHost
  /** By lock: until when it is looked at. */
  readonly #noticed = new Map<string, number>()
  #looksUntilMs = 0
  #timer: NodeJS.Timeout | undefined
  #underWay: Promise<void> = Promise.resolve()
  #closed = false

  constructor(host: TidyingHost) {
    this.#host = host
    this.#later(host.everyMs)
  }

  /** A trigger met a job that is run by a worker that knows nothing of locks. */
  notice(lock: string): void {
    const soon = this.#looksUntilMs > 0
    this.#looksUntilMs = monotonicMs() + LOOK_FOR_MS
    if (this.#host.fused() === null && this.#noticed.size < MOST_NOTICED) this.#noticed.set(lock, this.#looksUntilMs)
    if (!soon) this.#later(LOOK_MS)
  }

  /** Jobs of the queue were removed: who waited for their locks is to go on. Never rejects. */
  async removed(): Promise<void> {
    const fused = this.#host.fused()
    if (fused === null) return
    try {
      await this.#look(fused, true, monotonicMs())
    } catch (error) {
      this.#host.onFault(error)
    }
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#underWay
  }

  #later(ms: number): void {
    clearTimeout(this.#timer)
    if (this.#closed) return
    this.#timer = setTimeout(() => {
      this.#underWay = this.#tidy()
    }, ms).unref()
  }

  async #tidy(): Promise<void> {
    const nowMs = monotonicMs()
    const looks = this.#looksUntilMs > nowMs
    try {
      const fused = this.#host.fused()
      const left = fused === null ? await this.#lookApart(nowMs) : await this.#look(fused, looks, nowMs)
      if (left === 0 || !looks) this.#looksUntilMs = 0
    } catch (error) {
      if (!this.#closed) this.#host.onFault(error)
    }
    this.#later(this.#looksUntilMs > 0 ? LOOK_MS : this.#host.everyMs)
  }

  /** @returns how many locks are to be looked at again */
  async #look(fused: Fused, noticedOnly: boolean, nowMs: number): Promise<number> {
    // The next time, then.
    if (!fused.answers(nowMs)) return 1
    const { queue, prefix, everyMs, lives } = this.#host
    const keys = [`${queue}:soloist`, `${queue}:soloist-tidied`]
    const args = [`${queue}:`, `${prefix}job:`, Buffer.byteLength(prefix), noticedOnly ? '' : everyMs]
    const [left = 0, ...told] = ((await lives.bounded(() => fused.own('tidy', [...keys, ...args]))) ?? []) as (
      | number
      | string
    )[]
    for (let i = 0; i + 1 < told.length; i += 2) {
      this.#host.onLapse(String(told[i + 1]), String(told[i]).slice(prefix.length))
    }
    return Number(left)
  }

  async #lookApart(nowMs: number): Promise<number> {
    const { locks, lives, graceMs } = this.#host
    for (const [lock, untilMs] of this.#noticed) {
      const state = await locks.inspect(lock)
      let live = false
      for (const { owner, acquiredAtMs } of state?.holders ?? []) {
        const ageMs = acquiredAtMs === null || state === null ? null : state.atMs - acquiredAtMs
        const life = await lives.of(lock, owner, ageMs)
        if (!life.over || (life.job === null && (ageMs ?? graceMs) < graceMs)) {
          live = true
          continue
        }
        // Who is granted it by that is looked at the next time.
        live ||= (state?.waiting ?? 0) > 0
        if (await takeOver({ locks, lives }, lock, life)) this.#host.onLapse(life.parsed?.jobId ?? owner, lock)
      }
      if (!live || untilMs < nowMs) this.#noticed.delete(lock)
    }
    return this.#noticed.size
  }
}
