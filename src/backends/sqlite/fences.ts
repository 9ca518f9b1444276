import type { Database, Row } from './client.js'

/** The fences of one transaction, taken from the file's counter together, so that many grants write it once. */
export class Fences {
  readonly #db: Database
  readonly #nowMs: number
  readonly #together: number
  #next = 0
  #last = -1

  /** @param together how many grants the transaction may make; more are taken when they are needed */
  constructor(db: Database, nowMs: number, together: number) {
    this.#db = db
    this.#nowMs = nowMs
    this.#together = Math.max(together, 1)
  }

  /** The fence that {@link next} is going to give. */
  peek(): number {
    if (this.#next > this.#last) this.#take()
    return this.#next
  }

  /** Higher than every fence of this file before, and at least the machine's time in microseconds. */
  next(): number {
    const fence = this.peek()
    this.#next += 1
    return fence
  }

  #take(): void {
    const row = this.#db.get(
      'UPDATE soloist_store SET fence = max(fence + 1, CAST(?1 AS INTEGER)) + ?2 - 1 RETURNING fence',
      this.#nowMs * 1000,
      this.#together,
    ) as Row
    this.#last = row.fence as number
    this.#next = this.#last - this.#together + 1
  }
}
