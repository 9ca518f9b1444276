import { conformance } from 'soloist/conformance'
import { losesDetails } from '../support/lose-details.js'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Redis by URL',
  runner: sideBySide,
  loseDetails: losesDetails([String(process.env.SOLOIST_TEST_REDIS)]),
  store: new URL('../stores/redis-url.js', import.meta.url),
})
