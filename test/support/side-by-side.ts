import type { Runner } from 'soloist/conformance'
import { describe, test } from 'vitest'

/** What starts processes or keeps this one busy would make the others late. */
const ALONE: ReadonlySet<string> = new Set(['concurrency', 'processes'])

/** Runs the conformance suite's tests at one time, since most of them wait for a lease to run out. */
export const sideBySide: Runner = {
  describe: (name, body) => (ALONE.has(name) ? describe.sequential : describe.concurrent)(name, body),
  test: (name, body, timeoutMs) => test(name, body, timeoutMs),
}
