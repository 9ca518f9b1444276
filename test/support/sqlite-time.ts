import { createRequire } from 'node:module'

/** What the backend reads its time from: the module's exports, which it asks anew each time. */
const time = createRequire(import.meta.url)('../../dist/internal/real-time.js') as {
  wallMs: () => number
  monotonicMs: () => number
}

/**
 * From now on the SQLite stores of this process have a clock that stands still until it is moved, so that a slow machine
 * finds every lease and every client as it left them. Core, and what a store waits for by timers, go by real time.
 *
 * @returns lets time pass on it
 */
export function sqliteTime(): (ms: number) => void {
  const [startMs, monotonicMs] = [time.wallMs(), time.monotonicMs]
  let passedMs = 0
  time.wallMs = () => startMs + passedMs
  time.monotonicMs = () => monotonicMs() + passedMs
  return ms => {
    passedMs += ms
  }
}
