import { close } from './close.js'
import { concurrency } from './concurrency.js'
import { expiry } from './expiry.js'
import { fences } from './fences.js'
import { fifo } from './fifo.js'
import { grantRule } from './grant-rule.js'
import { inspect } from './inspect.js'
import { limits } from './limits.js'
import { list } from './list.js'
import { names } from './names.js'
import { processes } from './processes.js'
import { push } from './push.js'
import { renewal } from './renewal.js'
import { replaces } from './replaces.js'
import { replay } from './replay.js'
import type { ConformanceSetup } from './setup.js'
import { Suite } from './trial.js'

export type { HistoryCounts, HistoryRecord, HistoryReport, Violation } from './history.js'
export { checkHistory } from './history.js'
export type { ConformanceSetup, OpenedStore, OpenStore, Runner } from './setup.js'

/** Registers the tests every backend has to pass. */
export function conformance(setup: ConformanceSetup): void {
  const suite = new Suite(setup)
  setup.runner.describe(`conformance of ${setup.name}`, () => {
    suite.guarantee('grant rule', grantRule)
    suite.guarantee('replay', replay)
    suite.guarantee('first come, first served', fifo)
    suite.guarantee('push', push)
    suite.guarantee('expiry and takeover', expiry)
    suite.guarantee('fences', fences)
    suite.guarantee('replaces', replaces)
    suite.guarantee('limits', limits)
    suite.guarantee('inspect', inspect)
    suite.guarantee('list', list)
    suite.guarantee('names', names)
    suite.guarantee('batched renewal', renewal)
    suite.guarantee('close', close)
    suite.guarantee('concurrency', concurrency)
    const { module } = suite
    if (module !== null) suite.guarantee('processes', () => processes(suite, module))
  })
}
