import type { Runner } from 'soloist/conformance'
import { describe, test } from 'vitest'

/**
 * The guarantees that rest on how a client, or a pooler before the server, brings lists of steps and their answers, and what is
 * pushed. The others rest on the same SQL or Lua, whoever sends it.
 */
const BY_THE_CLIENT: ReadonlySet<string> = new Set([
  ...['lists of steps', 'push', 'results', 'watching', 'inspect', 'list', 'names', 'notes', 'lists with runs'],
  ...['close', 'concurrency', 'processes'],
])

export const restsOnClient = (name: string): boolean => name.startsWith('conformance of ') || BY_THE_CLIENT.has(name)

/**
 * Runs the conformance suite as a whole with `SOLOIST_CONFORMANCE=whole`, as in `npm run test:postgres`, and elsewhere that part
 * of it: another client of the same server has the whole.
 */
export const part: Runner = {
  describe(name, body) {
    if (restsOnClient(name) || process.env.SOLOIST_CONFORMANCE === 'whole') describe(name, body)
  },
  test: (name, body, timeoutMs) => test(name, body, timeoutMs),
}
