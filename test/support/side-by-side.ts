import type { Runner } from 'soloist/conformance'
import { describe, test } from 'vitest'
import { restsOnClient } from './client-part.js'

/** The guarantees whose tests mostly wait, for leases to run out or for processes. */
const WAITING: ReadonlySet<string> = new Set([
  ...['replay', 'push', 'expiry and takeover', 'processes'],
  ...['debounce', 'durable claims', 'silent waiters', 'silent runs'],
])

/**
 * Runs the conformance suite with the tests of a guarantee that mostly waits at one time. The others keep the process
 * busy, which would make those late that have to be in time for a lease.
 */
export const sideBySide: Runner = {
  describe: (name, body) => (WAITING.has(name) ? describe.concurrent(name, body) : describe(name, body)),
  test: (name, body, timeoutMs) => test(name, body, timeoutMs),
}

/** The same; with other versions of Node and of the client (`SOLOIST_CONFORMANCE=part`) only what rests on these. */
export const sideBySideOverClient: Runner = where(
  name => process.env.SOLOIST_CONFORMANCE !== 'part' || restsOnClient(name),
)

/** The same; only what rests on the client, but for `SOLOIST_CONFORMANCE=whole`: another client has the whole. */
export const sideBySideOfClient: Runner = where(
  name => process.env.SOLOIST_CONFORMANCE === 'whole' || restsOnClient(name),
)

function where(isRun: (name: string) => boolean): Runner {
  return {
    describe(name, body) {
      if (isRun(name)) sideBySide.describe(name, body)
    },
    test: sideBySide.test,
  }
}
