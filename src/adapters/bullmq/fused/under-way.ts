import { monotonicMs } from '../../../internal/real-time.js'

interface Call {
  readonly sinceMs: number
  reject(error: Error): void
}

/** Calls that were sent and not answered yet. */
export class UnderWay {
  readonly #calls = new Set<Call>()

  /** What a call comes to, unless {@link UnderWay.end} comes before its answer. */
  until<T>(made: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const call: Call = { sinceMs: monotonicMs(), reject }
      this.#calls.add(call)
      made.then(
        answer => {
          this.#calls.delete(call)
          resolve(answer)
        },
        error => {
          this.#calls.delete(call)
          reject(error)
        },
      )
    })
  }

  /** Since when the oldest waits, on this process's monotonic clock; `null`: there is none. */
  get sinceMs(): number | null {
    const [oldest] = this.#calls
    return oldest?.sinceMs ?? null
  }

  /** None of them will be answered: all are rejected. */
  end(): void {
    for (const { reject } of this.#calls) reject(new Error('Connection is closed.'))
    this.#calls.clear()
  }
}
