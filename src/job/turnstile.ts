/** What passing a {@link Turnstile} came to. */
export interface Passed<T> {
  readonly value: T
  /** Whether this caller asked, and did not take the answer of another. */
  readonly first: boolean
}

interface Question<T> {
  readonly answer: Promise<T>
  /** The question of the callers that came while this one was under way, where its answer does not serve them. */
  next: Question<T> | null
}

/**
 * Lets one question per key be under way at a time. A caller that comes meanwhile waits for its answer. If that answer
 * serves it, it takes it. If not, all such callers share one more question. It is asked after each of them came, so its
 * answer is not older than any of them; and a thousand callers cost two questions.
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
    // A caller that came later may have asked the next question already.
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
