import type { ClaimId, StoreEvent } from '../../backend.js'
import { type Clock, systemClock, type Timer } from '../../internal/clock.js'
import { ALIVE_MS, BEAT_MS } from './rows.js'
import type { News } from './store.js'

/** How often the database is looked at while claims wait. One look takes 5 to 8 µs as long as nothing has changed. */
const POLL_MS = 5

/** How the watch looks at the database. Its looks may throw what SQLite throws; `null`: it is not open. */
export interface Watched {
  /** A number that changes whenever another connection has changed the database. */
  version(): number | null
  /** The client's unconfirmed grants. */
  granted(): readonly News[] | null
  /** The claims that the client watched and that are over. */
  ended(): readonly News[] | null
  /** A look threw this. */
  failed(error: unknown): void
}

/**
 * Finds the grants that were made to this client's waiting claims and the ends of the claims it watches, and hands each to
 * the listener once. What other connections did it finds by looking at the database, and it looks only while a claim waits
 * or is watched.
 */
export class PushWatch {
  readonly #watched: Watched
  readonly #clock: Clock
  #client = ''
  #listener: (event: StoreEvent) => void = () => {}
  /** By name and owner: the claims that wait, with the fence of the grant that was handed on already. */
  readonly #waiting = new Map<string, number | null>()
  /** By name and owner: the claims that are watched, with the time when they were last asked about. */
  readonly #watching = new Map<string, number>()
  #seenVersion: number | null = null
  #timer: Timer | null = null
  #pruneDueMs = 0
  #closed = false

  constructor(watched: Watched, clock: Clock = systemClock) {
    this.#watched = watched
    this.#clock = clock
  }

  open(client: string, listener: (event: StoreEvent) => void): void {
    this.#client = client
    this.#listener = listener
  }

  /** The claim waits in the queue. */
  addWaiting(claim: ClaimId): void {
    const key = keyOf(claim)
    if (!this.#waiting.has(key)) this.#waiting.set(key, null)
    this.#start()
  }

  /** The claim does not wait any more: it was granted, confirmed or given up. */
  removeWaiting(claim: ClaimId): void {
    if (this.#waiting.size > 0 && this.#waiting.delete(keyOf(claim))) this.#rest()
  }

  /** The client asked about the claim, which is live. */
  addWatching(claim: ClaimId): void {
    this.#watching.set(keyOf(claim), this.#clock.monotonicMs())
    this.#start()
  }

  /** The client knows that the claim is over. */
  removeWatching(claim: ClaimId): void {
    if (this.#watching.delete(keyOf(claim))) this.#rest()
  }

  /** Hands on what is for a claim that waits here or is watched, and was not handed on before. */
  deliver(news: readonly News[]): void {
    for (const { client, ...event } of news) {
      if (client !== this.#client) continue
      const key = keyOf(event)
      if (event.type === 'ended') {
        if (!this.#watching.delete(key)) continue
        this.#rest()
      } else {
        const delivered = this.#waiting.get(key)
        if (delivered === undefined || delivered === event.fence) continue
        this.#waiting.set(key, event.fence)
      }
      this.#listener(event)
    }
  }

  /** The file was replaced: what was read before does not count any more, and news may have been missed. */
  gap(): void {
    this.#seenVersion = null
    this.#listener({ type: 'gap' })
  }

  /** For good. */
  close(): void {
    this.#closed = true
    this.#waiting.clear()
    this.#watching.clear()
    this.#rest()
  }

  #start(): void {
    // A caller that waits keeps the process alive by a timer of its own. This one need not.
    if (!this.#closed) this.#timer ??= this.#clock.setTimer(POLL_MS, () => this.#onTimer(), { background: true })
  }

  #onTimer(): void {
    this.#timer = null
    try {
      this.#look()
    } finally {
      if (this.#hasClaims()) this.#start()
    }
  }

  #hasClaims(): boolean {
    return this.#waiting.size > 0 || this.#watching.size > 0
  }

  /** Stops looking when there is nothing to look for. */
  #rest(): void {
    if (this.#hasClaims()) return
    this.#timer?.cancel()
    this.#timer = null
  }

  #look(): void {
    this.#prune()
    try {
      const version = this.#watched.version()
      if (version === this.#seenVersion) return
      const granted = this.#waiting.size > 0 ? (this.#watched.granted() ?? []) : []
      const ended = this.#watching.size > 0 ? (this.#watched.ended() ?? []) : []
      this.#seenVersion = version
      this.deliver([...granted, ...ended])
    } catch (error) {
      this.#seenVersion = null
      this.#watched.failed(error)
    }
  }

  /** Once per beat, forgets claims that nobody asks about any more. */
  #prune(): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs < this.#pruneDueMs) return
    this.#pruneDueMs = nowMs + BEAT_MS
    for (const [key, seenMs] of this.#watching) if (nowMs - seenMs > ALIVE_MS) this.#watching.delete(key)
    this.#rest()
  }
}

function keyOf({ name, owner }: ClaimId): string {
  return `${name.length} ${name}${owner}`
}
