import { join } from 'node:path'
import { conformance } from 'soloist/conformance'
import { drivers, temporaryFolder } from '../sqlite/support.js'
import { sideBySide } from '../support/side-by-side.js'

const path = join(temporaryFolder(), 'conformance.db')

for (const driver of drivers) {
  conformance({
    name: `SQLite through ${driver}`,
    // The others are in sqlite.test.ts.
    runner: {
      describe(name, body) {
        if (name === 'processes' || name.startsWith('conformance')) sideBySide.describe(name, body)
      },
      test: sideBySide.test,
    },
    store: new URL(`../stores/sqlite.js?${new URLSearchParams({ path, driver })}`, import.meta.url),
  })
}
