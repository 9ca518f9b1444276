import type { PushedGrant } from '../backend.js'
import { type Clock, elapsedMs, type Instant, instant, type Timer } from '../internal/clock.js'
import type { Asked, Attempt } from './attempt.js'

/** Questions planned for the moment a lease ends are spread over this long, so that clients do not come all at once. */
const SPREAD_MS = 20
/** After a question that failed the next one follows within this long. */
const RETRY_MS = 500
/** A backend that has not answered any question for this long ends the waits that depend on it. */
export const OUTAGE_MS = 30_000

/**
 * Everything of one client that waits. Grants arrive by push; what keeps the queue whole when pushes are lost is the
 * *beat*: the oldest claim per lock is asked for again at the latest every `beatMs`, or when the present lease should
 * have ended. So an idle queue costs per client and lock, never per waiter.
 */
export class WaitingRoom {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #beatMs: number
  readonly #queues = new Map<string, Queue>()

  constructor(clock: Clock, random: () => number, beatMs: number) {
    this.#clock = clock
    this.#random = random
    this.#beatMs = beatMs
  }

  add(attempt: Attempt, retryAfterMs: number | null): void {
    const { name } = attempt.claim
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      queue = new Queue(this.#clock, () => this.#queues.delete(name))
      this.#queues.set(name, queue)
    }
    queue.add(attempt)
    queue.plan(this.#delay(retryAfterMs), this.#beat)
  }

  remove(attempt: Attempt): void {
    this.#queues.get(attempt.claim.name)?.remove(attempt)
  }

  /** Hands a pushed grant to the attempt it is for. */
  grant(attempt: Attempt, event: PushedGrant): void {
    const queue = this.#queues.get(attempt.claim.name)
    if (queue === undefined || !queue.has(attempt)) return attempt.grantedEarly(event)
    void attempt.confirm(event).then(asked => this.#after(queue, attempt, asked))
  }

  /** Pushes may have been missed: ask for everything. */
  gap(): void {
    for (const queue of this.#queues.values()) void this.#beat(queue)
  }

  readonly #beat = async (queue: Queue): Promise<void> => {
    if (queue.beating) {
      queue.again = true
      return
    }
    queue.beating = true
    do {
      queue.again = false
      const oldest = queue.oldest()
      if (oldest === undefined) break
      const asked = await oldest.ask()
      // Granted without a push, so the push was lost; the next in line may miss one as well.
      if (asked.status === 'over') queue.again = true
      else this.#after(queue, oldest, asked)
    } while (queue.again)
    queue.beating = false
  }

  #after(queue: Queue, attempt: Attempt, asked: Asked): void {
    if (asked.status === 'over') return
    if (asked.status === 'fault') return this.#fault(queue, asked.error)
    queue.failingSince = null
    if (asked.requeued) {
      // The datastore lost its queue, so the others are missing too: each goes back to its place.
      for (const other of queue.others(attempt)) void other.ask()
    }
    queue.plan(this.#delay(asked.retryAfterMs), this.#beat)
  }

  #fault(queue: Queue, error: unknown): void {
    queue.failingSince ??= instant(this.#clock)
    if (elapsedMs(this.#clock, queue.failingSince) < OUTAGE_MS) return queue.plan(RETRY_MS * this.#random(), this.#beat)
    for (const attempt of queue.all()) attempt.fail(error)
  }

  #delay(retryAfterMs: number | null): number {
    if (retryAfterMs === 0) return 0
    return Math.min(this.#beatMs, (retryAfterMs ?? this.#beatMs) + SPREAD_MS * this.#random())
  }
}

/** The waiting attempts of one client for one lock, oldest first. */
class Queue {
  beating = false
  /** Beat once more when the present beat is done. */
  again = false
  /** Since when no question has been answered. */
  failingSince: Instant | null = null

  readonly #clock: Clock
  readonly #onEmpty: () => void
  readonly #attempts = new Set<Attempt>()
  #timer: Timer | null = null
  #timerDueMs = Infinity

  constructor(clock: Clock, onEmpty: () => void) {
    this.#clock = clock
    this.#onEmpty = onEmpty
  }

  add(attempt: Attempt): void {
    this.#attempts.add(attempt)
  }

  remove(attempt: Attempt): void {
    if (!this.#attempts.delete(attempt) || this.#attempts.size > 0) return
    this.#timer?.cancel()
    this.#onEmpty()
  }

  has(attempt: Attempt): boolean {
    return this.#attempts.has(attempt)
  }

  all(): readonly Attempt[] {
    return [...this.#attempts]
  }

  others(attempt: Attempt): readonly Attempt[] {
    return this.all().filter(other => other !== attempt)
  }

  oldest(): Attempt | undefined {
    let oldest: Attempt | undefined
    for (const attempt of this.#attempts) {
      if (oldest === undefined || (attempt.ticket ?? Infinity) < (oldest.ticket ?? Infinity)) oldest = attempt
    }
    return oldest
  }

  /** Beat after `delayMs`, unless a beat is due sooner. */
  plan(delayMs: number, beat: (queue: Queue) => Promise<void>): void {
    const dueMs = this.#clock.monotonicMs() + delayMs
    if (this.#attempts.size === 0 || dueMs >= this.#timerDueMs) return
    this.#timer?.cancel()
    this.#timerDueMs = dueMs
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#timerDueMs = Infinity
      void beat(this)
    })
  }
}
