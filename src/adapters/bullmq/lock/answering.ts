import { SoloistError } from '../../../index.js'
import { clearTimeout, monotonicMs, setTimeout, sleep } from '../../../internal/real-time.js'
import { clientOf, SILENT_MS } from './connection.js'

/** An answer that came before does not tell that the next will come. */
const RECENT_MS = 1_000
const LOOK_MS = 20
/** A client with this status connects no more: what it is given fails at once. */
const ENDED = 'end'

/** The queue is not connected, or a call has no answer. */
export class Unanswered extends SoloistError {
  /** Whether the call was sent: it may be carried out later. */
  readonly sent: boolean

  constructor(sent: boolean, cause?: unknown) {
    super('BACKEND_UNAVAILABLE', 'the Redis of the queue does not answer', cause === undefined ? {} : { cause })
    this.sent = sent
  }
}

/** Bounds the calls of BullMQ's that lock and job in two steps need: they wait for ever themselves. */
export class Answering {
  /** `null`: not connected yet. */
  #client: { readonly status?: unknown } | null = null
  #answeredMs = Number.NEGATIVE_INFINITY
  #asking: Promise<unknown> | null = null

  constructor(made: object) {
    // Elsewhere than on a Redis there is none.
    Promise.resolve(clientOf(made) ?? {}).then(
      one => {
        this.#client = one as object
      },
      // A connection that fails at first is not made any more, and reported by BullMQ itself.
      () => {
        this.#client = { status: ENDED }
      },
    )
  }

  /**
   * Resolves when the queue is connected and answers; what it answered a moment ago counts.
   *
   * @throws Unanswered
   */
  async ready(ask: () => Promise<unknown>): Promise<void> {
    const sinceMs = monotonicMs()
    let cause: unknown
    do {
      if (this.#isConnected && monotonicMs() - this.#answeredMs < RECENT_MS) return
      await this.#connected(sinceMs, cause)
      // All that come meanwhile have the same answer.
      this.#asking ??= ask().finally(() => {
        this.#asking = null
      })
      try {
        return void (await this.#within(this.#asking, sinceMs + SILENT_MS - monotonicMs()))
      } catch (error) {
        if (error instanceof Unanswered) throw error
        cause = error
        if (this.#status === ENDED) break
        await sleep(LOOK_MS)
      }
    } while (monotonicMs() - sinceMs < SILENT_MS)
    throw new Unanswered(false, cause)
  }

  /**
   * Sends a call once the queue is connected. One that is given up may be carried out later.
   *
   * @param moreMs for how much longer than usual it may take
   * @param late what is done when it is answered all the same after it was given up; never rejects
   * @throws Unanswered; what the call throws
   */
  async call<T>(call: () => Promise<T>, moreMs = 0, late: (answer: T) => unknown = () => null): Promise<T> {
    if (!this.#isConnected) await this.#connected(monotonicMs())
    const made = call()
    try {
      return await this.#within(made, SILENT_MS + moreMs)
    } catch (error) {
      if (error instanceof Unanswered) made.then(late, () => null)
      throw error
    }
  }

  /** Of a client elsewhere than on a Redis nothing is known. */
  get #status(): unknown {
    const { status = 'ready' } = this.#client ?? { status: 'connecting' }
    return status
  }

  /** Whether what is sent is answered, or fails. */
  get #isConnected(): boolean {
    return this.#status === 'ready' || this.#status === ENDED
  }

  /** Nothing is sent before: what waits for a connection keeps BullMQ from closing it. */
  async #connected(sinceMs: number, cause?: unknown): Promise<void> {
    while (!this.#isConnected) {
      if (monotonicMs() - sinceMs >= SILENT_MS) throw new Unanswered(false, cause)
      await sleep(LOOK_MS)
    }
  }

  /** A queue that answers others has only much to do. */
  #within<T>(made: Promise<T>, longestMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const sinceMs = monotonicMs()
      let timer: NodeJS.Timeout | undefined
      const look = () => {
        const leftMs = Math.max(sinceMs, this.#answeredMs) + longestMs - monotonicMs()
        if (leftMs <= 0) return reject(new Unanswered(true))
        timer = setTimeout(() => {
          // What came while this process stood still is read first.
          timer = setTimeout(look, 0)
        }, leftMs)
      }
      look()
      made
        .finally(() => clearTimeout(timer))
        .then(value => {
          this.#answeredMs = monotonicMs()
          resolve(value)
        }, reject)
    })
  }
}
