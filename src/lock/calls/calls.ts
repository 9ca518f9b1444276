import type { Backend, LockState } from '../../backend.js'
import type { SoloistError } from '../../errors.js'
import type { Clock } from '../../internal/clock.js'
import { Bounded, type Deadlines } from './deadlines.js'
import { type Failures, mayPass } from './failures.js'

/** A backend's calls other than steps, each bounded in time and each failing in one way only: with a `SoloistError`. */
export class Calls {
  readonly #backend: Backend
  readonly #clock: Clock
  readonly #deadlines: Deadlines
  readonly #failures: Failures

  constructor(backend: Backend, clock: Clock, deadlines: Deadlines, failures: Failures) {
    this.#backend = backend
    this.#clock = clock
    this.#deadlines = deadlines
    this.#failures = failures
  }

  /** Makes a call. One that throws instead of rejecting is treated alike. */
  run<T>(what: string, call: (backend: Backend) => Promise<T>): Promise<T> {
    const start = async () => await call(this.#backend)
    return this.bounded(what, start())
  }

  /**
   * Makes a call that is safe to repeat, and repeats it once within the same bound when it failed: its answer may have
   * been lost with a connection, and the same question again is answered with what became of the first.
   */
  twice<T>(what: string, call: (backend: Backend) => Promise<T>): Promise<T> {
    const start = async () => await call(this.#backend)
    const work = start().catch(async (error: unknown) => {
      if (!mayPass(error)) throw error
      return await call(this.#backend)
    })
    return this.bounded(what, work)
  }

  /**
   * Every lock in use whose name starts with `prefix`. Each step is a call of its own, with its bound and its errors.
   *
   * @param isOpen whether a list that is left early may still be told so
   */
  async *list(prefix: string, isOpen: () => boolean): AsyncGenerator<LockState, void, undefined> {
    const states = this.#backend.list(prefix)[Symbol.asyncIterator]()
    let left = false
    try {
      for (;;) {
        const next = await this.run('list', () => states.next())
        if (next.done === true) return
        left = true
        yield next.value
        left = false
      }
    } finally {
      // Only when the caller left early: what failed or hangs would do so again, and after `close()` nothing is open.
      if (left && isOpen()) await this.run('list', async () => await states.return?.())
    }
  }

  /** Settles with the work, or rejects once it took too long. The work itself cannot be taken back. */
  bounded<T>(what: string, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const call = new BoundedCall(reject, () => this.#failures.late(what, this.#deadlines.afterMs))
      this.#deadlines.add(call, this.#clock.monotonicMs())
      work.then(
        value => {
          this.#failures.last = undefined
          this.#deadlines.remove(call)
          resolve(value)
        },
        (error: unknown) => {
          this.#failures.last = error
          this.#deadlines.remove(call)
          reject(this.#failures.from(what, error))
        },
      )
    })
  }
}

class BoundedCall extends Bounded {
  readonly #reject: (reason: SoloistError) => void
  readonly #late: () => SoloistError

  constructor(reject: (reason: SoloistError) => void, late: () => SoloistError) {
    super()
    this.#reject = reject
    this.#late = late
  }

  expire(): void {
    this.#reject(this.#late())
  }

  cut(reason: SoloistError): void {
    this.#reject(reason)
  }
}
