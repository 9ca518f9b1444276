import type { Claim, GrantEvent } from '../../backend.js'
import { type Clock, systemClock, type Timer } from '../../internal/clock.js'
import { ALIVE_MS, BEAT_MS } from './rows.js'
import type { News } from './store.js'

/** How often the database is looked at while claims wait. One look takes 5 to 8 µs as long as nothing has changed. */
const POLL_MS = 5

/** How the watch looks at the database. Its looks may throw what SQLite throws; `null`: it is not open. */
export interface Watched {
  /** A number that changes whenever another connection has changed the database. */
  version(): number | null
  /** The unconfirmed grants of a client. */
  granted(client: string): readonly News[] | null
  /** The claims that a client watched and that are over. */
  ended(client: string): readonly News[] | null
  /** A look threw this. */
  failed(error: unknown): void
}

/** A claim, for whoever asks about it. */
type Subject = Pick<Claim, 'name' | 'owner' | 'client'>

/**
 * Finds the grants that were made to this backend's waiting claims and the ends of the claims it watches, and hands each
 * to the listener once. What other connections did it finds by looking at the database, and it looks only while a claim
 * waits or is watched.
 */
export class PushWatch {
  readonly #watched: Watched
  readonly #clock: Clock
  listener: (event: GrantEvent) => void = () => {}
  /** By client, then by name and owner: the claims that wait, with the fence of the grant that was handed on already. */
  readonly #waiting = new Map<string, Map<string, number | null>>()
  /** By client, then by name and owner: the claims that are watched, with the time when they were last asked about. */
  readonly #watching = new Map<string, Map<string, number>>()
  #seenVersion: number | null = null
  #timer: Timer | null = null
  #pruneDueMs = 0
  #closed = false

  constructor(watched: Watched, clock: Clock = systemClock) {
    this.#watched = watched
    this.#clock = clock
  }

  /** The claim waits in the queue. */
  addWaiting(claim: Subject): void {
    const claims = entries(this.#waiting, claim.client)
    const key = keyOf(claim)
    if (!claims.has(key)) claims.set(key, null)
    this.#start()
  }

  /** The claim does not wait any more: it was granted, confirmed or given up. */
  removeWaiting(claim: Subject): void {
    if (remove(this.#waiting, claim.client, keyOf(claim))) this.#rest()
  }

  /** The client asked about the claim, which is live. */
  addWatching(claim: Subject): void {
    entries(this.#watching, claim.client).set(keyOf(claim), this.#clock.monotonicMs())
    this.#start()
  }

  /** The client knows that the claim is over. */
  removeWatching(claim: Subject): void {
    if (remove(this.#watching, claim.client, keyOf(claim))) this.#rest()
  }

  /** Hands on what is for a claim that waits here or is watched, and was not handed on before. */
  deliver(news: readonly News[]): void {
    for (const { client, ...event } of news) {
      const key = keyOf(event)
      if (event.type === 'ended') {
        if (!remove(this.#watching, client, key)) continue
        this.#rest()
      } else {
        const claims = this.#waiting.get(client)
        const delivered = claims?.get(key)
        if (claims === undefined || delivered === undefined || delivered === event.fence) continue
        claims.set(key, event.fence)
      }
      this.listener(event)
    }
  }

  /** The file was replaced: what was read before does not count any more, and news may have been missed. */
  gap(): void {
    this.#seenVersion = null
    this.listener({ type: 'gap' })
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
      const granted = [...this.#waiting.keys()].flatMap(client => this.#watched.granted(client) ?? [])
      const ended = [...this.#watching.keys()].flatMap(client => this.#watched.ended(client) ?? [])
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
    for (const [client, claims] of this.#watching) {
      for (const [key, seenMs] of claims) if (nowMs - seenMs > ALIVE_MS) remove(this.#watching, client, key)
    }
    this.#rest()
  }
}

function entries<T>(clients: Map<string, Map<string, T>>, client: string): Map<string, T> {
  let claims = clients.get(client)
  if (claims === undefined) {
    claims = new Map()
    clients.set(client, claims)
  }
  return claims
}

/** @returns whether it was there */
function remove<T>(clients: Map<string, Map<string, T>>, client: string, key: string): boolean {
  const claims = clients.get(client)
  if (claims?.delete(key) !== true) return false
  if (claims.size === 0) clients.delete(client)
  return true
}

function keyOf({ name, owner }: { readonly name: string; readonly owner: string }): string {
  return `${name.length} ${name}${owner}`
}
