import { conformance } from 'soloist/conformance'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Postgres through a pool of pg',
  runner: sideBySide,
  store: new URL('../stores/postgres-pg.js', import.meta.url),
})
