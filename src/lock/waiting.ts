import type { Clock, Timer } from '../internal/clock.js'
import { TicketQueue } from '../internal/ticket-queue.js'
import type { Asked, Attempt } from './attempt.js'

/** Clients that ask again when a lease ends do so spread over this long, so that they do not come all at once. */
const SPREAD_MS = 20
/** After an `acquire` that failed, the next one follows within this long, and not before half of it. */
const RETRY_MS = 500
/** A backend that has not answered for this long about a lock ends the waits for it. */
const OUTAGE_MS = 30_000

/** What the waiting room needs from the client it belongs to. */
export interface WaitingHost {
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  /** A question failed; it is asked again. */
  onWaitFault(attempt: Attempt, error: unknown): void
}

/**
 * All claims of one client that wait. Their grants are pushed. Pushes can be lost, so there is the *beat*: for each
 * lock, the client repeats the `acquire` of its oldest claim, at the latest every `beatMs`, or when the present lease
 * should have ended. So waiting costs calls per client and lock, however many wait.
 */
export class WaitingRoom {
  readonly #host: WaitingHost
  readonly #beatMs: number
  readonly #queues = new Map<string, Queue>()

  constructor(host: WaitingHost, beatMs: number) {
    this.#host = host
    this.#beatMs = beatMs
  }

  /** A claim was queued. */
  add(attempt: Attempt, retryAfterMs: number | null): void {
    const { name } = attempt.claim
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      queue = new Queue(this.#host.clock, () => this.#queues.delete(name))
      this.#queues.set(name, queue)
    }
    queue.add(attempt)
    queue.plan(this.#delay(retryAfterMs), this.#beat)
  }

  remove(attempt: Attempt): void {
    this.#queues.get(attempt.claim.name)?.remove(attempt)
  }

  /**
   * A grant for this attempt was pushed. The push may come before the answer that the claim was queued. If the grant
   * cannot be confirmed, that answer counts, and the attempt goes on waiting.
   */
  async grant(attempt: Attempt): Promise<void> {
    const asked = await attempt.confirm()
    const queue = this.#queues.get(attempt.claim.name)
    if (queue !== undefined) this.#after(queue, attempt, asked)
  }

  /** A grant of this lock may have been missed. */
  ask(name: string): void {
    const queue = this.#queues.get(name)
    if (queue !== undefined) void this.#beat(queue)
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
      this.#after(queue, oldest, asked)
      // Granted without a push, so the push was lost; the next in line may miss one as well. Or it left meanwhile.
      if (asked.status === 'granted' || asked.status === 'ended') queue.again = true
    } while (queue.again)
    queue.beating = false
  }

  #after(queue: Queue, attempt: Attempt, asked: Asked): void {
    if (asked.status === 'ended') return
    if (asked.status === 'fault') return this.#fault(queue, attempt, asked)
    queue.failingSinceMs = null
    if (asked.status === 'granted') return
    if (asked.requeued) {
      // The datastore lost its queue, so the others are missing too: each goes back to its place.
      for (const other of queue.all()) if (other !== attempt) void other.ask()
    }
    queue.plan(this.#delay(asked.retryAfterMs), this.#beat)
  }

  #fault(queue: Queue, attempt: Attempt, { error, askedAtMs }: Asked & { status: 'fault' }): void {
    const { clock, random } = this.#host
    queue.failingSinceMs ??= askedAtMs
    if (clock.monotonicMs() - queue.failingSinceMs >= OUTAGE_MS) {
      for (const waiting of queue.all()) waiting.fail(error)
    } else {
      this.#host.onWaitFault(attempt, error)
      queue.plan(RETRY_MS * (0.5 + random() / 2), this.#beat)
    }
  }

  #delay(retryAfterMs: number | null): number {
    if (retryAfterMs === 0) return 0
    return Math.min(this.#beatMs, (retryAfterMs ?? this.#beatMs) + SPREAD_MS * this.#host.random())
  }
}

/** The waiting attempts of one client for one lock, oldest first. */
class Queue {
  beating = false
  /** Beat once more when the present beat is done. */
  again = false
  /** When the first of the questions was asked that have all failed since, on the monotonic clock. */
  failingSinceMs: number | null = null

  readonly #clock: Clock
  readonly #onEmpty: () => void
  readonly #attempts = new TicketQueue<Attempt>()
  #timer: Timer | null = null
  #timerDueMs = Infinity

  constructor(clock: Clock, onEmpty: () => void) {
    this.#clock = clock
    this.#onEmpty = onEmpty
  }

  add(attempt: Attempt): void {
    this.#attempts.add(attempt.claim.owner, attempt.ticket ?? Infinity, attempt)
  }

  remove(attempt: Attempt): void {
    if (!this.#attempts.delete(attempt.claim.owner) || this.#attempts.size > 0) return
    this.#timer?.cancel()
    this.#onEmpty()
  }

  all(): readonly Attempt[] {
    return this.#attempts.head(Infinity).map(({ value }) => value)
  }

  oldest(): Attempt | undefined {
    return this.#attempts.first()
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
