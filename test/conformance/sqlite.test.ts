import { join } from 'node:path'
import { conformance } from 'soloist/conformance'
import { sqliteBackend } from 'soloist/sqlite'
import { describe, test } from 'vitest'
import { drivers, temporaryFolder } from '../sqlite/support.js'
import { sqliteTime } from '../support/sqlite-time.js'

// What needs other processes, which have the machine's time, is in sqlite-processes.test.ts.
const path = join(temporaryFolder(), 'conformance.db')
const elapse = sqliteTime()

for (const driver of drivers) {
  conformance({
    name: `SQLite through ${driver}`,
    runner: { describe, test },
    store: async ({ prefix }) => ({ backend: sqliteBackend(path, { prefix, driver }) }),
    elapse,
  })
}
