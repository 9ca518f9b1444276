import assert from 'node:assert/strict'
import pg from 'pg'
import postgres from 'postgres'
import { connect, SoloistError } from 'soloist'
import { postgresBackend, postgresSchema } from 'soloist/postgres'
import { afterAll, describe, expect, test } from 'vitest'
import { Client, claim, fenceOf, newSchema, openPool, url } from './support.js'

const pool = openPool()

/** The URL as another user. */
const urlAs = (user: string) => url.replace('postgres@', `${user}@`)
const users: string[] = []
afterAll(async () => {
  for (const user of users) await pool.query(`DROP OWNED BY ${user} CASCADE; DROP ROLE ${user}`)
})
async function newUser(): Promise<string> {
  const user = newSchema()
  await pool.query(`CREATE ROLE ${user} LOGIN`)
  users.push(user)
  return user
}

describe('the tables', () => {
  test('are made at first use, by many at once', async () => {
    const schema = newSchema()
    const clients = Array.from({ length: 8 }, () => new Client(pool, { schema }))
    const answers = await Promise.all(clients.map((client, i) => client.acquire(claim('lock', `owner ${i}`))))
    assert.equal(answers.filter(({ status }) => status === 'granted').length, 1)
  })

  test('of a later version that only adds to them work with this one, and one that does not says so', async () => {
    const schema = newSchema()
    const client = new Client(pool, { schema })
    fenceOf(await client.acquire(claim('lock', 'mine')))
    await pool.query(`ALTER TABLE ${schema}.lock ADD COLUMN later text; UPDATE ${schema}.store SET version = 2`)
    assert.equal((await client.release(claim('lock', 'mine'))).status, 'released')
    fenceOf(await new Client(pool, { schema }).acquire(claim('lock', 'another')))
    await pool.query(postgresSchema({ schema }))
    const { rows } = await pool.query(`SELECT version FROM ${schema}.store`)
    assert.deepEqual(rows, [{ version: 2 }])
    await pool.query(`DROP FUNCTION ${schema}.run_1; UPDATE ${schema}.store SET oldest = 2`)
    await assert.rejects(client.acquire(claim('lock', 'mine')), { code: 'SL003' })
  })

  test('are made by who may, for who may not', async () => {
    const [schema, user] = [newSchema(), await newUser()]
    const theirs = openPool({ connectionString: urlAs(user), max: 3 })
    const client = new Client(theirs, { schema })
    await assert.rejects(client.acquire(claim('lock', 'mine')), (error: unknown) => {
      assert.ok(error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE')
      assert.match(error.message, /soloist postgres schema/)
      return true
    })
    await pool.query(postgresSchema({ schema }))
    // What docs/backends/postgres.md lists.
    await pool.query(`GRANT USAGE ON SCHEMA ${schema} TO ${user};
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${user};
      GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${schema} TO ${user}`)
    const lock = claim('lock', 'mine')
    fenceOf(await client.acquire(lock))
    await client.acquire(claim('lock', 'next'), 'new')
    assert.deepEqual(await client.release(lock), { status: 'released', held: true })
    assert.equal(client.handed[0]?.owner, 'next')
    assert.deepEqual(await client.backend.results?.watch({ name: 'lock', owner: 'next' }), { status: 'live' })
    await theirs.query(`SELECT ${schema}.sweep_1(10, false)`)
    const listed = []
    for await (const { name } of client.backend.list('')) listed.push(name)
    assert.deepEqual(listed, ['lock'])
  })

  test('of two schemas never meet', async () => {
    const [a, b] = [new Client(pool, { schema: newSchema() }), new Client(pool, { schema: newSchema() })]
    fenceOf(await a.acquire(claim('lock', 'a')))
    fenceOf(await b.acquire(claim('lock', 'b')))
  })
})

describe('another isolation level than read committed', () => {
  test('is refused with what to do, and nothing is granted', async () => {
    const user = await newUser()
    await pool.query(`ALTER ROLE ${user} SET default_transaction_isolation = 'repeatable read'`)
    const schema = newSchema()
    await new Client(pool, { schema }).acquire(claim('other', 'mine'))
    await pool.query(
      `GRANT USAGE ON SCHEMA ${schema} TO ${user}; GRANT ALL ON ALL TABLES IN SCHEMA ${schema} TO ${user}`,
    )
    const client = new Client(openPool({ connectionString: urlAs(user) }), { schema })
    await assert.rejects(client.acquire(claim('lock', 'mine')), { code: 'BACKEND_UNAVAILABLE' })
    await assert.rejects(async () => client.backend.results?.watch(claim('lock', 'mine')), {
      code: 'BACKEND_UNAVAILABLE',
    })
    assert.equal(await client.backend.inspect('lock'), null)
  })
})

describe('a URL', () => {
  test('may name the schema, a socket, and the other scheme', async () => {
    const schema = newSchema()
    const { rows } = await pool.query('SHOW unix_socket_directories')
    const { port } = new URL(url)
    const socket = `postgresql://postgres@/postgres?host=${rows[0].unix_socket_directories}&port=${port}&schema=${schema}`
    await using overSocket = connect(socket)
    await using overTcp = connect(`${url}?schema=${schema}` as `postgres://${string}`)
    const lease = await overSocket.lock('lock')
    assert.equal((await overTcp.inspect('lock'))?.holders[0]?.owner, lease.owner)
    await lease.release()
  })

  test('that cannot be taken is refused without repeating it', () => {
    for (const target of ['postgres:secret', `${url}?schema=a b`, 'mysql://secret', `${url}?schema=a&schema=b`]) {
      assert.throws(
        () => connect(target),
        (error: unknown) =>
          error instanceof SoloistError && error.code === 'INVALID_ARGUMENT' && !/secret/.test(error.message),
      )
    }
    for (const target of [{}, null, 3, { query() {} }, () => {}]) {
      assert.throws(() => postgresBackend(target as never), { code: 'INVALID_ARGUMENT' })
    }
  })
})

test('a name that is too long for an index fails alone', async () => {
  const client = new Client(pool, { schema: newSchema(), prefix: 'p'.repeat(1_000) })
  const [long, short] = await client.run(
    { kind: 'acquire', claim: claim('\0'.repeat(1_000), 'mine'), ticket: null, replaces: null },
    { kind: 'acquire', claim: claim('short', 'mine'), ticket: null, replaces: null },
  )
  assert.equal(long?.status, 'fault')
  assert.equal(short?.status, 'granted')
})

test('a pooler that delivers no messages is told of once, and grants are asked for', async () => {
  const schema = newSchema()
  const bouncer = openPool({ connectionString: String(process.env.SOLOIST_TEST_PGBOUNCER), max: 4 })
  const [holder, waiter] = [new Client(bouncer, { schema }), new Client(bouncer, { schema })]
  const mine = claim('lock', 'mine')
  fenceOf(await holder.acquire(mine))
  await waiter.acquire(claim('lock', 'next'), 'new')
  await expect.poll(() => waiter.events.filter(({ type }) => type === 'fault').length).toBe(1)
  await holder.release(mine)
  await expect.poll(() => waiter.events.some(event => event.type === 'granted' && event.owner === 'next')).toBe(true)
})

test('a client of postgres.js may have options that change how rows come', async () => {
  const sql = postgres(url, { max: 3, fetch_types: false, transform: postgres.camel, onnotice() {} })
  const client = new Client(sql, { schema: newSchema() })
  const mine = claim('lock', 'mine')
  fenceOf(await client.acquire(mine))
  await client.acquire(claim('lock', 'next "quoted", {}'), 'new')
  await client.release(mine)
  assert.equal(client.handed[0]?.owner, 'next "quoted", {}')
  assert.equal((await client.backend.inspect('lock'))?.holders[0]?.owner, 'next "quoted", {}')
  for await (const { name } of client.backend.list('')) assert.equal(name, 'lock')
  await client.backend.close()
  await sql.end()
})

test('one client of pg is enough, and is asked for grants', async () => {
  const schema = newSchema()
  const connection = new pg.Client(url)
  await connection.connect()
  const [holder, waiter] = [new Client(pool, { schema }), new Client(connection, { schema })]
  const mine = claim('lock', 'mine')
  fenceOf(await holder.acquire(mine))
  await waiter.acquire(claim('lock', 'next'), 'new')
  await holder.release(mine)
  await expect.poll(() => waiter.events.some(event => event.type === 'granted')).toBe(true)
  await waiter.backend.close()
  await connection.end()
})
