import { conformance } from 'soloist/conformance'
import { sideBySide } from '../support/side-by-side.js'

conformance({
  name: 'Redis Cluster through ioredis',
  runner: sideBySide,
  store: new URL('../stores/redis-cluster-ioredis.js', import.meta.url),
})
