// Adds up the JSON reports that vitest wrote into the folder given, one for each run. Prints their sum as
// its last line; exits 1 when anything failed or was skipped. Without a report it prints nothing and exits 1.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: sum-results.js FOLDER')
const files = readdirSync(folder).filter(file => file.endsWith('.json'))

let passed = 0
let failed = 0
let skipped = 0
for (const file of files.sort()) {
  const report = JSON.parse(readFileSync(join(folder, file), 'utf8'))
  /** @type {{ status: string, assertionResults: unknown[] }[]} */
  const suites = report.testResults
  // A file that could not be loaded holds no test that could have failed.
  const broken = suites.filter(suite => suite.status === 'failed' && suite.assertionResults.length === 0).length
  const failures = report.numFailedTests + broken
  passed += report.numPassedTests
  // An error outside every test, such as an unhandled rejection, fails a run as well.
  failed += failures === 0 && !report.success ? 1 : failures
  skipped += report.numPendingTests + report.numTodoTests
}
if (skipped > 0) console.error(`${skipped} skipped: no test may be`)
if (files.length > 0) console.log(`${passed} passed, ${failed} failed`)
if (files.length === 0 || failed > 0 || skipped > 0) process.exitCode = 1
