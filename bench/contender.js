// Who is measured: Soloist on each of its stores, the peers, and the same commands without any library.
import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { connect } from 'soloist'

/**
 * A way to take a lock.
 *
 * @typedef {object} Contender
 * @property {(lock: string) => Promise<any>} take resolves when the lock is held
 * @property {(held: any) => Promise<unknown>} free gives back what `take` resolved with
 * @property {() => Promise<unknown>} close
 */

const TTL_MS = 30_000
const DELETE_IF_MINE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

/** @param {string} url @returns {Contender} */
function soloist(url) {
  const solo = connect(url)
  return {
    take: lock => solo.lock(lock, { ttlMs: TTL_MS }),
    free: lease => lease.release(),
    close: () => solo.close(),
  }
}

/**
 * A function job that does nothing: `take` runs it, and there is nothing to give back.
 *
 * @param {string} url @returns {Contender}
 */
function functionJobs(url) {
  const solo = connect(url)
  const job = solo.job('bench', (/** @type {string} */ key) => key)
  return { take: key => job(key), free: async () => {}, close: () => solo.close() }
}

/**
 * What a lock costs at least through ioredis: SET NX PX, and a script that compares and deletes. No waiting, no lease.
 *
 * @param {string} url @returns {Contender}
 */
function rawCommands(url) {
  const client = new Redis(url)
  client.defineCommand('deleteIfMine', { numberOfKeys: 1, lua: DELETE_IF_MINE })
  const run = /** @type {any} */ (client)
  const id = randomBytes(12).toString('hex')
  let count = 0
  return {
    take: async lock => {
      const owner = `${id}${++count}`
      const taken = await client.set(lock, owner, 'PX', TTL_MS, 'NX')
      if (taken !== 'OK') throw new Error(`${lock} is not free`)
      return { lock, owner }
    },
    free: ({ lock, owner }) => run.deleteIfMine(lock, owner),
    close: async () => client.disconnect(),
  }
}

export const SOLOIST = 'Soloist'
export const JOBS = 'function jobs'
export const RAW = 'raw commands'
export const PEERS = ['redlock', '@sesamecare-oss/redlock', 'redis-semaphore', 'redlock-universal', '@verrou/core']

export const ADVISORY = 'session advisory lock'
export const POSTGRES_PEERS = ['@verrou/core with kysely', '@verrou/core with knex', ADVISORY]

/** @param {string} name @param {string} url @returns {Promise<Contender>} */
export async function contender(name, url) {
  if (name === SOLOIST) return soloist(url)
  if (name === JOBS) return functionJobs(url)
  if (name === RAW) return rawCommands(url)
  if (POSTGRES_PEERS.includes(name)) return await (await import('./peers/postgres.js')).open(name, url)
  const { peers } = await import('./peers/contenders.js')
  const make = peers[name]
  if (make === undefined) throw new Error(`there is no contender ${name}`)
  return make(url)
}
