import { join } from 'node:path'
import { conformance } from 'soloist/conformance'
import { describe, test } from 'vitest'
import { drivers, temporaryFolder } from '../sqlite/support.js'

const path = join(temporaryFolder(), 'conformance.db')

for (const driver of drivers) {
  const store = new URL(`../stores/sqlite.js?${new URLSearchParams({ path, driver })}`, import.meta.url)
  conformance({ name: `SQLite through ${driver}`, runner: { describe, test }, store })
}
