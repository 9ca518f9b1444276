import type { Runner } from 'soloist/conformance'
import { describe, test } from 'vitest'

/** They keep the machine busy, which would make the others late. */
const APART: ReadonlySet<string> = new Set(['concurrency', 'processes'])

/** Runs the tests of the conformance suite at one time, since most of them wait for a lease to run out. */
export const sideBySide: Runner = {
  describe(name, body) {
    if (APART.has(name)) describe.sequential(name, body)
    else describe.concurrent(name, body)
  },
  test: (name, body, timeoutMs) => test.concurrent(name, body, timeoutMs),
}
