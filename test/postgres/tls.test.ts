import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import postgres from 'postgres'
import { connect, SoloistError } from 'soloist'
import { postgresBackend } from 'soloist/postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres-server.js'

const fileOf = (name: string) => fileURLToPath(new URL(`../support/tls/${name}`, import.meta.url))
const ca = readFileSync(fileOf('cert.pem'), 'utf8')

let server: PostgresServer
let options: { host: string; port: number; user: string; database: string }
beforeAll(async () => {
  server = await startPostgres({ tls: { cert: fileOf('cert.pem'), key: fileOf('key.pem') } })
  options = { host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' }
})
afterAll(() => server.stop())

/** How many connections of this name there are, of which each must have TLS. */
async function encrypted(name: string): Promise<number> {
  const rows = await server.query(
    `SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = '${name}'`,
  )
  for (const { ssl } of rows) assert.equal(ssl, true)
  return rows.length
}

/** One lock that is handed over: two connections that call, and one that listens as long as somebody waits. */
async function handOver(
  backends: readonly [Parameters<typeof postgresBackend>[0], Parameters<typeof postgresBackend>[0]],
) {
  await using holder = connect(postgresBackend(backends[0]))
  await using waiter = connect(postgresBackend(backends[1]))
  const lease = await holder.lock('tls')
  const waiting = waiter.lock('tls')
  await expect.poll(async () => (await holder.inspect('tls'))?.waiting).toBe(1)
  await expect.poll(() => encrypted('soloist')).toBeGreaterThanOrEqual(3)
  await lease.release()
  const next = await waiting
  assert.ok(next.fence > lease.fence)
  await next.release()
}

test('a URL: its parameters are those of pg', async () => {
  const url = `${server.url}?sslmode=verify-full&sslrootcert=${fileOf('cert.pem')}`
  await handOver([url, url])
})

test('options of pg', async () => {
  const withTls = { ...options, ssl: { ca } }
  await handOver([withTls, withTls])
})

test('a pool of pg, and a client of postgres.js', async () => {
  const pool = new pg.Pool({ ...options, ssl: { ca }, application_name: 'soloist' })
  // A connection may end while it is being given back.
  pool.on('error', () => {})
  const sql = postgres({ ...options, ssl: { ca }, connection: { application_name: 'soloist' }, onnotice() {} })
  await handOver([pool, sql])
  await sql.end()
  await pool.end()
})

test('a certificate that nobody vouches for is refused, and says so', async () => {
  await using solo = connect(`${server.url}?sslmode=verify-full` as `postgres://${string}`)
  await assert.rejects(solo.lock('tls'), (error: unknown) => {
    assert.ok(error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE')
    assert.match(String((error.cause as Error | undefined)?.message), /certificate/)
    return true
  })
})
