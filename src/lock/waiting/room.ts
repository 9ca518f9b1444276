import type { SoloistError } from '../../errors.js'
import type { Clock, Timer } from '../../internal/clock.js'
import { TicketQueue } from '../../internal/ticket-queue.js'
import { OUTAGE_MS, RETRY_MS } from './outage.js'

/** Questions planned for the moment a lease ends are spread over this long, so that clients do not come all at once. */
const SPREAD_MS = 20

/** What one question to the backend came to, for whoever plans the next one. */
export type Asked =
  /** The attempt has its lease. */
  | { readonly status: 'granted' }
  /** The attempt ended meanwhile. `heard`: the backend granted its claim all the same, now or just before. */
  | { readonly status: 'ended'; readonly heard: boolean }
  | { readonly status: 'busy'; readonly retryAfterMs: number | null; readonly requeued: boolean }
  | { readonly status: 'fault'; readonly error: SoloistError; readonly askedAtMs: number }

/** A call that waits for a lock. */
export interface Waiter {
  readonly name: string
  readonly owner: string
  /** Its place, once there is one. */
  readonly ticket: number | null
  /** Where it waits; `null`: it does not. Kept by the waiting room. */
  queue: WaitingQueue | null
  /** Asks the backend for the lock, at this place. */
  ask(then: (asked: Asked) => void): void
  /** Asks whether a grant that was pushed still stands. */
  confirm(then: (asked: Asked) => void): void
  /** Ends the wait. */
  fail(error: unknown): void
}

/** What the waiting room needs from the client it belongs to. */
export interface WaitingHost {
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  /** A question failed; it is asked again. */
  onWaitFault(waiter: Waiter, error: unknown): void
}

/**
 * Everything of one client that waits. Grants arrive by push, or in the answer to a step; what keeps the queue whole when
 * they are lost is the *beat*: the oldest claim per lock is asked for again at the latest every `beatMs`, or when the
 * present lease should have ended. So an idle queue costs per client and lock, never per waiter.
 */
export class WaitingRoom {
  readonly #host: WaitingHost
  readonly #beatMs: number
  readonly #queues = new Map<string, WaitingQueue>()

  constructor(host: WaitingHost, beatMs: number) {
    this.#host = host
    this.#beatMs = beatMs
  }

  /** A claim was queued. */
  add(waiter: Waiter, retryAfterMs: number | null): void {
    const { name } = waiter
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      queue = new WaitingQueue(this.#host.clock, name)
      this.#queues.set(name, queue)
    }
    queue.add(waiter)
    queue.plan(this.#delay(retryAfterMs), this.#beat)
  }

  remove(waiter: Waiter): void {
    const { queue } = waiter
    if (queue?.remove(waiter)) this.#queues.delete(queue.name)
  }

  /**
   * A grant for this call was pushed. It may have overtaken the answer that the claim was queued; if it cannot be
   * confirmed then, that answer is what counts.
   */
  grant(waiter: Waiter): void {
    waiter.confirm(asked => {
      const queue = this.#queues.get(waiter.name)
      if (queue !== undefined) this.#after(queue, waiter, asked)
    })
  }

  /** A grant of this lock may have been missed. */
  ask(name: string): void {
    const queue = this.#queues.get(name)
    if (queue !== undefined) this.#beat(queue)
  }

  /** Grants may have been missed: ask for everything. */
  gap(): void {
    for (const queue of this.#queues.values()) this.#beat(queue)
  }

  readonly #beat = (queue: WaitingQueue): void => {
    if (queue.beating) {
      queue.again = true
      return
    }
    const oldest = queue.oldest()
    if (oldest === undefined) return
    queue.beating = true
    queue.again = false
    oldest.ask(asked => {
      queue.beating = false
      this.#after(queue, oldest, asked)
      // Granted without being told, so that was lost; the next in line may miss one as well. Or it left unheard.
      const next = asked.status === 'granted' || (asked.status === 'ended' && !asked.heard)
      if (queue.again || next) this.#beat(queue)
    })
  }

  #after(queue: WaitingQueue, waiter: Waiter, asked: Asked): void {
    if (asked.status === 'fault') return this.#fault(queue, waiter, asked)
    if (asked.status === 'ended' && !asked.heard) return
    queue.failingSinceMs = null
    if (asked.status === 'granted') return
    if (asked.status === 'ended') return queue.plan(this.#delay(null), this.#beat)
    // The datastore lost its queue, so the others are missing too: each goes back to its place.
    if (asked.requeued) for (const other of queue.all()) if (other !== waiter) queue.missing.add(other)
    this.#askMissing(queue)
    queue.plan(this.#delay(asked.retryAfterMs), this.#beat)
  }

  /** Asks for what may be missing in the datastore's queue. What fails is asked again, once the oldest was answered. */
  #askMissing(queue: WaitingQueue): void {
    const missing = [...queue.missing]
    queue.missing.clear()
    for (const waiter of missing) {
      waiter.ask(asked => {
        if (asked.status !== 'fault' || waiter.queue !== queue) return
        queue.missing.add(waiter)
        this.#host.onWaitFault(waiter, asked.error)
        queue.plan(this.#retryMs(), this.#beat)
      })
    }
  }

  #fault(queue: WaitingQueue, waiter: Waiter, { error, askedAtMs }: Asked & { status: 'fault' }): void {
    queue.failingSinceMs ??= askedAtMs
    if (this.#host.clock.monotonicMs() - queue.failingSinceMs >= OUTAGE_MS) {
      for (const waiting of queue.all()) waiting.fail(error)
    } else {
      this.#host.onWaitFault(waiter, error)
      queue.plan(this.#retryMs(), this.#beat)
    }
  }

  #retryMs(): number {
    return RETRY_MS * (0.5 + this.#host.random() / 2)
  }

  #delay(retryAfterMs: number | null): number {
    if (retryAfterMs === 0) return 0
    return Math.min(this.#beatMs, (retryAfterMs ?? this.#beatMs) + SPREAD_MS * this.#host.random())
  }
}

/** The waiting calls of one client for one lock, oldest first. */
export class WaitingQueue {
  readonly name: string
  beating = false
  /** Beat once more when the present beat is done. */
  again = false
  /** When the first of the questions was asked that have all failed since, on the monotonic clock. */
  failingSinceMs: number | null = null
  /** Those that may have no place in the datastore's queue any more, and are to be asked for. */
  readonly missing: Set<Waiter> = new Set()

  readonly #clock: Clock
  readonly #waiters = new TicketQueue<Waiter>()
  #timer: Timer | null = null
  #timerDueMs = Infinity

  constructor(clock: Clock, name: string) {
    this.#clock = clock
    this.name = name
  }

  add(waiter: Waiter): void {
    waiter.queue = this
    this.#waiters.add(waiter.owner, waiter.ticket ?? Infinity, waiter)
  }

  /** @returns whether nobody waits here any more */
  remove(waiter: Waiter): boolean {
    waiter.queue = null
    this.missing.delete(waiter)
    this.#waiters.delete(waiter.owner)
    if (this.#waiters.size > 0) return false
    this.#timer?.cancel()
    return true
  }

  all(): readonly Waiter[] {
    return this.#waiters.head(Infinity).map(({ value }) => value)
  }

  oldest(): Waiter | undefined {
    return this.#waiters.first()
  }

  /** Beat after `delayMs`, unless a beat is due sooner. */
  plan(delayMs: number, beat: (queue: WaitingQueue) => void): void {
    const dueMs = this.#clock.monotonicMs() + delayMs
    if (this.#waiters.size === 0 || dueMs >= this.#timerDueMs) return
    this.#timer?.cancel()
    this.#timerDueMs = dueMs
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#timerDueMs = Infinity
      beat(this)
    })
  }
}
