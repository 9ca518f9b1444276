import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { connect } from 'soloist'
import { postgresBackend } from 'soloist/postgres'
import { Worker } from './crew.js'
import { judge } from './judge.js'
import { book } from './service.js'
import { TABLES } from './tables.js'

/** @typedef {import('./service.js').Event} Event */

/**
 * @typedef {object} RunRecord
 * @property {number} committed events
 * @property {number} rolledBack
 * @property {number} told entries of the ledger
 * @property {{ worker: number, account: string, events: string[] } | null} killed
 * @property {{ worker: number, account: string, events: string[], outcome: 'refused' | 'told' } | null} paused
 * @property {string[]} problems
 */

const ACCOUNTS = Array.from({ length: 12 }, (_, i) => `account ${i + 1}`)
const WORKERS = 3
const BOOKERS = 4
const LOOK_MS = 20

/**
 * Runs the service: books until there are so many events and both workers had their accident, waits until all is told, judges.
 *
 * @param {string} url @param {{ events: number, guarded: boolean, signal: AbortSignal, say: (text: string) => void }} options
 * @returns {Promise<RunRecord>}
 */
export async function run(url, { events, guarded, signal, say }) {
  const pool = new pg.Pool({ connectionString: url, max: BOOKERS + 2 })
  const solo = connect(postgresBackend(pool))
  /** @type {Set<Worker>} */
  const workers = new Set()
  let stopped = false
  /** @type {(error: Error) => void} */
  let fail = () => {}
  const failed = new Promise((_, reject) => {
    fail = reject
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  // It is raced against what is awaited; between two awaits nobody looks.
  failed.catch(() => {})
  /** @template T @param {Promise<T>} work @returns {Promise<T>} */
  const unlessFailed = work => /** @type {Promise<T>} */ (Promise.race([work, failed]))
  const start = async () => {
    const worker = new Worker({ url, guarded }, fail)
    workers.add(worker)
    await unlessFailed(worker.next('ready'))
    return worker
  }
  try {
    await pool.query(TABLES)
    await pool.query('INSERT INTO account (name) SELECT unnest($1::text[])', [ACCOUNTS])
    const [first, second] = await Promise.all(Array.from({ length: WORKERS }, start))
    say(`${WORKERS} workers, ${ACCOUNTS.length} accounts`)

    /** @type {Event[]} */
    const committed = []
    /** @type {Event[]} */
    const rolledBack = []
    let isOver = false
    const booker = async (/** @type {number} */ i) => {
      for (let n = i; !stopped && (!isOver || committed.length < events); n += BOOKERS) {
        const { event, committed: stands } = await book(pool, /** @type {string} */ (ACCOUNTS[n % ACCOUNTS.length]))
        if (stands) committed.push(event)
        else rolledBack.push(event)
        await sleep(5)
      }
    }
    const booking = Promise.all(Array.from({ length: BOOKERS }, (_, i) => booker(i)))
    const isTold = async (/** @type {readonly string[]} */ ids) => {
      const { rows } = await pool.query(
        'SELECT count(DISTINCT event)::int AS told FROM ledger WHERE event = ANY ($1)',
        [ids],
      )
      return rows[0].told === ids.length
    }
    const untilTold = async (/** @type {readonly string[]} */ ids) => {
      while (!(await isTold(ids))) await sleep(LOOK_MS)
    }

    const accidents = async () => {
      const killed = await killInTheMiddle(/** @type {Worker} */ (first), say)
      workers.delete(/** @type {Worker} */ (first))
      await start()
      const paused = await pauseInTheMiddle(/** @type {Worker} */ (second), untilTold, say)
      isOver = true
      return { killed, paused }
    }
    const [{ killed, paused }] = await unlessFailed(Promise.all([accidents(), booking]))
    await unlessFailed(untilTold(committed.map(({ id }) => id)))
    await Promise.all([...workers].map(worker => worker.stop()))

    const { rows: ledger } = await pool.query('SELECT event, account, amount, fence, worker FROM ledger ORDER BY place')
    const { rows: accounts } = await pool.query('SELECT name, balance::int FROM account')
    const problems = judge(ledger, committed, rolledBack, new Map(accounts.map(({ name, balance }) => [name, balance])))
    for await (const { name } of solo.list()) problems.push(`${name} is still held`)
    return { committed: committed.length, rolledBack: rolledBack.length, told: ledger.length, killed, paused, problems }
  } finally {
    stopped = true
    await Promise.all([...workers].map(worker => worker.stop()))
    await solo.close()
    await pool.end()
  }
}

/** @param {Worker} worker @param {(text: string) => void} say */
async function killInTheMiddle(worker, say) {
  worker.order('hold')
  const { account = '', events = [] } = await worker.next('held')
  await worker.kill()
  say(`worker ${worker.pid} was killed while it held ${account}, with ${events.length} events`)
  return { worker: worker.pid, account, events }
}

/**
 * Stops a worker until its lease has run out and another one has told its events. Then it goes on, as if nothing had been.
 *
 * @param {Worker} worker @param {(events: readonly string[]) => Promise<void>} untilTold @param {(text: string) => void} say
 */
async function pauseInTheMiddle(worker, untilTold, say) {
  worker.order('hold')
  const { account = '', events = [] } = await worker.next('held')
  worker.suspend()
  say(`worker ${worker.pid} is paused while it holds ${account}, with ${events.length} events`)
  await untilTold(events)
  say('another worker has told them')
  /** @type {Promise<'refused' | 'told'>} */
  const ending = Promise.race([
    worker.next('refused').then(() => /** @type {const} */ ('refused')),
    worker.next('told').then(() => /** @type {const} */ ('told')),
  ])
  worker.resume()
  worker.order('go on')
  const outcome = await ending
  say(
    `worker ${worker.pid} goes on: ${outcome === 'refused' ? 'its transaction was refused' : 'its transaction was committed'}`,
  )
  return { worker: worker.pid, account, events, outcome }
}
