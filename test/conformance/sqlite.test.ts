import { join } from 'node:path'
import { conformance } from 'soloist/conformance'
import { drivers, temporaryFolder } from '../sqlite/support.js'
import { sideBySide } from '../support/side-by-side.js'

const path = join(temporaryFolder(), 'conformance.db')

for (const driver of drivers) {
  const store = new URL(`../stores/sqlite.js?${new URLSearchParams({ path, driver })}`, import.meta.url)
  conformance({ name: `SQLite through ${driver}`, runner: sideBySide, store })
}
