import { conformance } from 'soloist/conformance'
import { losesDetails } from '../support/lose-details.js'
import { sideBySideOfClient } from '../support/side-by-side.js'

conformance({
  name: 'Redis through node-redis',
  runner: sideBySideOfClient,
  loseDetails: losesDetails([String(process.env.SOLOIST_TEST_REDIS)]),
  store: new URL('../stores/redis-node-redis.js', import.meta.url),
})
