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

interface Call {
  readonly sinceMs: number
  /** For how long nothing may be answered. */
  readonly longestMs: number
  reject(error: Unanswered): void
}

/** Bounds the calls of BullMQ's that lock and job in two steps need: they wait for ever themselves. */
export class Answering {
  /** `null`: not connected yet. */
  #client: { readonly status?: unknown } | null = null
  #answeredMs = Number.NEGATIVE_INFINITY
  #asking: Promise<unknown> | null = null
  readonly #underWay = new Set<Call>()
  #timer: NodeJS.Timeout | null = null
  /** When it is looked which of them have waited for too long. */
  #lookMs = Number.POSITIVE_INFINITY

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
      if (this.isReady) return
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

  /** Whether {@link Answering.ready} would resolve at once. */
  get isReady(): boolean {
    return this.#isConnected && monotonicMs() - this.#answeredMs < RECENT_MS
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
    return await this.#within(call(), SILENT_MS + moreMs, late)
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
  #within<T>(made: Promise<T>, longestMs: number, late: (answer: T) => unknown = () => null): Promise<T> {
    return new Promise((resolve, reject) => {
      const call = { sinceMs: monotonicMs(), longestMs, reject }
      this.#underWay.add(call)
      if (call.sinceMs + longestMs < this.#lookMs) this.#lookAgain()
      else if (this.#underWay.size === 1) this.#timer?.ref()
      made.then(
        value => {
          this.#answeredMs = monotonicMs()
          if (this.#end(call)) resolve(value)
          else late(value)
        },
        error => {
          this.#end(call)
          reject(error)
        },
      )
    })
  }

  /**
   * One timer serves all calls. It stays when none is left, since the next needs it, and then does not keep the process alive.
   *
   * @returns whether the call was still waited for
   */
  #end(call: Call): boolean {
    const waited = this.#underWay.delete(call)
    if (this.#underWay.size === 0) this.#timer?.unref()
    return waited
  }

  /** Leaves no timer behind. What is called later, or is under way, is bounded as before. */
  close(): void {
    this.#lookAgain()
  }

  readonly #lookAgain = (): void => {
    clearTimeout(this.#timer ?? undefined)
    this.#timer = null
    this.#lookMs = Number.POSITIVE_INFINITY
    const nowMs = monotonicMs()
    for (const call of this.#underWay) {
      const dueMs = Math.max(call.sinceMs, this.#answeredMs) + call.longestMs
      if (dueMs > nowMs) this.#lookMs = Math.min(this.#lookMs, dueMs)
      else {
        this.#underWay.delete(call)
        call.reject(new Unanswered(true))
      }
    }
    if (this.#underWay.size === 0) return
    this.#timer = setTimeout(() => {
      // What came while this process stood still is read first.
      this.#timer = setTimeout(this.#lookAgain, 0)
    }, this.#lookMs - nowMs)
  }
}
