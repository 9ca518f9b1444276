import type { Runner } from 'soloist/conformance'
import { describe, test } from 'vitest'

/**
 * The guarantees that rest on how a client, or a pooler before the server, brings lists of steps and their answers, and what is
 * pushed. The others rest on the same SQL, whoever sends it: `test/conformance/postgres-pg.test.ts` has all of them.
 */
const BY_THE_CLIENT: ReadonlySet<string> = new Set([
  ...['lists of steps', 'push', 'results', 'watching', 'inspect', 'list', 'names', 'notes', 'lists with runs'],
  ...['close', 'concurrency', 'processes'],
])

/** Runs the conformance suite as a whole in `npm run test:postgres`, and elsewhere that part of it. */
export const part: Runner = {
  describe(name, body) {
    const isPart = name.startsWith('conformance of ') || BY_THE_CLIENT.has(name)
    if (isPart || process.env.SOLOIST_CONFORMANCE === 'whole') describe(name, body)
  },
  test: (name, body, timeoutMs) => test(name, body, timeoutMs),
}
