import { conformance } from 'soloist/conformance'
import { describe, test } from 'vitest'

conformance({
  name: 'Redis through ioredis',
  runner: { describe, test },
  store: new URL('../stores/redis-ioredis.js', import.meta.url),
})
