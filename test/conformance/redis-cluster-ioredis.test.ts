import { conformance } from 'soloist/conformance'
import { describe, test } from 'vitest'

conformance({
  name: 'Redis Cluster through ioredis',
  runner: { describe, test },
  store: new URL('../stores/redis-cluster-ioredis.js', import.meta.url),
})
