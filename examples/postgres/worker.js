// A worker process: tells what is in the outbox, one account at a time and in order, each event once.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { connect, SoloistError } from 'soloist'
import { postgresBackend } from 'soloist/postgres'
import { CHANNEL, transaction } from './tables.js'

/** @typedef {{ url: string, guarded: boolean }} Settings what the parent sends first */
/** @typedef {'hold' | 'go on'} Order `hold`: stop before the next transaction, until told to go on */
/** @typedef {{ step: 'ready' | 'held' | 'told' | 'refused' | 'idle', account?: string, events?: string[] }} Told */

/** How long a lock outlives its worker. Short, to see it here. */
const TTL_MS = 1_000
const BATCH = 5
/** The outbox is looked at again after this long even if nothing was heard of it. */
const LOOK_MS = 250

// Ctrl-C reaches the parent, too, which ends the others in order.
process.on('SIGINT', () => {})

/** @param {Told} told */
const tell = told =>
  process.send?.(told, undefined, undefined, () => {
    // The parent is gone, and with it this process in a moment.
  })

const [{ url, guarded }] = /** @type {[Settings]} */ (await once(process, 'message'))
const stopping = new AbortController()
let isToHold = false
/** @type {() => void} */
let goOn = () => {}
process.on('message', (/** @type {Order} */ order) => {
  isToHold = order === 'hold'
  if (order === 'go on') goOn()
})
process.once('SIGTERM', () => stopping.abort())
process.once('disconnect', () => process.exit(0))

const pool = new pg.Pool({ connectionString: url, max: 6 })
pool.on('error', () => {
  // A connection that was idle is over; the pool opens another one.
})
const solo = connect(postgresBackend(pool))

/** @param {string} account @param {Awaited<ReturnType<typeof solo.lock>>} lease */
async function deliver(account, lease) {
  const found = await pool.query('SELECT id, amount FROM outbox WHERE account = $1 ORDER BY id LIMIT $2', [
    account,
    BATCH,
  ])
  const events = found.rows.map(({ id }) => id)
  if (events.length === 0) return
  if (isToHold) {
    isToHold = false
    const released = new Promise(resolve => {
      goOn = () => resolve(null)
    })
    tell({ step: 'held', account, events })
    await released
  }
  await transaction(pool, async tx => {
    // From here to its end, this transaction can be committed by who holds the lock alone.
    if (guarded) await lease.guard(tx)
    for (const { id, amount } of found.rows) {
      const values = [id, account, amount, lease.fence, process.pid]
      await tx.query('INSERT INTO ledger (event, account, amount, fence, worker) VALUES ($1, $2, $3, $4, $5)', values)
    }
    await tx.query('DELETE FROM outbox WHERE id = ANY ($1)', [events])
  })
  tell({ step: 'told', account, events })
}

/** Takes the account's lock if nobody has it: then somebody else tells its events. @param {string} account */
async function visit(account) {
  const lease = await solo.tryLock(`outbox:${account}`, { ttlMs: TTL_MS })
  if (lease === null) return
  try {
    await deliver(account, lease)
  } catch (error) {
    if (!(error instanceof SoloistError) || error.code !== 'LEASE_LOST') throw error
    tell({ step: 'refused', account })
  } finally {
    await lease.release()
  }
}

const listener = await pool.connect()
let heard = new AbortController()
listener.on('notification', () => heard.abort())
await listener.query(`LISTEN ${CHANNEL}`)
tell({ step: 'ready' })
while (!stopping.signal.aborted) {
  heard = new AbortController()
  const { rows } = await pool.query('SELECT account FROM outbox GROUP BY account ORDER BY min(id)')
  for (const { account } of rows) if (!stopping.signal.aborted) await visit(account)
  const woken = AbortSignal.any([heard.signal, stopping.signal])
  // Somebody else's locks are left to them for a while; what is new wakes at once.
  if (!woken.aborted) await Promise.race([sleep(LOOK_MS), once(woken, 'abort')])
}
listener.release(true)
await solo.close()
await pool.end()
process.disconnect()
