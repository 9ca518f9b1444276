import { conformance } from 'soloist/conformance'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Postgres through PgBouncer in transaction mode',
  runner: sideBySide,
  store: new URL('../stores/postgres-pgbouncer.js', import.meta.url),
})
