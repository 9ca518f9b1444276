import { conformance } from 'soloist/conformance'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Redis Cluster through node-redis',
  runner: sideBySide,
  store: new URL('../stores/redis-cluster-node-redis.js', import.meta.url),
})
