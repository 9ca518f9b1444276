import { SoloistError } from '../../../index.js'
import { monotonicMs, sleep } from '../../../internal/real-time.js'
import type { Fused } from './fused.js'

/** How long a call waits for a queue to be connected: the default of `callTimeoutMs`. */
const CONNECT_MS = 5_000
const LOOK_MS = 20

export interface ConnectingHost {
  /** `null`: they never can. */
  readonly fused: Fused | null
  /** Whether they can: known once the queue is connected. */
  readonly fusible: Promise<boolean>
}

/** Finds out whether the scripts of a queue can be run within ours, which is known once it is connected. */
export class Connecting {
  readonly #host: ConnectingHost
  /** `null`: that is not known yet. */
  #fuses: boolean | null
  #waiting: { readonly untilMs: number; resolve(fuses: boolean): void; reject(error: Error): void }[] = []

  constructor(host: ConnectingHost) {
    this.#host = host
    this.#fuses = host.fused === null ? false : null
    host.fusible.then(
      can => {
        this.#fuses = can
      },
      // A connection that fails is reported by BullMQ itself.
      () => null,
    )
  }

  /** Whether they can, and Redis can be expected to answer. */
  fuses(nowMs: number): boolean {
    return this.#fuses === true && this.#host.fused?.answers(nowMs) === true
  }

  /**
   * Waits for a while till the queue is connected and its Redis answers. All that wait go on in the order in which they came.
   *
   * @returns whether its scripts can be run within ours
   * @throws SoloistError `BACKEND_UNAVAILABLE`
   */
  connected(): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ untilMs: monotonicMs() + CONNECT_MS, resolve, reject })
      if (this.#waiting.length === 1) void this.#look()
    })
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const known = this.#host.fusible.catch(() => sleep(LOOK_MS))
    for (;;) {
      const nowMs = monotonicMs()
      if (this.#fuses === false || this.fuses(nowMs)) {
        const all = this.#waiting
        this.#waiting = []
        for (const { resolve } of all) resolve(this.#fuses === true)
        return
      }
      for (let first = this.#waiting[0]; first !== undefined && first.untilMs <= nowMs; first = this.#waiting[0]) {
        this.#waiting.shift()
        first.reject(new SoloistError('BACKEND_UNAVAILABLE', 'the Redis of the queue does not answer'))
      }
      if (this.#waiting.length === 0) return
      await (this.#fuses === null ? Promise.race([known, sleep(LOOK_MS)]) : sleep(LOOK_MS))
    }
  }
}
