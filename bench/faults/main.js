// Puts Soloist and its peers under the same faults, and counts what goes wrong:
//   npm run bench:faults [-- --seconds 24 --seed 20261129 --only Soloist,redlock --json FILE --keep FOLDER]
// `--keep`: what the processes saw is kept there, a file for each library.
// It writes nothing into the repository: docs/track-record.md shows a run of it.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { setUp } from '../report/set-up.js'
import { HOLDERS } from './holders.js'
import { judgeJobs, judgeLocks } from './judge.js'
import { makePlan } from './plan.js'
import { underFaults } from './run.js'
import { serverVersion } from './server.js'

const QUEUES = ['soloist/bullmq', 'BullMQ deduplication']
const TERMS = { ttlMs: 800, waitMs: 2_000 }
const PROCESSES = 6
/** After the last fault a job of a process that was killed has to be found, and run. */
const DRAIN_MS = 12_000

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '24' },
    seed: { type: 'string', default: '20261129' },
    only: { type: 'string', default: [...HOLDERS, ...QUEUES].join(',') },
    json: { type: 'string' },
    keep: { type: 'string' },
  },
})
const wanted = flags.only.split(',')
const seed = Number(flags.seed)
const forMs = Number(flags.seconds) * 1_000
const plan = makePlan(seed, forMs, PROCESSES)
/** @type {Record<string, any>} */
const locks = {}
/** @type {Record<string, any>} */
const queues = {}
for (const library of HOLDERS.filter(name => wanted.includes(name))) {
  const more = { terms: TERMS, locks: 3, workers: 2 }
  const history = await underFaults({
    ...{ library, child: 'locks-child.js', seed, forMs, processes: PROCESSES, plan, more },
  })
  keep(library, history)
  locks[library] = judgeLocks(history, TERMS)
  console.error(library, JSON.stringify(locks[library]))
}
for (const library of QUEUES.filter(name => wanted.includes(name))) {
  const history = await underFaults({
    ...{ library, child: 'jobs-child.js', seed, forMs, processes: PROCESSES, plan, more: { keys: 5 } },
    drainMs: DRAIN_MS,
  })
  keep(library, history)
  queues[library] = judgeJobs(history)
  console.error(library, JSON.stringify(queues[library]))
}

const { date, machine, versions } = setUp(serverVersion(), { ms: 0, rounds: 0 })
console.log(`${date}, seed ${seed}, ${flags.seconds} s and ${plan.length} faults each, ${machine}`)
console.log(`${JSON.stringify(versions)}\n`)
/** @param {string} library @param {readonly object[]} history */
function keep(library, history) {
  if (flags.keep === undefined) return
  mkdirSync(flags.keep, { recursive: true })
  const lines = history.map(record => `${JSON.stringify(record)}\n`)
  writeFileSync(join(flags.keep, `${library.replaceAll(/\W+/g, '-')}.jsonl`), lines.join(''))
}

/** @param {readonly string[]} heads @param {Record<string, Record<string, unknown>>} rows @param {readonly string[]} fields */
function table(heads, rows, fields) {
  console.log(`| ${heads.join(' | ')} |\n|${heads.map(() => '---').join('|')}|`)
  for (const [library, row] of Object.entries(rows)) {
    console.log(`| ${library} | ${fields.map(field => Number(row[field]).toLocaleString('en')).join(' | ')} |`)
  }
  console.log()
}
table(['library', 'grants', 'overlaps', 'late calls', 'hangs', 'crashes', 'refused'], locks, [
  'grants',
  'overlaps',
  'late',
  'hangs',
  'crashes',
  'refused',
])
table(['queue', 'triggers', 'runs', 'lost triggers', 'overlaps', 'late calls', 'hangs', 'crashes', 'refused'], queues, [
  'triggers',
  'runs',
  'lost',
  'overlaps',
  'late',
  'hangs',
  'crashes',
  'refused',
])
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify({ seed, forMs, locks, queues }, null, 2)}\n`)
