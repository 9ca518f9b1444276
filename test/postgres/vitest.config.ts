import { defineConfig } from 'vitest/config'
import config, { POSTGRES } from '../../vitest.config.js'

/** `npm run test:postgres`. */
export default defineConfig({
  test: {
    ...config.test,
    include: [...POSTGRES],
    exclude: [],
    env: { SOLOIST_CONFORMANCE: 'whole' },
    maxWorkers: 1,
    root: '.',
  },
})
