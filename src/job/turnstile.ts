/** What passing a {@link Turnstile} came to. */
export interface Passed<T> {
  readonly value: T
  /** Whether it was this caller's question that was answered. */
  readonly first: boolean
}

interface Question<T> {
  readonly answer: Promise<T>
  /** What those ask who came while this one was asked, and whom its answer does not serve. */
  next: Question<T> | null
}

/**
 * Lets one question per key be under way at a time. Who comes meanwhile takes its answer if that serves them too, and
 * else shares the next one, which is asked after all of them came: so each gets an answer that is true after it came, and
 * a thousand cost two questions.
 */
export class Turnstile<T> {
  readonly #underWay = new Map<string, Question<T>>()
  readonly #serves: (answer: T) => boolean

  /** @param serves whether an answer also serves those who came while it was asked for */
  constructor(serves: (answer: T) => boolean) {
    this.#serves = serves
  }

  async pass(key: string, ask: () => Promise<T>): Promise<Passed<T>> {
    const before = this.#underWay.get(key)
    if (before === undefined) return { value: await this.#start(key, ask).answer, first: true }
    const [answered] = await Promise.allSettled([before.answer])
    if (answered.status === 'fulfilled' && this.#serves(answered.value)) return { value: answered.value, first: false }
    // One may be under way again, by somebody who came later.
    before.next ??= this.#underWay.get(key) ?? null
    const first = before.next === null
    before.next ??= this.#start(key, ask)
    return { value: await before.next.answer, first }
  }

  #start(key: string, ask: () => Promise<T>): Question<T> {
    const question: Question<T> = { answer: ask(), next: null }
    this.#underWay.set(key, question)
    const done = () => {
      if (this.#underWay.get(key) === question) this.#underWay.delete(key)
    }
    question.answer.then(done, done)
    return question
  }
}
