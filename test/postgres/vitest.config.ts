import { defineConfig } from 'vitest/config'
import config, { SLOW } from '../../vitest.config.js'

/** The set-ups of Postgres that take longer: `npm run test:postgres`. */
export default defineConfig({ test: { ...config.test, include: [...SLOW], exclude: [], root: '.' } })
