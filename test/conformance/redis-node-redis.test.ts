import { conformance } from 'soloist/conformance'
import { describe, test } from 'vitest'

conformance({
  name: 'Redis through node-redis',
  runner: { describe, test },
  store: new URL('../stores/redis-node-redis.js', import.meta.url),
})
