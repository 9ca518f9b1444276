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
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(results, null, 2)}\n`)
if (flags.write || flags.from !== undefined) writePage(results)

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
    if (wanted.includes('free')) {
      results.free = {}
      for (const callers of [1, 100, 1_000]) results.free[callers] = await freeOnRedis(run, callers)
    }
    if (wanted.includes('hot')) {
      results.hot = {}
      for (const processes of [1, 4]) {
        for (const callers of flags.callers.split(',').map(Number)) {
          // A thousand who poll take half a minute until each had its turn.
          const rounds = callers < 1_000 ? run.rounds : Math.min(run.rounds, 2)
          results.hot[`${callers} in ${processes}`] = await hotOnRedis({ ...run, rounds }, callers, processes)
        }
      }
    }
    if (wanted.includes('kept')) results.kept = await keptOnRedis(run, 100_000)
    if (wanted.includes('idle')) results.idle = await idleOnRedis(run, 100)
    if (wanted.includes('stores')) {
      results.stores = {}
      for (const [store, url] of Object.entries({ SQLite: file.url, memory: 'memory:' })) {
        results.stores[store] = {}
        for (const callers of [1, 100]) results.stores[store][callers] = await freeElsewhere(run, url, callers)
      }
    }
    if (wanted.includes('jobs')) {
      results.jobs = {}
      for (const [store, url] of Object.entries({ Redis: redis.url, memory: 'memory:' })) {
        results.jobs[store] = await functionJobs(run, url, 100)
      }
    }
    if (wanted.includes('postgres')) results.postgres = await onPostgres(run)
    if (wanted.includes('start-up')) results.startUp = startUp(redis.url, run.rounds)
    if (wanted.includes('bullmq')) results.bullmq = await queuesOfBullmq(run)
  } finally {
    redis.stop()
    await file.remove()
  }
  return results
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
