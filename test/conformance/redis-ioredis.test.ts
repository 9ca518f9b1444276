import { conformance } from 'soloist/conformance'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Redis through ioredis',
  runner: sideBySide,
  store: new URL('../stores/redis-ioredis.js', import.meta.url),
})
