import { conformance } from 'soloist/conformance'
import { losesDetails } from '../support/lose-details.js'
import { sideBySideOfClient } from '../support/side-by-side.js'

conformance({
  name: 'Redis Cluster through node-redis',
  runner: sideBySideOfClient,
  loseDetails: losesDetails(
    String(process.env.SOLOIST_TEST_REDIS_CLUSTER)
      .split(',')
      .map(node => `redis://${node}`),
  ),
  store: new URL('../stores/redis-cluster-node-redis.js', import.meta.url),
})
