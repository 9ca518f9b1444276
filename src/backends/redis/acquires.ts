import type { AcquireOptions, AcquireReply, Claim } from '../../backend.js'
import { atEndOfTurn } from '../../internal/real-time.js'
import type { RedisConnection } from './client.js'

/** A claim that is about to be sent. */
export interface Question {
  /** The one there is. It is open, so what is collected can leave at once. */
  readonly connection: RedisConnection
  readonly claim: Claim
  readonly options: AcquireOptions
}

/** The same, and who waits for its answer. */
interface Asking extends Question {
  resolve(reply: AcquireReply): void
  reject(error: unknown): void
}

/** So many travel in one call: enough to share its cost, few enough that the server starts while more are made. */
const TOGETHER = 8

/**
 * Collects the claims made within one turn of the event loop, and sends up to {@link TOGETHER} of them in one call. None
 * waits for company: the last of them leave when the turn ends.
 */
export class Acquires {
  readonly #send: (questions: readonly Question[]) => Promise<readonly AcquireReply[]>
  #collected: Asking[] = []

  constructor(send: (questions: readonly Question[]) => Promise<readonly AcquireReply[]>) {
    this.#send = send
  }

  acquire(question: Question): Promise<AcquireReply> {
    if (this.#collected[0]?.claim.client !== question.claim.client) this.flush()
    const { connection, claim, options } = question
    return new Promise((resolve, reject) => {
      const count = this.#collected.push({ connection, claim, options, resolve, reject })
      if (count === 1) atEndOfTurn(() => this.flush())
      if (count === TOGETHER) this.flush()
    })
  }

  /** Sends what was collected. To be called before anything else is sent, so that calls keep their order. */
  flush(): void {
    if (this.#collected.length === 0) return
    const asking = this.#collected
    this.#collected = []
    void this.#ask(asking)
  }

  /** What fails together is asked for one by one: an error is the answer to one claim, and asking again is safe. */
  async #ask(asking: readonly Asking[]): Promise<void> {
    try {
      const replies = await this.#send(asking)
      asking.forEach(({ resolve }, i) => {
        resolve(replies[i] as AcquireReply)
      })
    } catch (error) {
      if (asking.length === 1) asking[0]?.reject(error)
      else for (const one of asking) void this.#ask([one])
    }
  }
}
