import { conformance } from 'soloist/conformance'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Postgres by URL',
  runner: sideBySide,
  store: new URL('../stores/postgres-url.js', import.meta.url),
})
