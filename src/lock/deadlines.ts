import type { SoloistError } from '../errors.js'
import type { Clock, Timer } from '../internal/clock.js'
import { append, Link, unlink } from '../internal/ring.js'

/** What ends by itself when its time is up. */
export abstract class Bounded extends Link {
  /** On the monotonic clock. */
  dueMs = 0

  /** Its time is up. It is not in the queue any more. */
  abstract expire(): void
  /** It is to end now, for this reason. It is not in the queue any more. */
  abstract cut(reason: SoloistError): void
}

/** Everything that has the same time to end: so the first to come is the first that is due, and one timer serves all. */
export class Deadlines {
  readonly afterMs: number
  readonly #clock: Clock
  readonly #ring = new Link()
  #timer: Timer | null = null

  constructor(clock: Clock, afterMs: number) {
    this.#clock = clock
    this.afterMs = afterMs
  }

  add(bounded: Bounded, nowMs: number): void {
    bounded.dueMs = nowMs + this.afterMs
    this.#timer ??= this.#clock.setTimer(this.afterMs, this.#fire)
    append(this.#ring, bounded)
  }

  remove(bounded: Bounded): void {
    unlink(bounded)
    if (this.#ring.alone) this.#disarm()
  }

  /** Ends everything now. */
  cut(reason: SoloistError): void {
    this.#disarm()
    for (let first = this.#first(); first !== null; first = this.#first()) {
      unlink(first)
      first.cut(reason)
    }
  }

  readonly #fire = (): void => {
    this.#timer = null
    const now = this.#clock.monotonicMs()
    let first = this.#first()
    for (; first !== null && first.dueMs <= now; first = this.#first()) {
      unlink(first)
      first.expire()
    }
    if (first !== null) this.#timer ??= this.#clock.setTimer(first.dueMs - now, this.#fire)
  }

  #first(): Bounded | null {
    return this.#ring.alone ? null : (this.#ring.next as Bounded)
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = null
  }
}
