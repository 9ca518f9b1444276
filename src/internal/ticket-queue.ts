/** A value and its place. */
export interface Ticketed<T> {
  readonly ticket: number
  readonly value: T
}

/** Values by ticket, lowest first. Nearly every new ticket is the highest, so joining the queue needs no search. */
export class TicketQueue<T> {
  #entries = new Map<string, Ticketed<T>>()
  #highest = -Infinity

  get size(): number {
    return this.#entries.size
  }

  /** The highest ticket since the queue was last empty. */
  get highest(): number {
    return this.#highest
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  ticketOf(key: string): number | undefined {
    return this.#entries.get(key)?.ticket
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.value
  }

  first(): T | undefined {
    for (const { value } of this.#entries.values()) return value
    return undefined
  }

  /** The first entries, at most `count`. */
  head(count: number): readonly Ticketed<T>[] {
    const head: Ticketed<T>[] = []
    for (const entry of this.#entries.values()) if (head.push(entry) >= count) break
    return head
  }

  add(key: string, ticket: number, value: T): void {
    this.#entries.set(key, { ticket, value })
    if (ticket >= this.#highest) this.#highest = ticket
    else this.#entries = new Map([...this.#entries].sort(([, a], [, b]) => a.ticket - b.ticket))
  }

  delete(key: string): boolean {
    const deleted = this.#entries.delete(key)
    if (this.#entries.size === 0) this.#highest = -Infinity
    return deleted
  }
}
