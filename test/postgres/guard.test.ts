import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import { drizzle } from 'drizzle-orm/node-postgres'
import knex from 'knex'
import { Kysely, sql as kyselySql, PostgresDialect } from 'kysely'
import type pg from 'pg'
import postgres from 'postgres'
import { connect, memoryBackend, SoloistError } from 'soloist'
import { type PostgresTransaction, postgresBackend } from 'soloist/postgres'
import { afterAll, beforeAll, describe, expectTypeOf, test } from 'vitest'
import { Client, claim, fenceOf, newSchema, openPool, url } from './support.js'

const schema = newSchema()
const pool = openPool({ max: 20 })
const options = { schema }

/** How the application runs a transaction, in which `run` sends a statement. */
type Transact = (
  work: (tx: PostgresTransaction, run: (statement: string) => PromiseLike<unknown>) => Promise<void>,
) => Promise<unknown>

const withPg =
  (begin: string, wrap: (client: pg.PoolClient) => PostgresTransaction): Transact =>
  async work => {
    const client = await pool.connect()
    try {
      await client.query(begin)
      await work(wrap(client), statement => client.query(statement))
      await client.query('COMMIT')
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }

const sql = postgres(url, { max: 20, onnotice() {} })
const kysely = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
const withKnex = knex({ client: 'pg', connection: url, pool: { min: 0, max: 20 } })
const withDrizzle = drizzle(pool)
afterAll(async () => {
  await sql.end()
  await withKnex.destroy()
})

const clients: Readonly<Record<string, Transact>> = {
  pg: withPg('BEGIN', client => client),
  'pg, repeatable read': withPg('BEGIN ISOLATION LEVEL REPEATABLE READ', client => client),
  'pg, serializable': withPg('BEGIN ISOLATION LEVEL SERIALIZABLE', client => client),
  'postgres.js': work => sql.begin(tx => work(tx, statement => tx.unsafe(statement))),
  kysely: work => kysely.transaction().execute(tx => work(tx, text => kyselySql.raw(text).execute(tx))),
  knex: work => withKnex.transaction(tx => work(tx, statement => tx.raw(statement))),
  drizzle: work => withDrizzle.transaction(tx => work(tx, statement => tx.execute(statement))),
  // Prisma's client is made for each schema; what is asked of it is this one function.
  'what Prisma gives': withPg('BEGIN', client => ({
    $queryRawUnsafe: async (text, ...values) => (await client.query(text, values)).rows,
  })),
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>(fulfil => {
    resolve = fulfil
  })
  return { promise, resolve }
}

const RACES = Number(process.env.SOLOIST_GUARD_RACES ?? 25)
const TTL_MS = 80

beforeAll(async () => {
  await pool.query(`CREATE SCHEMA ${schema}`)
  await pool.query(`CREATE TABLE ${schema}.account (id text PRIMARY KEY, fences bigint[] NOT NULL DEFAULT '{}')`)
  await new Client(pool, options).acquire(claim('first', 'makes the tables'))
})

/** Two holders of one lock, the first of which is paused until its lease is over; returns the fences in the order of commits. */
async function race(
  transact: Transact,
  id: string,
  guarded: boolean,
  pausedBefore: boolean,
): Promise<readonly number[]> {
  await pool.query(`INSERT INTO ${schema}.account (id) VALUES ($1)`, [id])
  const backend = postgresBackend(pool, options)
  backend.open(`race-${id}`, () => {})
  const hold = async (owner: string, ttlMs: number, pauseMs: number, onGranted = () => {}) => {
    let fence: number | null = null
    while (fence === null) {
      const step = { kind: 'acquire', claim: claim(id, owner, { ttlMs }), ticket: null, replaces: null } as const
      const [answer] = (await backend.run([step])).steps
      if (answer?.status === 'granted') fence = answer.fence
      else await sleep(5)
    }
    onGranted()
    try {
      await transact(async (tx, run) => {
        // The transaction sees the state of its first statement.
        await run('SELECT 1 FROM pg_class LIMIT 1')
        if (pausedBefore) await sleep(pauseMs)
        if (guarded && !(await backend.guard({ name: id, owner }, fence, tx))) throw new Error('stale')
        if (!pausedBefore) await sleep(pauseMs)
        await run(`UPDATE ${schema}.account SET fences = fences || ${fence}::bigint WHERE id = '${id}'`)
      })
    } catch (error) {
      const { message, code, cause } = error as { message?: string; code?: string; cause?: { code?: string } }
      if (message !== 'stale' && code !== '40001' && cause?.code !== '40001') throw error
    }
  }
  const { promise: granted, resolve: onGranted } = withResolvers()
  await Promise.all([hold('paused', TTL_MS, TTL_MS * 3, onGranted), granted.then(() => hold('next', 60_000, 0))])
  await backend.close()
  const { rows } = await pool.query(`SELECT fences FROM ${schema}.account WHERE id = $1`, [id])
  return rows[0].fences.map(Number)
}

async function staleCommits(transact: Transact, label: string, guarded: boolean): Promise<number> {
  const commits: (readonly number[])[] = []
  while (commits.length < RACES) {
    const races = Array.from({ length: 5 }, (_, i) =>
      race(transact, `${label} ${commits.length + i}`, guarded, i % 2 === 0),
    )
    commits.push(...(await Promise.all(races)))
  }
  // Serializable transactions may all be told to try again, since they read more of a small table than they need.
  const atLeast = label.includes('serializable') ? 0 : RACES / 2
  assert.ok(commits.filter(fences => fences.length > 0).length >= atLeast, 'one of the two commits')
  return commits.filter(fences => fences.some((fence, i) => fence < Number(fences[i - 1] ?? 0))).length
}

describe('a holder that is paused past its lease', () => {
  test('commits without a guard, which shows that these races find it', async () => {
    assert.ok((await staleCommits(clients.pg as Transact, 'bare', false)) > 0)
  })

  for (const [name, transact] of Object.entries(clients)) {
    test(`cannot commit after the next was granted: ${name}`, async () => {
      assert.equal(await staleCommits(transact, name, true), 0)
    })
  }
})

test('a repeatable-read transaction that began before the takeover cannot commit, whatever rows it writes', async () => {
  for (const level of ['REPEATABLE READ', 'SERIALIZABLE']) {
    const client = new Client(pool, options)
    const backend = postgresBackend(pool, options)
    backend.open(`rr-${level}`, () => {})
    const mine = claim(`level ${level}`, 'paused', { ttlMs: 30 })
    const fence = fenceOf(await client.acquire(mine))
    const connection = await pool.connect()
    await connection.query(`BEGIN ISOLATION LEVEL ${level}`)
    await connection.query(`SELECT count(*) FROM ${schema}.account`)
    await sleep(50)
    fenceOf(await client.acquire(claim(mine.name, 'next')))
    await client.renew(claim(mine.name, 'next'))
    const outcome = await backend.guard(mine, fence, connection).catch(error => error.code)
    assert.ok(outcome === false || outcome === '40001', `${level}: ${outcome}`)
    await connection.query('ROLLBACK')
    connection.release()
    await backend.close()
  }
})

describe('lease.guard', () => {
  const solo = connect(postgresBackend(pool, options))
  afterAll(() => solo.close())
  const transact = clients.pg as Transact

  test('lets a holder commit, and the next be granted after that', async () => {
    const lease = await solo.lock('guarded')
    const other = new Client(pool, options)
    await transact(async tx => {
      await lease.guard(tx)
      await lease.guard(tx)
      await lease.renew()
      await lease.release()
      const answer = await other.acquire(claim('guarded', 'other'))
      assert.ok(
        answer.status === 'busy' && answer.holder === null && Number(answer.retryAfterMs) <= 50,
        'until it ends',
      )
    })
    fenceOf(await other.acquire(claim('guarded', 'other')))
  })

  test('refuses one whose lock was cleared, and one that was overtaken', async () => {
    const lease = await solo.lock('cleared')
    await solo.unlock('cleared', { force: true })
    await assert.rejects(
      transact(tx => lease.guard(tx)),
      { code: 'LEASE_LOST' },
    )
    const semaphore = await solo.semaphore('several', 2).lock()
    await transact(tx => semaphore.guard(tx))
    await new Client(pool, options).release({ name: 'several', owner: semaphore.owner })
    await assert.rejects(
      transact(tx => semaphore.guard(tx)),
      { code: 'LEASE_LOST' },
    )
  })

  test('several holders of a semaphore are guarded at one time', async () => {
    const semaphore = solo.semaphore('two at a time', 2)
    const [first, second] = [await semaphore.lock(), await semaphore.lock()]
    await transact(async tx => {
      await first.guard(tx)
      await transact(async other => await second.guard(other))
    })
    await first.release()
    await second.release()
  })

  test('refuses what is no open transaction', async () => {
    await using lease = await solo.lock('nothing open')
    for (const tx of [pool, sql, kysely, withKnex, withDrizzle, {}, null]) {
      await assert.rejects(lease.guard(tx as unknown as PostgresTransaction), (error: unknown) => {
        assert.ok(error instanceof SoloistError && error.code === 'INVALID_ARGUMENT', String(error))
        return true
      })
    }
  })

  test('works in PGlite', async () => {
    await using db = new PGlite()
    await using local = connect(postgresBackend(db))
    const lease = await local.lock('local')
    await db.transaction(async tx => await lease.guard(tx))
    await local.unlock('local', { force: true })
    await assert.rejects(
      db.transaction(async tx => await lease.guard(tx)),
      { code: 'LEASE_LOST' },
    )
  })

  test('is there by its type only where it can hold', async () => {
    await using memory = connect(memoryBackend())
    await using lease = await memory.lock('a')
    expectTypeOf(lease).not.toHaveProperty('guard')
    expectTypeOf<Awaited<ReturnType<typeof solo.lock>>>().toHaveProperty('guard')
    await assert.rejects((lease as unknown as { guard(tx: unknown): Promise<void> }).guard(pool), {
      code: 'INVALID_ARGUMENT',
    })
  })
})
