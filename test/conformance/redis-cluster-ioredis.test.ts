import { conformance } from 'soloist/conformance'
import { losesDetails } from '../support/lose-details.js'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Redis Cluster through ioredis',
  runner: sideBySide,
  loseDetails: losesDetails(
    String(process.env.SOLOIST_TEST_REDIS_CLUSTER)
      .split(',')
      .map(node => `redis://${node}`),
  ),
  store: new URL('../stores/redis-cluster-ioredis.js', import.meta.url),
})
