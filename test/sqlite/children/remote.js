// A process that does with one database what it is told, line by line: `{ do, … }` in, `{ … }` or `{ error }` out.
// node remote.js PATH DRIVER
import { createInterface } from 'node:readline'
import { connect } from 'soloist'
import { sqliteBackend } from 'soloist/sqlite'
import { loadDriver } from '../../../dist/backends/sqlite/client.js'

const path = String(process.argv[2])
const driver = /** @type {import('soloist/sqlite').SqliteDriver} */ (process.argv[3])
const solo = connect(sqliteBackend(path, { driver }))
/** @type {Map<string, import('soloist').Lease>} */
const leases = new Map()

/** @type {Record<string, (args: any) => Promise<object>>} */
const commands = {
  async lock({ name, ...options }) {
    const lease = await solo.lock(name, options)
    leases.set(name, lease)
    return { owner: lease.owner, fence: lease.fence }
  },
  async release({ name }) {
    return { released: await leases.get(name)?.release() }
  },
  /** Leaves a write transaction open that has removed every holder. */
  async begin() {
    const db = loadDriver(driver)(path)
    db.exec('BEGIN IMMEDIATE; DELETE FROM soloist_alone')
    Object.assign(globalThis, { db })
    return {}
  },
  async close() {
    await solo.close()
    return {}
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: command, ...args } = JSON.parse(line)
  commands[command]?.(args).then(
    reply => console.log(JSON.stringify({ id, ...reply })),
    error => console.log(JSON.stringify({ id, error: error.code ?? String(error) })),
  )
}
