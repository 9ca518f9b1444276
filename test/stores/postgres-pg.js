import pg from 'pg'
import { postgresBackend } from 'soloist/postgres'

/** The pool of the application's, which all backends of a process share. */
const pool = new pg.Pool({
  connectionString: String(process.env.SOLOIST_TEST_POSTGRES),
  max: 60,
  allowExitOnIdle: true,
})
pool.on('error', error => console.error(error))

/** @param {{ prefix: string }} options */
export async function open({ prefix }) {
  return { backend: postgresBackend(pool, { prefix }) }
}
