// Runs the chaos of test/chaos for longer than the suite does:
//   npm run soak -- --minutes 10                    on Redis with and without persistence, and on SQLite
//   npm run soak -- --minutes 1 --stores sqlite     on one of them
//   --stores also takes redis-guarded (no persistence, with restartGuardMs), redis-cluster and redis-sentinel
//   npm run soak -- --minutes 1 --seed 7            with the faults of that plan
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    stores: { type: 'string', default: 'redis,redis-volatile,sqlite' },
    seed: { type: 'string' },
  },
})
const { minutes, stores, seed } = values
const env = {
  ...process.env,
  SOLOIST_SOAK_MINUTES: minutes,
  SOLOIST_SOAK_STORES: stores,
  ...(seed === undefined ? {} : { SOLOIST_TEST_SEED: seed }),
}
const config = ['--config', 'test/chaos/vitest.config.ts']
const { status } = spawnSync('npx', ['vitest', 'run', ...config], { env, stdio: 'inherit' })
process.exitCode = status ?? 1
