// What the SQLite backend costs on this machine: `npm run build && node bench/sqlite.js [node:sqlite|libsql]`.
import { statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'soloist'
import { sqliteBackend } from 'soloist/sqlite'
import { loadDriver } from '../dist/backends/sqlite/client.js'

const driver = /** @type {import('soloist/sqlite').SqliteDriver | undefined} */ (process.argv[2])
const folder = await mkdtemp(join(tmpdir(), 'soloist-bench-'))
const path = join(folder, 'bench.db')
const open = () => connect(sqliteBackend(path, { driver }))

/** @param {number[]} values @param {number} part */
const quantile = (values, part) => values.sort((a, b) => a - b)[Math.floor(values.length * part)] ?? Number.NaN

/** The time of one run of `work`, in µs, as a median. @param {number} times @param {() => unknown} work */
async function medianUs(times, work) {
  const spent = []
  for (let i = 0; i < times; i++) {
    const since = performance.now()
    await work()
    spent.push(performance.now() - since)
  }
  return Math.round(quantile(spent, 0.5) * 10_000) / 10
}

const solo = open()
/** @type {Record<string, number>} */
const results = {}
results['lock + release, nobody else, µs'] = await medianUs(3_000, async () => (await solo.lock('free')).release())

const backend = sqliteBackend(path, { driver })
const claims = Array.from({ length: 100 }, (_, i) => ({
  name: `held-${i}`,
  owner: `o${i}`,
  client: 'bench',
  mode: /** @type {const} */ ('exclusive'),
  limit: null,
  ttlMs: 60_000,
  meta: null,
}))
for (const claim of claims) await backend.acquire(claim)
results['renewing 100 leases in one step, µs'] = await medianUs(300, () => backend.renew(claims))
results['inspect, µs'] = await medianUs(3_000, () => backend.inspect('held-1'))
await backend.close()

const raw = loadDriver(driver)(path)
results['one look for grants (PRAGMA data_version), µs'] = await medianUs(3_000, () => raw.get('PRAGMA data_version'))
raw.close()
results['checking that the file is the same, µs'] = await medianUs(3_000, () => statSync(path, { bigint: true }))

const other = open()
/** From one client's release to the lease in another's hands. */
const handOffsMs = []
for (let i = 0; i < 200; i++) {
  const lease = await solo.lock('handed')
  const next = other.lock('handed')
  // At any moment of the other's interval between two looks.
  await sleep(10 + Math.random() * 10)
  const since = performance.now()
  await lease.release()
  const held = await next
  handOffsMs.push(performance.now() - since)
  await held.release()
}
results['hand-off to another connection, ms, median'] = Math.round(quantile(handOffsMs, 0.5) * 10) / 10
results['hand-off to another connection, ms, 99 of 100'] = Math.round(quantile(handOffsMs, 0.99) * 10) / 10

const waiters = 1_000
let done = 0
const gate = await solo.lock('queue')
const all = Array.from({ length: waiters }, async () => {
  const lease = await solo.lock('queue')
  done += 1
  await lease.release()
})
await sleep(1_000)
const idle = process.cpuUsage()
await sleep(2_000)
const { user, system } = process.cpuUsage(idle)
results['CPU while 1,000 claims wait, %'] = Math.round((user + system) / 2_000 / 1) / 10
const since = performance.now()
await gate.release()
await Promise.all(all)
results['hand-offs within one process, per second'] = Math.round(done / ((performance.now() - since) / 1_000))

await Promise.all([solo.close(), other.close()])
await rm(folder, { recursive: true })
console.log(`Node.js ${process.version}, ${driver ?? 'the default driver'}`)
console.table(Object.entries(results).map(([what, value]) => ({ what, value })))
