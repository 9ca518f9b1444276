import { clock } from './claims/clock.js'
import { details } from './claims/details.js'
import { expiry } from './claims/expiry.js'
import { fences } from './claims/fences.js'
import { fifo } from './claims/fifo.js'
import { grantRule } from './claims/grant-rule.js'
import { limits } from './claims/limits.js'
import { lists } from './claims/lists.js'
import { push } from './claims/push.js'
import { renewal } from './claims/renewal.js'
import { replaces } from './claims/replaces.js'
import { replay } from './claims/replay.js'
import { results } from './leaving/results.js'
import { silentWaiters } from './leaving/silent.js'
import { watching } from './leaving/watching.js'
import { actions } from './runs/actions.js'
import { beginning } from './runs/beginning.js'
import { debounce } from './runs/debounce.js'
import { displacing } from './runs/displacing.js'
import { durable } from './runs/durable.js'
import { granting } from './runs/granting.js'
import { leftovers } from './runs/leftovers.js'
import { notes } from './runs/notes.js'
import { pendingRun } from './runs/pending-run.js'
import { runLists } from './runs/run-lists.js'
import { shownRuns } from './runs/shown.js'
import { silence } from './runs/silence.js'
import { closing, takingBack } from './runs/taking-back.js'
import { without } from './runs/without.js'
import type { ConformanceSetup } from './setup.js'
import { close } from './showing/close.js'
import { inspect } from './showing/inspect.js'
import { list } from './showing/list.js'
import { names } from './showing/names.js'
import { concurrency } from './together/concurrency.js'
import { processes } from './together/processes.js'
import { Suite } from './trial/suite.js'

export type { HistoryOptions, HistoryParts, HistoryReport } from './history/check.js'
export { checkHistory, checkHistoryParts } from './history/check.js'
export type { HistoryRecord } from './history/records.js'
export type { HistoryCounts, Violation } from './history/report.js'
export type { ConformanceSetup, OpenedStore, OpenStore, Runner } from './setup.js'

/**
 * Registers the tests every backend has to pass: about two hundred, at the level of the port (`Backend`), in one `describe`
 * per guarantee.
 *
 * ```ts
 * // test/my-backend.test.ts
 * import { conformance } from 'soloist/conformance'
 * import { describe, test } from 'vitest'
 *
 * conformance({
 *   name: 'my backend',
 *   runner: { describe, test },
 *   store: new URL('./my-store.js', import.meta.url),
 * })
 *
 * // test/my-store.js
 * import { myBackend } from '../dist/my-backend.js'
 *
 * export async function open({ prefix }) {
 *   const client = await connectToTheTestServer(process.env.MY_SERVER)
 *   return { backend: myBackend(client, { prefix }), dispose: () => client.end() }
 * }
 * ```
 *
 * **The store** is the URL of a module that exports `open`, an {@link OpenStore}: every call opens a new client of the
 * same datastore, all whose keys and rows start with `prefix`. Plain Node must be able to import it (JavaScript, no runner's
 * globals, no state that only the importing process has), because the suite imports it in child processes too: they get
 * the environment of the test process, so that is where an address belongs; a query in the URL arrives as well.
 *
 * A datastore that lives inside one process gives such a function instead of a URL. Then the tests of the guarantee
 * `processes` are not registered, for there is no other process to hold the lock. Everything else is the same; nothing
 * is left out for what happens to be installed or running.
 *
 * **The runner** is anything with `describe(name, body)` and `test(name, body, timeoutMs)`: those of vitest and jest, and
 * of `node:test`, which ignores the timeout. Assertions are those of `node:assert/strict`; their messages say who owns
 * the lock and who should.
 *
 * **Time.** Short leases really run out, which takes a minute and a half in all, or no time with {@link ConformanceSetup.elapse}.
 * Ages and deadlines are compared on the datastore's clock, and no test expects anything to be fast; but the datastore
 * and this process must agree on how long a second is. A clock that is set while locks are held, and details that are lost,
 * are tested where the setup says how ({@link ConformanceSetup.stepClock}, {@link ConformanceSetup.loseDetails}).
 *
 * **What it needs and leaves.** Each test has a random prefix of its own, releases what it claimed, and closes and
 * disposes what it opened, so tests may run beside others on one server. Pausing a process takes a POSIX system.
 *
 * @throws SoloistError `INVALID_ARGUMENT` when the store is neither a URL nor a function
 */
export function conformance(setup: ConformanceSetup): void {
  const suite = new Suite(setup)
  setup.runner.describe(`conformance of ${setup.name}`, () => {
    suite.guarantee('grant rule', grantRule)
    suite.guarantee('replay', replay)
    suite.guarantee('first come, first served', fifo)
    suite.guarantee('lists of steps', lists)
    suite.guarantee('push', push)
    suite.guarantee('expiry and takeover', expiry)
    suite.guarantee('fences', fences)
    suite.guarantee('replaces', replaces)
    suite.guarantee('results', results)
    suite.guarantee('watching', watching)
    suite.guarantee('silent waiters', silentWaiters)
    suite.guarantee('limits', limits)
    suite.guarantee('inspect', inspect)
    suite.guarantee('list', list)
    suite.guarantee('names', names)
    suite.guarantee('renewal', renewal)
    suite.guarantee('triggers', granting)
    suite.guarantee('what a trigger does', actions)
    suite.guarantee('one pending run', pendingRun)
    suite.guarantee('notes', notes)
    suite.guarantee('begin', beginning)
    suite.guarantee('notes that are taken back', takingBack)
    suite.guarantee('runs that are closed', closing)
    suite.guarantee('displaced', displacing)
    suite.guarantee('debounce', debounce)
    suite.guarantee('without', without)
    suite.guarantee('durable claims', durable)
    suite.guarantee('silent runs', silence)
    suite.guarantee('runs that are shown', shownRuns)
    suite.guarantee('runs at their end', leftovers)
    suite.guarantee('lists with runs', runLists)
    suite.guarantee('close', close)
    suite.guarantee('concurrency', concurrency)
    const { module, stepClock, loseDetails } = suite
    if (stepClock !== undefined) suite.guarantee('a clock that steps', () => clock(suite, stepClock))
    if (loseDetails !== undefined) suite.guarantee('lost details', () => details(suite, loseDetails))
    if (module !== null) suite.guarantee('processes', () => processes(suite, module))
  })
}
