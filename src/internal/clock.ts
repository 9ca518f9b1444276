import { clearTimeout, monotonicMs, setTimeout, wallMs } from './real-time.js'

/** A pending timer. */
export interface Timer {
  cancel(): void
  /**
   * Whether the process is to live until it has fired, from now on; at first as `background` says. A clock whose timers
   * keep no process alive has none.
   */
  keepAlive?(keep: boolean): void
}

/** Where core gets its time from; tests give their own. */
export interface Clock {
  /** Milliseconds on a clock that never steps; its zero means nothing. */
  monotonicMs(): number
  /** Epoch milliseconds. */
  wallMs(): number
  /**
   * Call `run` once after `delayMs`. A `background` timer does not keep the process alive.
   */
  setTimer(delayMs: number, run: () => void, options?: { background?: boolean }): Timer
}

/** The longest delay `setTimeout` takes without firing at once: 2^31 - 1 ms, a little under 25 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** Real time, also where a test has put fake timers in the place of the globals. */
export const systemClock: Clock = {
  monotonicMs,
  wallMs,
  setTimer(delayMs, run, options) {
    const handle = setTimeout(run, Math.min(Math.max(Math.ceil(delayMs), 0), LONGEST_TIMER_MS))
    if (options?.background) handle.unref()
    return {
      cancel: () => clearTimeout(handle),
      keepAlive(keep) {
        if (keep) handle.ref()
        else handle.unref()
      },
    }
  },
}

/** One moment on both of a clock's scales. */
export interface Instant {
  readonly monotonicMs: number
  readonly wallMs: number
}

export function instant(clock: Clock): Instant {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() }
}

/**
 * How long ago `since` was, by whichever scale says more. The monotonic clock stops while the machine sleeps and the
 * wall clock may be set back; a lease has to count the time both of them saw.
 */
export function elapsedMs(clock: Clock, since: Instant): number {
  return Math.max(clock.monotonicMs() - since.monotonicMs, clock.wallMs() - since.wallMs)
}
