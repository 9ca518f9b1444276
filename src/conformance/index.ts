import { expiry } from './expiry.js'
import { fifo } from './fifo.js'
import { grantRule } from './grant-rule.js'
import type { ConformanceSetup } from './setup.js'
import { Suite } from './trial.js'

export type { ConformanceSetup, OpenedStore, OpenStore, Runner } from './setup.js'

/** Registers the tests every backend has to pass. */
export function conformance(setup: ConformanceSetup): void {
  const suite = new Suite(setup)
  setup.runner.describe(`conformance of ${setup.name}`, () => {
    suite.guarantee('grant rule', grantRule)
    suite.guarantee('first come, first served', fifo)
    suite.guarantee('expiry and takeover', expiry)
  })
}
