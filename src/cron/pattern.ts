import { invalidArgument, SoloistError } from '../errors.js'
import { checkText } from '../internal/check.js'
import { loadCroner } from '../internal/peers/croner.js'

/** A pattern that was read, and the times it means. Times are epoch milliseconds. */
export class Pattern {
  readonly text: string
  readonly #cron: { nextRun(after: Date): Date | null; previousRuns(count: number, before: Date): Date[] }

  /**
   * @throws SoloistError `INVALID_ARGUMENT` for a pattern or a time zone that croner refuses, with its error as `cause`;
   *   `BACKEND_UNAVAILABLE` when croner is not installed
   */
  constructor(pattern: unknown, timezone: string | undefined) {
    this.text = checkText('a cron pattern', pattern)
    const { Cron } = loadCroner()
    try {
      const cron = new Cron(this.text, { paused: true, ...(timezone === undefined ? {} : { timezone }) })
      // Also what it reads when it first looks, such as the time zone.
      cron.nextRun(new Date(0))
      this.#cron = cron
      if (cron.getPattern() !== undefined) return
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new SoloistError('INVALID_ARGUMENT', `this cron pattern or time zone is refused: ${why}`, { cause })
    }
    throw invalidArgument('a cron pattern is needed, such as "0 3 * * *", and not a date')
  }

  /** The first tick after this moment; `null`: there is none. */
  next(afterMs: number): number | null {
    return this.#cron.nextRun(new Date(afterMs))?.getTime() ?? null
  }

  /** The last tick until this moment, itself included; `null`: there was none. */
  latest(atMs: number): number | null {
    // Ticks are whole seconds. Versions of croner differ in what comes before a moment within one.
    const afterMs = (Math.floor(atMs / 1_000) + 1) * 1_000
    return this.#cron.previousRuns(1, new Date(afterMs))[0]?.getTime() ?? null
  }
}
