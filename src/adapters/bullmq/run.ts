import type { Lease } from '../../index.js'
import { SoloistError } from '../../index.js'
import { clearTimeout, setTimeout } from '../../internal/real-time.js'

/** How often a run looks whether it is to stop. */
const STOP_CHECK_MS = 500

/** One execution of a job under its run lock. */
export class Run {
  readonly #lease: Lease | null
  readonly #fence: number | null
  readonly #controller = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #ended = false

  /**
   * @param lease that of the run lock, where the mode has one
   * @param fence what stands for it where it has none
   * @param isReplaced asked at intervals
   */
  constructor(
    lease: Lease | null,
    fence: number | null,
    isReplaced: (() => Promise<boolean>) | null,
    onFault: (error: unknown) => void,
  ) {
    this.#lease = lease
    this.#fence = fence
    if (lease !== null) follow(lease.signal, reason => this.abort(reason))
    if (isReplaced !== null) this.#watch(isReplaced, onFault)
  }

  /** A number that rises with each run of a job's key; `null` where none was taken. */
  get fence(): number | null {
    return this.#lease?.fence ?? this.#fence
  }

  /** Aborts when the run can no longer be sure to be alone, or is to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }

  /** Aborts with BullMQ's own signal, too. */
  abortWith(signal: AbortSignal | undefined): void {
    if (signal !== undefined) follow(signal, reason => this.abort(reason))
  }

  /** Gives the run lock up. @returns whether it had been lost before */
  async end(): Promise<boolean> {
    this.#ended = true
    clearTimeout(this.#timer)
    if (this.#lease === null) return false
    const lost = this.#lease.signal.aborted
    await this.#lease.release()
    return lost
  }

  #watch(isReplaced: () => Promise<boolean>, onFault: (error: unknown) => void): void {
    const look = async () => {
      try {
        if (await isReplaced()) {
          this.abort(new SoloistError('JOB_REPLACED', 'a newer job takes the place of this one'))
          return
        }
      } catch (error) {
        onFault(error)
      }
      if (!this.#ended) this.#watch(isReplaced, onFault)
    }
    this.#timer = setTimeout(() => void look(), STOP_CHECK_MS).unref()
  }
}

function follow(signal: AbortSignal, then: (reason: unknown) => void): void {
  if (signal.aborted) then(signal.reason)
  else signal.addEventListener('abort', () => then(signal.reason), { once: true })
}
