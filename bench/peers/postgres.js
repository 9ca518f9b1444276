// @ts-nocheck: Verrou's drivers want other versions of the types of what they are given.
// What else locks on Postgres, each with a pool of ten, which is the default of pg.
import { Verrou } from '@verrou/core'
import { knexStore } from '@verrou/core/drivers/knex'
import { kyselyStore } from '@verrou/core/drivers/kysely'
import knex from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'

const TTL_MS = 30_000

/** @param {string} name @param {string} url @returns {Promise<import('../contender.js').Contender>} */
export async function open(name, url) {
  if (name === 'session advisory lock') return advisory(url)
  if (name === '@verrou/core with knex') {
    const connection = knex({ client: 'pg', connection: url, pool: { min: 0, max: 10 } })
    return await verrou(knexStore({ connection, tableName: 'verrou_knex' }), () => connection.destroy())
  }
  const connection = new Kysely({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url, max: 10 }) }),
  })
  return await verrou(kyselyStore({ connection, tableName: 'verrou_kysely' }), () => connection.destroy())
}

async function verrou(driver, close) {
  const locks = new Verrou({ default: 'db', stores: { db: { driver } } })
  return {
    take: async key => {
      const lock = locks.createLock(key, TTL_MS)
      await lock.acquire()
      return lock
    },
    free: lock => lock.release(),
    close,
  }
}

/** Without an owner, a lease, a fence or an order: each lock that is held keeps a connection. */
function advisory(url) {
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  return {
    take: async key => {
      const client = await pool.connect()
      await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [key])
      return { client, key }
    },
    free: async ({ client, key }) => {
      await client.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [key])
      client.release()
    },
    close: () => pool.end(),
  }
}
