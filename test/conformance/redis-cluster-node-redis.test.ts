import { conformance } from 'soloist/conformance'
import { describe, test } from 'vitest'

conformance({
  name: 'Redis Cluster through node-redis',
  runner: { describe, test },
  store: new URL('../stores/redis-cluster-node-redis.js', import.meta.url),
})
