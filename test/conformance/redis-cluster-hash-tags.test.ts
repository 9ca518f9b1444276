import { conformance } from 'soloist/conformance'
import { losesDetails } from '../support/lose-details.js'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Redis Cluster with few hash tags',
  runner: sideBySide,
  loseDetails: losesDetails(
    String(process.env.SOLOIST_TEST_REDIS_CLUSTER)
      .split(',')
      .map(node => `redis://${node}`),
  ),
  store: new URL('../stores/redis-cluster-hash-tags.js', import.meta.url),
})
