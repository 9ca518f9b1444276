import { conformance } from 'soloist/conformance'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Redis by URL',
  runner: sideBySide,
  store: new URL('../stores/redis-url.js', import.meta.url),
})
