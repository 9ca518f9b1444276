import type { SoloistError } from '../../errors.js'
import type { Clock, Timer } from '../../internal/clock.js'
import { RingLink } from '../../internal/ring.js'

const BACKGROUND = { background: true } as const
/** A timer that is so late tells that this process was held up, and that answers wait to be read. */
const HELD_UP_MS = 100
/** How long they have then. */
const READS_FOR_MS = 50

/** What ends by itself when its time is up. */
export abstract class Bounded {
  readonly link: RingLink<Bounded> = new RingLink<Bounded>(this)
  /** On the monotonic clock. */
  dueMs = 0

  /** Its time is up. It is not in the queue any more. */
  abstract expire(): void
  /** It is to end now, for this reason. It is not in the queue any more. */
  abstract cut(reason: SoloistError): void
}

/**
 * Everything that has the same time to end: so the first to come is the first that is due, and one timer serves all. The
 * timer stays when there is nothing to end, since what comes next needs it, and then does not keep the process alive.
 */
export class Deadlines {
  readonly afterMs: number
  readonly #clock: Clock
  readonly #ring = new RingLink<Bounded>()
  readonly #background: boolean
  #timer: Timer | null = null
  /** While some are told that their time is up, others may come: only then the next is known. */
  #firing = false
  /** Whether it was held up when the time of some was up, and their answers are being read now. */
  #reading = false

  /** @param background whether the process may end before */
  constructor(clock: Clock, afterMs: number, background = false) {
    this.#clock = clock
    this.#background = background
    this.afterMs = afterMs
  }

  add(bounded: Bounded, nowMs: number): void {
    bounded.dueMs = nowMs + this.afterMs
    if (this.#timer !== null) {
      if (!this.#background && this.#ring.alone) this.#timer.keepAlive?.(true)
    } else if (!this.#firing) this.#arm(this.afterMs)
    this.#ring.append(bounded.link)
  }

  remove(bounded: Bounded): void {
    bounded.link.leave()
    if (!this.#background && this.#ring.alone) this.#timer?.keepAlive?.(false)
  }

  /** Ends everything now. */
  cut(reason: SoloistError): void {
    this.#disarm()
    for (let { first } = this.#ring; first !== null; first = this.#ring.first) {
      first.link.leave()
      first.cut(reason)
    }
  }

  readonly #fire = (): void => {
    this.#timer = null
    const now = this.#clock.monotonicMs()
    let { first } = this.#ring
    if (first !== null && now - first.dueMs >= HELD_UP_MS && !this.#reading) {
      this.#reading = true
      return this.#arm(READS_FOR_MS)
    }
    this.#reading = false
    this.#firing = true
    try {
      for (; first !== null && first.dueMs <= now; first = this.#ring.first) {
        first.link.leave()
        first.expire()
      }
    } finally {
      this.#firing = false
      if (first !== null) this.#arm(Math.max(first.dueMs - now, 0))
    }
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.setTimer(delayMs, this.#fire, this.#background ? BACKGROUND : undefined)
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = null
  }
}
