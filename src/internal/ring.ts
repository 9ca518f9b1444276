/**
 * A link of a ring, and as its head an empty ring: joining and leaving cost the same however long the ring is. What is linked
 * has its links rather than being one, so that every link is of one shape, which is what makes them fast.
 */
export class RingLink<T> {
  /** What is linked; `null`: this is the head of a ring. */
  readonly #value: T | null
  #prev: RingLink<T> = this
  #next: RingLink<T> = this

  constructor(value: T | null = null) {
    this.#value = value
  }

  /** Whether it is in no ring, or as a head: whether its ring is empty. */
  get alone(): boolean {
    return this.#next === this
  }

  /** What comes first in the ring that this is the head of; `null` when it is empty. */
  get first(): T | null {
    return this.#next.#value
  }

  /** All that is in the ring that this is the head of, as of now. */
  all(): readonly T[] {
    const all: T[] = []
    for (let link = this.#next; link !== this; link = link.#next) all.push(link.#value as T)
    return all
  }

  /** Puts a link that is alone at the end of the ring that this is the head of. */
  append(link: RingLink<T>): void {
    const last = this.#prev
    link.#prev = last
    link.#next = this
    last.#next = link
    this.#prev = link
  }

  /** Takes this link out of its ring, if it is in one. */
  leave(): void {
    const prev = this.#prev
    const next = this.#next
    prev.#next = next
    next.#prev = prev
    this.#prev = this
    this.#next = this
  }
}
