import type { Clock, Timer } from 'soloist'

interface Pending {
  readonly dueMs: number
  readonly run: () => void
}

/** Time that moves only when told to. */
export class ManualClock implements Clock {
  #monotonicMs = 1_000
  #wallMs = Date.UTC(2026, 0, 1)
  readonly #timers = new Set<Pending>()

  monotonicMs(): number {
    return this.#monotonicMs
  }

  wallMs(): number {
    return this.#wallMs
  }

  /** In whole milliseconds, as `setTimeout` counts. */
  setTimer(delayMs: number, run: () => void): Timer {
    const timer = { dueMs: this.#monotonicMs + Math.ceil(Math.max(delayMs, 0)), run }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.size
  }

  /** Runs everything that is ready to run without time passing. */
  async flush(): Promise<void> {
    // Immediates come after every promise that can settle by itself.
    await new Promise(resolve => setImmediate(resolve))
  }

  /** Lets time pass from timer to timer, and everything each of them leads to happen before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#monotonicMs + ms
    await this.flush()
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.block(Math.max(next.dueMs - this.#monotonicMs, 0))
      this.#timers.delete(next)
      next.run()
      await this.flush()
    }
    this.block(untilMs - this.#monotonicMs)
  }

  /** Time passes and nothing runs, as when the event loop is blocked or the process is stopped. */
  block(ms: number): void {
    this.#monotonicMs += ms
    this.#wallMs += ms
  }

  /** Only the wall clock moves, as when the machine sleeps or somebody sets it. */
  suspend(ms: number): void {
    this.#wallMs += ms
  }

  #next(untilMs: number): Pending | undefined {
    let next: Pending | undefined
    for (const timer of this.#timers) {
      if (timer.dueMs <= untilMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer
    }
    return next
  }
}
