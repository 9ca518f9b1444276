import { conformance } from 'soloist/conformance'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Redis through node-redis',
  runner: sideBySide,
  store: new URL('../stores/redis-node-redis.js', import.meta.url),
})
