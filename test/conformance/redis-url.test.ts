import { conformance } from 'soloist/conformance'
import { describe, test } from 'vitest'

conformance({
  name: 'Redis by URL',
  runner: { describe, test },
  store: new URL('../stores/redis-url.js', import.meta.url),
})
