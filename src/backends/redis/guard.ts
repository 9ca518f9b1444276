import { SoloistError } from '../../errors.js'
import { systemClock } from '../../internal/clock.js'
import type { StepsReply } from './protocol/replies.js'

/** Servers count their time in whole seconds, so what is told of one start differs by so much. */
const INEXACT_MS = 2_000

/** For how long a server that was started, and keeps no log, is asked to grant nothing; and that the user hears of it. */
export class RestartGuard {
  #ms: number | null
  readonly #onFault: (error: unknown) => void
  #toldUntilMs = Number.NEGATIVE_INFINITY

  /** @param ms how long after its start; `null`: not at all */
  constructor(ms: number | null, onFault: (error: unknown) => void) {
    this.#ms = ms
    this.#onFault = onFault
  }

  get ms(): number | null {
    return this.#ms
  }

  /** What a reply says of its server. A wait is told once for each start, also where many calls meet with it. */
  heard(guard: StepsReply['guard']): void {
    if (guard === null || this.#ms === null) return
    if (guard === 'unknown') {
      this.#ms = null
      const message = 'Redis does not tell this user when it was started (INFO): restartGuardMs has no effect'
      return this.#onFault(new SoloistError('BACKEND_UNSAFE', message))
    }
    const untilMs = systemClock.monotonicMs() + guard
    if (untilMs <= this.#toldUntilMs + INEXACT_MS) return
    this.#toldUntilMs = untilMs
    const why = 'Redis was started and keeps no log, so it may have forgotten who holds what'
    this.#onFault(new SoloistError('BACKEND_UNSAFE', `${why}: no lock is granted for ${guard} ms (restartGuardMs)`))
  }
}
