import { conformance } from 'soloist/conformance'
import { part } from '../support/client-part.js'
import { losesDetails } from '../support/lose-details.js'

conformance({
  name: 'Redis Cluster through node-redis',
  runner: part,
  loseDetails: losesDetails(
    String(process.env.SOLOIST_TEST_REDIS_CLUSTER)
      .split(',')
      .map(node => `redis://${node}`),
  ),
  store: new URL('../stores/redis-cluster-node-redis.js', import.meta.url),
})
