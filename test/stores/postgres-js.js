import postgres from 'postgres'
import { postgresBackend } from 'soloist/postgres'

const schema = new URL(import.meta.url).searchParams.get('schema') ?? 'soloist'
/** A client of postgres.js, which all backends of a process share. */
const sql = postgres(String(process.env.SOLOIST_TEST_POSTGRES), { max: 8, idle_timeout: 1, onnotice() {} })

/** @param {{ prefix: string }} options */
export async function open({ prefix }) {
  return { backend: postgresBackend(sql, { prefix, schema }) }
}
