import { afterEvents } from '../../internal/real-time.js'

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

interface Gathered<T, V> {
  readonly item: T
  resolve(value: V): void
  reject(error: unknown): void
}

/**
 * Lets those of one key that come together go together. The first goes alone. Those that come until it is answered go as
 * one group, in the order they came, and so on. So each goes after it came.
 */
export class Gathering<T, V> {
  /** Those that wait, by key, while others are under way. */
  readonly #waiting = new Map<string, Gathered<T, V>[]>()
  readonly #send: (group: readonly T[]) => Promise<readonly V[]>

  /** @param send answers each of a group, in its order */
  constructor(send: (group: readonly T[]) => Promise<readonly V[]>) {
    this.#send = send
  }

  /** @param together whether also the first waits, for all that come in this turn of the event loop */
  join(key: string, item: T, together = false): Promise<V> {
    return new Promise((resolve, reject) => {
      const gathered = { item, resolve, reject }
      const waiting = this.#waiting.get(key)
      if (waiting !== undefined) waiting.push(gathered)
      else if (together) {
        this.#waiting.set(key, [gathered])
        afterEvents(() => void this.#go(key, this.#next(key)))
      } else {
        this.#waiting.set(key, [])
        void this.#go(key, [gathered])
      }
    })
  }

  async #go(key: string, first: readonly Gathered<T, V>[]): Promise<void> {
    for (let group = first; group.length > 0; group = this.#next(key)) {
      try {
        const values = await this.#send(group.map(({ item }) => item))
        group.forEach(({ resolve }, i) => {
          resolve(values[i] as V)
        })
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
  }

  #next(key: string): readonly Gathered<T, V>[] {
    const group = this.#waiting.get(key) ?? []
    if (group.length === 0) this.#waiting.delete(key)
    else this.#waiting.set(key, [])
    return group
  }
}
