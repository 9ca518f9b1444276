import { conformance } from 'soloist/conformance'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Postgres through postgres.js',
  runner: sideBySide,
  store: new URL('../stores/postgres-js.js', import.meta.url),
})
