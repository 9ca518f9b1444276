import type { Clock, Timer } from '../../internal/clock.js'
import { RingLink } from '../../internal/ring.js'

/** A bucket holds what is due within this part of the delay: what is far away is planned coarsely. */
const BUCKETS_A_DOUBLING = 128
/** How many are told in one turn of the event loop. */
const SLICE = 250

/** What is due together. */
class Bucket<T> {
  readonly ring: RingLink<T> = new RingLink<T>()
  /** From when on all of them may be done together with others. */
  joinFromMs: number = -Infinity
}

/**
 * A very large number of things to be done at their times, with one timer: each is told when it is due, or up to a 128th of
 * its delay sooner. Adding and removing cost the same however many there are, and of many that are due at once some are told
 * at a time, so that the event loop is never held for long.
 */
export class Wheel<T extends { readonly link: RingLink<T> }> {
  readonly #clock: Clock
  readonly #tell: (due: readonly T[]) => void
  /** By when they are due, on the monotonic clock in whole milliseconds. */
  readonly #buckets = new Map<number, Bucket<T>>()
  #timer: Timer | null = null
  #timerDueMs = Infinity

  constructor(clock: Clock, tell: (due: readonly T[]) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  /**
   * Plans an entry anew. With others that are due it may be told from `joinFromMs` on.
   *
   * @param nowMs on the monotonic clock, as the others
   */
  plan(entry: T, dueMs: number, joinFromMs: number, nowMs: number): void {
    const key = bucketOf(dueMs, dueMs - nowMs)
    // Whatever fails, fails before anything is changed.
    if (key < this.#timerDueMs) this.#arm(key, nowMs)
    this.remove(entry)
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      bucket = new Bucket()
      this.#buckets.set(key, bucket)
    }
    bucket.ring.append(entry.link)
    if (joinFromMs > bucket.joinFromMs) bucket.joinFromMs = joinFromMs
  }

  /** Its bucket stays, and the timer too, which does not keep the process alive: the next entry may well need both. */
  remove(entry: T): void {
    entry.link.leave()
  }

  /** Nothing is told any more of what was planned until now. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#timerDueMs = Infinity
    this.#buckets.clear()
  }

  #arm(dueMs: number, nowMs: number): void {
    this.#timer?.cancel()
    this.#timer = this.#clock.setTimer(dueMs - nowMs, this.#fire, { background: true })
    this.#timerDueMs = dueMs
  }

  readonly #fire = (): void => {
    this.#timer = null
    this.#timerDueMs = Infinity
    const now = this.#clock.monotonicMs()
    const keys = [...this.#buckets.keys()].sort((a, b) => a - b)
    const due: T[] = []
    let next = Infinity
    for (const key of keys) {
      const bucket = this.#buckets.get(key) as Bucket<T>
      if (bucket.ring.alone) this.#buckets.delete(key)
      else if (due.length < SLICE && (key <= now || (due.length > 0 && bucket.joinFromMs <= now))) {
        this.#take(bucket, due)
        if (bucket.ring.alone) this.#buckets.delete(key)
        else next = Math.min(next, key)
      } else next = Math.min(next, key)
    }
    if (next !== Infinity) this.#arm(Math.max(next, now), now)
    if (due.length > 0) this.#tell(due)
  }

  #take(bucket: Bucket<T>, due: T[]): void {
    while (!bucket.ring.alone && due.length < SLICE) {
      const entry = bucket.ring.first as T
      this.remove(entry)
      due.push(entry)
    }
  }
}

/** What is due soon comes at its time; what is far away may come a little sooner. */
function bucketOf(dueMs: number, delayMs: number): number {
  if (delayMs < 2 * BUCKETS_A_DOUBLING) return Math.ceil(dueMs)
  const grain = (1 << (31 - Math.clz32(delayMs))) / BUCKETS_A_DOUBLING
  return Math.floor(dueMs / grain) * grain
}
