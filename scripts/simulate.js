// Runs the simulation of test/simulation outside the suite:
//   npm run simulate -- --runs 100000                        more schedules, of a new seed
//   npm run simulate -- --of jobs --runs 100000              of jobs, and not of locks
//   npm run simulate -- --of locks --seed 1 --weather wild --path 0:1   one schedule again, exactly, as a time line
// A failure prints the last of these for the schedule that failed.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    of: { type: 'string' },
    seed: { type: 'string' },
    path: { type: 'string' },
    weather: { type: 'string' },
    runs: { type: 'string' },
  },
})
const { of: subject, seed, path, weather, runs } = values
if (subject !== undefined && subject !== 'locks' && subject !== 'jobs') throw new Error('--of is locks or jobs')
const env = {
  ...process.env,
  // The tests start from the same seed each time; whoever looks by hand looks for what is new.
  SOLOIST_TEST_SEED: seed ?? String(Date.now() % 2 ** 31),
  ...(subject === undefined ? {} : { SOLOIST_SIMULATION_OF: subject }),
  ...(path === undefined ? {} : { SOLOIST_SIMULATION_PATH: path }),
  ...(weather === undefined ? {} : { SOLOIST_SIMULATION_WEATHER: weather }),
  ...(runs === undefined ? {} : { SOLOIST_SIMULATIONS: runs }),
}
const config = ['--config', 'test/simulation/vitest.config.ts']
const { status } = spawnSync('npx', ['vitest', 'run', ...config], { env, stdio: 'inherit' })
process.exitCode = status ?? 1
