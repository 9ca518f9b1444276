// Runs the chaos of test/chaos for longer than the suite does. `--help` says how.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const HELP = `Eight processes, five locks and five jobs, with a fault every second, judged by the history checker.

  npm run soak -- --minutes 10                     on Redis with and without persistence, and on SQLite
  npm run soak -- --minutes 1 --stores sqlite      on one of them
  npm run soak -- --minutes 1 --seed 7             with the faults of that plan
  npm run soak -- --minutes 15 --stores redis --load 64
                                                   more than a million grants and 100,000 runs of jobs

  --minutes   how long the processes run; default 10. The history is judged after that
  --stores    a list of redis, redis-volatile and sqlite, which are run at one time; default: all of them.
              Also redis-guarded (no persistence, with restartGuardMs), redis-cluster and redis-sentinel
  --seed      makes the plan of that number; default: another each time
  --every     how many seconds after a fault the next one is made; default 1, under load 4
  --load      so many callers for locks in each process, and a few for jobs, which keep what they
              get for a moment; default: three and two, which keep it for longer. One store at a time, on a
              machine that does nothing else. The history takes about 1 GB per million grants in the folder for
              temporary files
`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    stores: { type: 'string', default: 'redis,redis-volatile,sqlite' },
    seed: { type: 'string' },
    every: { type: 'string' },
    load: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const { minutes, stores, seed, every, load, help } = values
if (help) {
  console.log(HELP)
  process.exit()
}
const env = {
  ...process.env,
  SOLOIST_SOAK_MINUTES: minutes,
  SOLOIST_SOAK_STORES: stores,
  ...(seed === undefined ? {} : { SOLOIST_TEST_SEED: seed }),
  ...(every === undefined ? {} : { SOLOIST_SOAK_EVERY: every }),
  ...(load === undefined ? {} : { SOLOIST_SOAK_LOAD: load }),
}
const config = ['--config', 'test/chaos/vitest.config.ts']
const { status } = spawnSync('npx', ['vitest', 'run', ...config], { env, stdio: 'inherit' })
process.exitCode = status ?? 1
