// Measures Soloist beside other lock libraries, all in one run on one machine: `npm run bench [-- --seconds 3 --json FILE]`.
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { bullmqAdds } from './bullmq.js'
import { redisSemaphore, redlock, soloist, sqliteFile } from './contenders.js'
import { startRedis } from './redis.js'

/** @typedef {import('./contenders.js').Contender} Contender */

const { values: flags } = parseArgs({
  options: { seconds: { type: 'string', default: '3' }, json: { type: 'string' } },
})
const SECONDS = Number(flags.seconds)
const CONTENDERS = 50
const IDLE_WAITERS = 100

/** @param {number[]} sorted @param {number} part */
const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN

/** One caller takes and gives back a lock that nobody else wants. @param {Contender} contender */
async function uncontended(contender) {
  const cycles = []
  const cpu = process.cpuUsage()
  const end = performance.now() + SECONDS * 1_000
  for (let now = performance.now(); now < end; ) {
    const release = await contender.take('uncontended')
    await release()
    cycles.push(performance.now() - now)
    now = performance.now()
  }
  const { user, system } = process.cpuUsage(cpu)
  cycles.sort((a, b) => a - b)
  return {
    'p50 µs': Math.round(quantile(cycles, 0.5) * 1_000),
    'p99 µs': Math.round(quantile(cycles, 0.99) * 1_000),
    'CPU µs': Math.round((user + system) / cycles.length),
  }
}

/** Many callers in one process hand one lock around without holding it. @param {Contender} contender */
async function contended(contender) {
  const waits = /** @type {number[]} */ ([])
  /** How often each caller had its turn. */
  const turns = Array.from({ length: CONTENDERS }, () => 0)
  let holders = 0
  let overlaps = 0
  const startedAt = performance.now()
  const end = startedAt + SECONDS * 1_000
  /** @param {number} own */
  const caller = async own => {
    while (performance.now() < end) {
      const askedAt = performance.now()
      const release = await contender.take('contended')
      waits.push(performance.now() - askedAt)
      turns[own] = (turns[own] ?? 0) + 1
      if (++holders > 1) overlaps += 1
      holders -= 1
      await release()
    }
  }
  await Promise.all(turns.map((_, own) => caller(own)))
  const seconds = (performance.now() - startedAt) / 1_000
  waits.sort((a, b) => a - b)
  return {
    'hand-offs/s': Math.round(waits.length / seconds),
    'wait p50 ms': round(quantile(waits, 0.5)),
    'wait p99 ms': round(quantile(waits, 0.99)),
    'longest wait ms': round(quantile(waits, 1)),
    'fewest turns of a caller': Math.min(...turns),
    'most turns of a caller': Math.max(...turns),
    overlaps,
  }
}

/** Many callers wait for a lock that is not given back. @param {Contender} contender @param {Awaited<ReturnType<typeof startRedis>>} redis */
async function idle(contender, redis) {
  const watched = await redis.watch()
  const release = await contender.take('idle')
  const waiting = Array.from({ length: IDLE_WAITERS }, async () => (await contender.take('idle'))())
  await sleep(1_000)
  const commands = await watched.commandsWithin(SECONDS * 1_000)
  watched.stop()
  await release()
  await Promise.all(waiting)
  return { 'commands/s': round(commands / SECONDS) }
}

/** @param {number} value */
const round = value => Math.round(value * 100) / 100

/** @param {string} title @param {readonly (() => Contender)[]} makers @param {(contender: Contender) => Promise<object>} measure */
async function table(title, makers, measure) {
  console.log(`\n${title}`)
  /** @type {Record<string, object>} */
  const rows = {}
  for (const make of makers) {
    const contender = make()
    await (await contender.take('warm-up'))()
    rows[contender.name] = await measure(contender)
    await contender.close()
    console.log(`  ${contender.name.padEnd(24)} ${JSON.stringify(rows[contender.name])}`)
  }
  return rows
}

const version = (/** @type {string} */ name) => {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url)
  return `${name} ${JSON.parse(readFileSync(file, 'utf8')).version}`
}

const redis = await startRedis()
const file = sqliteFile()
const machine = `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}`
const versions = ['ioredis', 'redis-semaphore', '@sesamecare-oss/redlock', 'libsql', 'bullmq'].map(version).join(', ')
console.log(`${machine}\nRedis ${redis.version} on loopback, ${versions}, ${SECONDS} s each`)

const onRedis = () => soloist('soloist on Redis', redis.url)
const onSqlite = () => soloist('soloist on SQLite', file.url)
const inMemory = () => soloist('soloist in memory', 'memory:')
const peers = [() => redisSemaphore(redis.url), () => redlock(redis.url)]
const all = [onRedis, ...peers, onSqlite, inMemory]
const results = {
  machine,
  versions,
  uncontended: await table('One caller: take and give back', all, uncontended),
  contended: await table(`${CONTENDERS} callers of one process, one lock, no time held`, all, contended),
  idle: await table(`${IDLE_WAITERS} callers wait for a held lock: load on Redis`, [onRedis, ...peers], contender =>
    idle(contender, redis),
  ),
  bullmq: await bullmqAdds(redis.url, SECONDS),
}
console.log('\nBullMQ: distinct jobs, 50 adds at a time\n', results.bullmq)
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(results, null, 2)}\n`)
redis.stop()
await file.remove()
