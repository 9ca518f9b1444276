import { SoloistError } from '../../../errors.js'
import { systemClock, type Timer } from '../../../internal/clock.js'
import { backoffMs } from './backoff.js'
import type { Source, Subscriber } from './library.js'
import { isWrongServer, replyCode } from './replies.js'
import { afterLooks } from './silence.js'

/** How long a connection may take to be opened and to confirm its channels; twice as long after each that did not. */
const SUBSCRIBE_MS = 2_000
const MOST_SUBSCRIBE_MS = 8_000
/** How long {@link Pushes.hear} waits, over several connections. Below the time core gives a call. */
const HEAR_MS = 4_500
/** While claims wait, the connection has to show that it lives, about once in so long. */
const PROBE_EVERY_MS = 4_000
const PROBE_MS = 2_000
/** A connection that lived so long was a good one. */
const GOOD_MS = 10_000
/** Within this time a second suspicion counts, and a connection is replaced at most once for suspicions alone. */
const AGAIN_MS = 30_000

interface Hearing {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export interface PushEvents {
  onMessage(message: string): void
  onGap(): void
  /** The connection is replaced. */
  onReplaced(why: unknown): void
  /** All channels are confirmed, for the first time or again. */
  onConfirmed(): void
}

/** The connection for pushes: opened when the first channel is to be heard, and replaced as long as there are any. */
export class Pushes {
  readonly #source: Source
  readonly #events: PushEvents
  /** The channels that were confirmed at some time: they are asked for on every new connection. */
  readonly #heard = new Set<string>()
  /** The channels that somebody waits for. */
  readonly #hearings = new Map<string, Hearing>()
  #subscriber: Subscriber | null = null
  /** Whether its channels are being asked for just now. */
  #asking = false
  /** What it has confirmed. */
  readonly #confirmed = new Set<string>()
  #reopen: Timer | null = null
  #closed = false
  #probing = false
  /** When the connection last showed that it lives. */
  #provenAt = Number.NEGATIVE_INFINITY
  #openedAt = 0
  #replacedAt = Number.NEGATIVE_INFINITY
  #suspectedAt = Number.NEGATIVE_INFINITY
  #failures = 0
  #trouble: unknown

  constructor(source: Source, events: PushEvents) {
    this.#source = source
    this.#events = events
  }

  /**
   * Whether the channel was confirmed. Its connection may be away just now: that is being mended. To be asked for every
   * claim that is queued, since it also looks, now and then, whether the connection lives.
   */
  hears(channel: string): boolean {
    if (!this.#heard.has(channel)) return false
    if (systemClock.monotonicMs() - this.#provenAt >= PROBE_EVERY_MS) this.probe()
    return true
  }

  hearsNow(channel: string): boolean {
    return this.#subscriber !== null && this.#confirmed.has(channel)
  }

  /** Resolves when the server has confirmed the channel. */
  hear(channel: string): Promise<void> {
    if (this.#closed) return Promise.reject(closed())
    if (this.#heard.has(channel)) return Promise.resolve()
    const present = this.#hearings.get(channel)
    if (present !== undefined) return present.promise
    const hearing = this.#hearing(channel)
    this.#hearings.set(channel, hearing)
    if (this.#subscriber !== null) void this.#ask(this.#subscriber)
    else if (this.#reopen === null) void this.#open()
    return hearing.promise
  }

  /**
   * Something shows that pushes may not arrive. The connection is asked for an answer first, since a claim whose turn comes
   * while it is away is passed over; it is replaced when it gives none, when the same comes again soon, or at once where
   * the server is `wrong`.
   */
  suspect(why: unknown, wrong = false): void {
    const subscriber = this.#subscriber
    if (subscriber === null || this.#asking) return
    const now = systemClock.monotonicMs()
    const again = now - this.#suspectedAt < AGAIN_MS && now - this.#suspectedAt >= PROBE_MS
    this.#suspectedAt = now
    if (wrong || (again && now - this.#replacedAt >= AGAIN_MS)) this.#replace(subscriber, why)
    else this.probe()
  }

  close(): void {
    this.#closed = true
    this.#reopen?.cancel()
    this.#subscriber?.drop()
    this.#subscriber = null
    for (const { reject } of [...this.#hearings.values()]) reject(closed())
  }

  #hearing(channel: string): Hearing {
    let settle: () => void = () => {}
    const hearing = {} as { -readonly [K in keyof Hearing]: Hearing[K] }
    const timer = afterLooks(HEAR_MS, () => {
      hearing.reject(this.#trouble ?? new Error(`SUBSCRIBE was not answered within ${HEAR_MS} ms`))
    })
    settle = () => {
      timer.cancel()
      if (this.#hearings.get(channel) === hearing) this.#hearings.delete(channel)
    }
    hearing.promise = new Promise((resolve, reject) => {
      hearing.resolve = () => {
        settle()
        resolve()
      }
      hearing.reject = error => {
        settle()
        reject(error)
      }
    })
    return hearing
  }

  async #open(): Promise<void> {
    try {
      await this.#source.load()
    } catch (error) {
      for (const { reject } of [...this.#hearings.values()]) reject(error)
      return
    }
    if (this.#closed || this.#subscriber !== null) return
    this.#openedAt = systemClock.monotonicMs()
    this.#confirmed.clear()
    const isPresent = () => this.#subscriber === subscriber
    const subscriber: Subscriber = this.#source.subscriber({
      onMessage: message => {
        if (!isPresent()) return
        this.#provenAt = systemClock.monotonicMs()
        this.#events.onMessage(message)
      },
      onBack: () => {
        if (isPresent() && !this.#asking) this.#events.onGap()
      },
      onEnd: error => this.#replace(subscriber, error),
    })
    this.#subscriber = subscriber
    await this.#ask(subscriber)
  }

  /** Asks for the channels that are not confirmed. */
  async #ask(subscriber: Subscriber): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    const isNew = this.#confirmed.size === 0 && this.#heard.size > 0
    try {
      for (;;) {
        const channels = [...this.#heard, ...this.#hearings.keys()].filter(channel => !this.#confirmed.has(channel))
        if (channels.length === 0) break
        const most = Math.min(SUBSCRIBE_MS * 2 ** this.#failures, MOST_SUBSCRIBE_MS)
        await inTime(most, 'SUBSCRIBE', subscriber.subscribe(channels))
        if (this.#subscriber !== subscriber) return
        for (const channel of channels) {
          this.#confirmed.add(channel)
          // Nobody waits any more for one that is not kept: it costs nothing.
          this.#hearings.get(channel)?.resolve()
          this.#heard.add(channel)
        }
      }
      this.#asking = false
      this.#provenAt = systemClock.monotonicMs()
      this.#trouble = undefined
      this.#events.onConfirmed()
      if (isNew) this.#events.onGap()
    } catch (error) {
      if (this.#subscriber !== subscriber) return
      this.#asking = false
      const code = replyCode(error)
      // The server's own answer is no matter of the connection.
      const refused = code !== undefined && !isWrongServer(code)
      if (refused) for (const { reject } of [...this.#hearings.values()]) reject(error)
      this.#replace(subscriber, error)
    }
  }

  #replace(subscriber: Subscriber, why: unknown): void {
    if (this.#subscriber !== subscriber) return
    const now = systemClock.monotonicMs()
    const good = !this.#asking && this.#confirmed.size > 0 && now - this.#openedAt > GOOD_MS
    this.#subscriber = null
    this.#asking = false
    this.#trouble = why
    this.#replacedAt = now
    this.#failures = good ? 0 : this.#failures + 1
    subscriber.drop()
    this.#events.onReplaced(why)
    if (this.#heard.size + this.#hearings.size === 0) return
    this.#reopen ??= systemClock.setTimer(backoffMs(this.#failures), () => {
      this.#reopen = null
      if (this.#heard.size + this.#hearings.size > 0) void this.#open()
    })
  }

  /** Replaces the connection if it does not answer now. */
  probe(): void {
    const subscriber = this.#subscriber
    const [channel] = this.#confirmed
    if (subscriber === null || channel === undefined || this.#asking || this.#probing) return
    this.#probing = true
    inTime(PROBE_MS, 'the connection for pushes', subscriber.probe(channel)).then(
      () => {
        this.#probing = false
        this.#provenAt = systemClock.monotonicMs()
      },
      (error: unknown) => {
        this.#probing = false
        this.#replace(subscriber, error)
      },
    )
  }
}

/** The work's outcome, unless it takes too long, which is counted in looks. */
function inTime<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = afterLooks(ms, () => reject(new Error(`${what} was not answered within ${ms} ms`)))
    work.then(resolve, reject).finally(() => timer.cancel())
  })
}

function closed(): SoloistError {
  return new SoloistError('CLOSED', 'this backend was closed')
}
