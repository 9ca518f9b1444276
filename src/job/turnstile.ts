/** What passing a {@link Turnstile} came to. */
export interface Passed<T> {
  readonly value: T
  /** Whether it was this caller's question that was answered. */
  readonly first: boolean
}

interface Line<T> {
  /** The question that follows the one under way, once somebody came to ask it. */
  next: Promise<T> | null
}

/**
 * Lets one question per key be under way at a time. Who comes meanwhile shares the next one, which is asked after all of
 * them came: so each gets an answer that was true after it asked, and a thousand cost two questions.
 */
export class Turnstile<T> {
  readonly #lines = new Map<string, Line<T>>()
  readonly #underWay = new Map<string, Promise<unknown>>()

  async pass(key: string, ask: () => Promise<T>): Promise<Passed<T>> {
    const line = this.#lines.get(key)
    if (line === undefined) return { value: await this.#start(key, ask), first: true }
    if (line.next !== null) return { value: await line.next, first: false }
    const before = this.#underWay.get(key)
    line.next = Promise.resolve(before).then(
      () => this.#start(key, ask),
      () => this.#start(key, ask),
    )
    return { value: await line.next, first: true }
  }

  #start(key: string, ask: () => Promise<T>): Promise<T> {
    const line: Line<T> = { next: null }
    this.#lines.set(key, line)
    const answer = ask()
    this.#underWay.set(key, answer)
    const done = () => {
      if (line.next !== null || this.#lines.get(key) !== line) return
      this.#lines.delete(key)
      this.#underWay.delete(key)
    }
    answer.then(done, done)
    return answer
  }
}
