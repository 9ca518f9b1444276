import pg from 'pg'
import { postgresBackend } from 'soloist/postgres'

/** A pool of the application's, to a PgBouncer that gives each transaction another connection. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  const pool = new pg.Pool({ connectionString: String(process.env.SOLOIST_TEST_PGBOUNCER), max: 4 })
  pool.on('error', error => console.error(error))
  return { backend: postgresBackend(pool, { prefix }), dispose: () => pool.end() }
}
