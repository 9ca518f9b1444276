// Runs the simulation of test/simulation outside the suite:
//   npm run simulate -- --runs 100000                        more schedules, of a new seed
//   npm run simulate -- --seed 1 --weather wild --path 0:1   one schedule again, exactly, as a time line
// Seed and path are those that a failure prints.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    path: { type: 'string' },
    weather: { type: 'string' },
    runs: { type: 'string' },
  },
})
const { seed, path, weather, runs } = values
const env = {
  ...process.env,
  // The tests start from the same seed each time; whoever looks by hand looks for what is new.
  SOLOIST_TEST_SEED: seed ?? String(Date.now() % 2 ** 31),
  ...(path === undefined ? {} : { SOLOIST_SIMULATION_PATH: path }),
  ...(weather === undefined ? {} : { SOLOIST_SIMULATION_WEATHER: weather }),
  ...(runs === undefined ? {} : { SOLOIST_SIMULATIONS: runs }),
}
const config = ['--config', 'test/simulation/vitest.config.ts']
const { status } = spawnSync('npx', ['vitest', 'run', ...config], { env, stdio: 'inherit' })
process.exitCode = status ?? 1
