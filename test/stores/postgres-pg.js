import pg from 'pg'
import { postgresBackend } from 'soloist/postgres'

const schema = new URL(import.meta.url).searchParams.get('schema') ?? 'soloist'
/** The pool of the application's, which all backends of a process share. */
const pool = new pg.Pool({
  connectionString: String(process.env.SOLOIST_TEST_POSTGRES),
  max: 40,
  allowExitOnIdle: true,
})
pool.on('error', error => console.error(error))

/** @param {{ prefix: string }} options */
export async function open({ prefix }) {
  return { backend: postgresBackend(pool, { prefix, schema }) }
}
