import assert from 'node:assert/strict'
import pg from 'pg'
import { postgresSchema } from 'soloist/postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres-server.js'
import { Client, claim, fenceOf, newSchema } from './support.js'

// Alone on its server: rows are not updated in place while somebody has a snapshot.
let server: PostgresServer
let pool: pg.Pool
beforeAll(async () => {
  server = await startPostgres()
  pool = new pg.Pool({ connectionString: server.url, max: 10 })
})
afterAll(async () => {
  await pool.end()
  await server.stop()
})

test('rows of locks that are taken again and again are updated in place', async () => {
  const schema = newSchema()
  const client = new Client(pool, { schema })
  const names = Array.from({ length: 100 }, (_, i) => `lock ${i}`)
  for (let round = 0; round < 200; round += 1) {
    await client.run(
      ...names.map(name => ({ kind: 'acquire', claim: claim(name, 'o'), ticket: null, replaces: null }) as const),
    )
    await client.run(...names.map(name => ({ kind: 'release', name, owner: 'o', result: null }) as const))
  }
  await pool.query('SELECT pg_stat_force_next_flush()').catch(() => {})
  const stats = async () => {
    const { rows } = await pool.query(
      `SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot, pg_relation_size(relid)::int AS bytes
       FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'lock'`,
      [schema],
    )
    return rows[0]
  }
  await expect.poll(async () => (await stats()).updates).toBeGreaterThan(39_000)
  const { updates, hot, bytes } = await stats()
  assert.ok(hot / updates >= 0.99, `${hot} of ${updates} updates were in place`)
  assert.ok(bytes < 1_000_000, `the table has ${bytes} bytes`)
})

test('rows of no use are removed, and fences go on rising', async () => {
  const schema = newSchema()
  const client = new Client(pool, { schema })
  const mine = claim('lock', 'mine')
  const fence = fenceOf(await client.acquire(mine))
  await client.release(mine)
  await client.acquire(claim('busy', 'mine', { mode: 'shared', ttlMs: 1 }))
  // As if the clock had been ahead, and a minute had passed.
  const ahead = 3_600_000_000
  await pool.query(`UPDATE ${schema}.lock SET fence = fence + ${ahead} WHERE name = 'soloist:lock'`)
  await pool.query(
    `CREATE OR REPLACE FUNCTION ${schema}.now_1() RETURNS bigint LANGUAGE sql AS
     $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + ${2 * ahead} $$`,
  )
  // The first says below which fence rows may be removed, the second removes them.
  for (const goesOn of [false, true]) await pool.query(`SELECT ${schema}.sweep_1(10, ${goesOn})`)
  const { rows } = await pool.query(`SELECT count(*)::int AS locks FROM ${schema}.lock WHERE name = 'soloist:lock'`)
  assert.deepEqual(rows, [{ locks: 0 }])
  await pool.query(postgresSchema({ schema }))
  assert.ok(fenceOf(await client.acquire(mine)) > fence + ahead, 'above what was removed, though the clock is back')
})
