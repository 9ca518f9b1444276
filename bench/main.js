// Measures Soloist beside other lock libraries, all in one run on one server of its own:
//   npm run bench [-- --only free,hot --callers 10,50 --ms 500 --rounds 5 --json FILE --write]
// `--callers`: how many want the one lock of the part `hot`; a thousand who poll take minutes.
// `--write` renews docs/performance.md and its plots from this run; `--from FILE` does so from the JSON of an earlier one.
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { queuesOfBullmq } from './measures/bullmq.js'
import { freeElsewhere, freeOnRedis, functionJobs, hotOnRedis, idleOnRedis, keptOnRedis } from './measures/locks.js'
import { pipelinedSets } from './measures/pipelined.js'
import { freeOnPostgres, hotOnPostgres } from './measures/postgres.js'
import { startUp } from './measures/start-up.js'
import { startPostgres } from './postgres.js'
import { startRedis } from './redis.js'
import { writePage } from './report/page.js'
import { setUp, setUpOfPostgres } from './report/set-up.js'
import { summary } from './report/summary.js'
import { sqliteFile } from './sqlite-file.js'

/** Under which key the results of a part stand, where that is not its name. */
const KEYS = /** @type {Record<string, string>} */ ({ 'start-up': 'startUp' })
const PARTS = ['free', 'hot', 'kept', 'idle', 'stores', 'postgres', 'start-up', 'bullmq', 'jobs']
/** As long as it takes until each of fifty who poll every 250 ms has had several turns. */
const HOT_ON_POSTGRES_MS = 10_000

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: PARTS.join(',') },
    callers: { type: 'string', default: '10,50,1000' },
    ms: { type: 'string', default: '500' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
    from: { type: 'string' },
  },
})

const results = flags.from === undefined ? await measure() : JSON.parse(readFileSync(flags.from, 'utf8'))
console.log(summary(results))
// A page without what failed would not tell that it did.
if ((flags.write || flags.from !== undefined) && process.exitCode === undefined) writePage(results)

/** Measures part after part. What was measured is kept when another part fails: the run then ends with an error. */
async function measure() {
  const wanted = flags.only.split(',')
  const unknown = wanted.filter(part => !PARTS.includes(part))
  if (unknown.length > 0) throw new Error(`there is no part ${unknown.join(', ')}; there are ${PARTS.join(', ')}`)
  const redis = await startRedis()
  const file = sqliteFile()
  const run = { redis, ms: Number(flags.ms), rounds: Number(flags.rounds), progress }
  /** @type {Record<string, any>} */
  const results = { ...setUp(redis.version, run), pipelinedSets: pipelinedSets(redis.url) }
  try {
    for (const part of PARTS.filter(part => wanted.includes(part))) {
      try {
        results[KEYS[part] ?? part] = await parts(run, file.url)[part]?.()
      } catch (error) {
        console.error(`the part ${part} failed:`, error)
        process.exitCode = 1
      }
      save(results)
    }
  } finally {
    redis.stop()
    await file.remove()
  }
  return results
}

/** @param {import('./measures/locks.js').Run} run @param {string} sqliteUrl @returns {Record<string, () => unknown>} */
function parts(run, sqliteUrl) {
  const { redis } = run
  return {
    free: () => each([1, 100, 1_000], callers => freeOnRedis(run, callers)),
    hot: () => {
      const sets = [1, 4].flatMap(processes => flags.callers.split(',').map(callers => `${callers} in ${processes}`))
      return each(sets, async set => {
        const [callers = 0, processes = 0] = set.split(' in ').map(Number)
        // A thousand who poll take half a minute until each had its turn.
        const rounds = callers < 1_000 ? run.rounds : Math.min(run.rounds, 2)
        return await hotOnRedis({ ...run, rounds }, callers, processes)
      })
    },
    kept: () => keptOnRedis(run, 100_000),
    idle: () => idleOnRedis(run, 100),
    stores: () =>
      each(Object.entries({ SQLite: sqliteUrl, memory: 'memory:' }), ([, url]) =>
        each([1, 100], callers => freeElsewhere(run, url, callers)),
      ),
    jobs: () => each(Object.entries({ Redis: redis.url, memory: 'memory:' }), ([, url]) => functionJobs(run, url, 100)),
    postgres: () => onPostgres(run),
    'start-up': () => startUp(redis.url, run.rounds),
    bullmq: () => queuesOfBullmq(run),
  }
}

/**
 * What is measured for each, one after the other, by its name.
 *
 * @template T @param {readonly T[]} cases @param {(one: T) => Promise<any>} measured
 */
async function each(cases, measured) {
  /** @type {Record<string, any>} */
  const results = {}
  for (const one of cases) results[String(Array.isArray(one) ? one[0] : one)] = await measured(one)
  return results
}

/** @param {Record<string, any>} results */
function save(results) {
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(results, null, 2)}\n`)
}

/** @param {{ ms: number, rounds: number, progress: (done: string) => void }} run */
async function onPostgres(run) {
  const server = await startPostgres()
  try {
    const hotRun = { ...run, ms: Math.max(run.ms, HOT_ON_POSTGRES_MS), rounds: Math.min(run.rounds, 3) }
    /** @type {Record<string, any>} */
    const measured = {
      ...setUpOfPostgres(server.version, run),
      hotMs: hotRun.ms,
      hotRounds: hotRun.rounds,
      free: {},
      hot: {},
    }
    for (const callers of [1, 20, 200, 1_000]) {
      measured.free[callers] = await freeOnPostgres({ ...run, url: server.url }, callers)
    }
    measured.hot[50] = await hotOnPostgres({ ...hotRun, url: server.url }, 50)
    return measured
  } finally {
    await server.stop()
  }
}

/** One line that is written over, or on no terminal a line each. @param {string} text */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
  else process.stderr.write(`${text}\n`)
}
