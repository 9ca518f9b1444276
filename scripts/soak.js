// Runs the chaos of test/chaos for longer than the suite does, on one store after the other. `--help` says how.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { absolute } from './checks/tree.js'

const HELP = `Eight processes, five locks and five jobs, with a fault every second, judged by the history checker.

  npm run soak -- --minutes 10                     on Redis with and without persistence, and on SQLite
  npm run soak -- --minutes 1 --stores sqlite      on one of them
  npm run soak -- --minutes 1 --seed 7             with the faults of that plan
  npm run soak -- --minutes 10 --load 64 --stores all --write
                                                   on all of them, and the table of docs/guarantees.md

  --minutes   how long the processes run on each store; default 10. The history is judged after that
  --stores    a list of redis, redis-volatile, redis-guarded (no persistence, with restartGuardMs), redis-cluster,
              redis-sentinel and sqlite, or all; default: redis,redis-volatile,sqlite
  --at-once   on how many stores at one time; default 1 under load, else 3
  --seed      makes the plan of that number; default: another each time
  --every     how many seconds after a fault the next one is made; default 1, under load 4
  --load      so many callers for locks in each process, and a few for jobs, which keep what they
              get for a moment; default: three and two, which keep it for longer. On a machine that does nothing else.
              The history takes about 1 GB per million grants in the folder for temporary files
  --write     writes what came of it into docs/guarantees.md, where nothing was wrong
`

/** In the order of the page. */
const STORES = {
  redis: 'Redis, log written always',
  'redis-volatile': 'Redis without persistence',
  'redis-guarded': 'the same, with `restartGuardMs`',
  'redis-cluster': 'Redis Cluster of three primaries, whose slots move',
  'redis-sentinel': 'a primary and a replica, through a sentinel',
  sqlite: 'SQLite',
}
const PAGE = 'docs/guarantees.md'

/**
 * @typedef {object} Result What came of one store.
 * @property {keyof typeof STORES} store
 * @property {number} seed
 * @property {string} version
 * @property {string} node
 * @property {import('soloist/conformance').HistoryCounts} counts
 * @property {readonly string[]} kinds of what was found wrong with the history
 * @property {readonly string[]} left
 */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    stores: { type: 'string', default: 'redis,redis-volatile,sqlite' },
    'at-once': { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    every: { type: 'string' },
    load: { type: 'string' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const { minutes, seed, every, load, write, help } = values
if (help) {
  console.log(HELP)
  process.exit()
}
const wanted = values.stores === 'all' ? Object.keys(STORES) : values.stores.split(',')
const unknown = wanted.filter(store => !Object.hasOwn(STORES, store))
if (unknown.length > 0) throw new Error(`--stores is a list of ${Object.keys(STORES).join(', ')}, not of ${unknown}`)
const atOnce = Number(values['at-once'] ?? (load === undefined ? 3 : 1))
if (!(atOnce >= 1)) throw new Error('--at-once is a number from 1 on')

const folder = mkdtempSync(join(tmpdir(), 'soloist-soak-'))
/** @type {string[]} */
const failed = []
/** @type {Result[]} */
const results = []
try {
  const left = [...wanted]
  await Promise.all(
    Array.from({ length: Math.min(atOnce, left.length) }, async () => {
      for (let store = left.shift(); store !== undefined; store = left.shift()) {
        const { code, result } = await soak(store)
        if (code !== 0) failed.push(store)
        if (result !== null) results.push(result)
      }
    }),
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
results.sort((one, other) => wanted.indexOf(one.store) - wanted.indexOf(other.store))
const table = tableOf(results)
console.log(`\n${table}`)
if (failed.length > 0) {
  console.error(`${failed.join(', ')}: failed, and ${PAGE} stays as it is`)
  process.exitCode = 1
} else if (write) writeTable(table)

/**
 * Runs one store in a process of its own, and tells what it tells.
 *
 * @param {string} store
 */
async function soak(store) {
  const path = join(folder, `${store}.json`)
  const env = {
    ...process.env,
    SOLOIST_SOAK_MINUTES: minutes,
    SOLOIST_SOAK_STORES: store,
    SOLOIST_SOAK_RESULT: path,
    SOLOIST_TEST_SEED: seed,
    ...(every === undefined ? {} : { SOLOIST_SOAK_EVERY: every }),
    ...(load === undefined ? {} : { SOLOIST_SOAK_LOAD: load }),
  }
  const config = ['--config', 'test/chaos/vitest.config.ts', '--reporter', 'dot']
  const child = spawn('npx', ['vitest', 'run', ...config], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  /** @type {Promise<number>} */
  const exited = new Promise(resolve => child.once('close', code => resolve(code ?? 1)))
  for await (const line of createInterface({ input: child.stdout })) if (line.trim() !== '') console.log(line)
  const code = await exited
  return { code, result: read(path) }
}

/**
 * @param {string} path
 * @returns {Result | null} `null`: it failed before there was any
 */
function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error
    return null
  }
}

/** @param {readonly Result[]} results */
function tableOf(results) {
  const versions = new Set(results.map(({ version }) => version))
  const node = results[0]?.node ?? process.version
  const how = [
    `\`npm run soak -- --minutes ${minutes}`,
    ...(load === undefined ? [] : [`--load ${load}`]),
    ...(every === undefined ? [] : [`--every ${every}`]),
    ...(values['at-once'] === undefined ? [] : [`--at-once ${values['at-once']}`]),
    `--stores ${values.stores} --seed ${seed}\``,
  ].join(' ')
  const when = new Date().toISOString().slice(0, 10)
  const lines = results.map(({ store, counts, kinds, left }) => {
    const of = (/** @type {string[]} */ ...some) => kinds.filter(kind => some.includes(kind)).length
    const faults = Object.entries(counts.faults).map(([kind, count]) => `${count} ${kind}`)
    const cells = [
      STORES[store],
      ...[counts.granted, counts.contended, counts.runs].map(count => count.toLocaleString('en')),
      faults.sort().join(', '),
      of('overlap', 'limit'),
      counts.excused,
      of('fence'),
      of('uncovered', 'unsettled', 'arguments'),
      of('wakeup', 'order', 'impossible', 'unknown', 'repeated', 'malformed', 'harmless', 'too-little'),
      counts.lost,
      left.length,
    ]
    return `| ${cells.join(' | ')} |`
  })
  return [
    `${how}, ${when}, on Node ${node.slice(1)} with ${[...versions].join(' and ')}:`,
    '',
    '| | grants | of which had waited | runs of jobs | faults | overlaps | excused | falling fences | lost triggers | else wrong | leases lost | left behind |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|',
    ...lines,
    '',
  ].join('\n')
}

/** @param {string} table */
function writeTable(table) {
  const mark = load === undefined ? 'soak' : 'soak under load'
  const path = absolute(PAGE)
  const text = readFileSync(path, 'utf8')
  const [start, end] = [`<!-- ${mark} -->\n`, `<!-- end of ${mark} -->`]
  const [from, to] = [text.indexOf(start), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${PAGE} has no place for the table: ${start}${end}`)
  writeFileSync(path, `${text.slice(0, from)}${start}${table}${text.slice(to)}`)
  console.log(`${PAGE}: written`)
}
