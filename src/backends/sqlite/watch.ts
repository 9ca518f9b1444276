import type { Claim, GrantEvent } from '../../backend.js'
import type { Grant } from './rows.js'

/** How often the database is looked at while claims wait. One look takes 5 to 8 µs as long as nothing has changed. */
const POLL_MS = 5

/** How the watch looks at the database. Its looks may throw what SQLite throws; `null`: it is not open. */
export interface Watched {
  /** A number that changes whenever another connection has changed the database. */
  version(): number | null
  /** The unconfirmed grants of a client. */
  pushed(client: string): readonly Grant[] | null
  /** A look threw this. */
  failed(error: unknown): void
}

/**
 * Finds the grants that were made to this backend's waiting claims and hands each to the listener once. Those that
 * other connections made it finds by looking at the database, and it looks only while a claim waits.
 */
export class GrantWatch {
  readonly #watched: Watched
  listener: (event: GrantEvent) => void = () => {}
  /** By client, then by name and owner: the claims that wait, with the fence of the grant that was handed on already. */
  readonly #waiting = new Map<string, Map<string, number | null>>()
  #seenVersion: number | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(watched: Watched) {
    this.#watched = watched
  }

  /** The claim waits in the queue. */
  add(claim: Claim): void {
    let claims = this.#waiting.get(claim.client)
    if (claims === undefined) {
      claims = new Map()
      this.#waiting.set(claim.client, claims)
    }
    const key = keyOf(claim)
    if (!claims.has(key)) claims.set(key, null)
    // Whoever waits is kept alive by what it waits with, not by this.
    this.#timer ??= setInterval(() => this.#look(), POLL_MS).unref()
  }

  /** The claim does not wait any more: it was granted, confirmed or given up. */
  remove(claim: Claim): void {
    const claims = this.#waiting.get(claim.client)
    if (claims === undefined || !claims.delete(keyOf(claim)) || claims.size > 0) return
    this.#waiting.delete(claim.client)
    if (this.#waiting.size === 0) this.stop()
  }

  /** Hands on those of the grants that are for a claim that waits here and that were not handed on before. */
  deliver(grants: readonly Grant[]): void {
    for (const { client, ...event } of grants) {
      const claims = this.#waiting.get(client)
      const delivered = claims?.get(keyOf(event))
      if (claims === undefined || delivered === undefined || delivered === event.fence) continue
      claims.set(keyOf(event), event.fence)
      this.listener(event)
    }
  }

  /** What was seen so far means nothing any more, and grants may have been missed. */
  gap(): void {
    this.#seenVersion = null
    this.listener({ type: 'gap' })
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#waiting.clear()
  }

  #look(): void {
    try {
      const version = this.#watched.version()
      if (version === this.#seenVersion) return
      const grants = [...this.#waiting.keys()].flatMap(client => this.#watched.pushed(client) ?? [])
      this.#seenVersion = version
      this.deliver(grants)
    } catch (error) {
      this.#seenVersion = null
      this.#watched.failed(error)
    }
  }
}

function keyOf({ name, owner }: { readonly name: string; readonly owner: string }): string {
  return `${name.length} ${name}${owner}`
}
