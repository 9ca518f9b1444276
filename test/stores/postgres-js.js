import postgres from 'postgres'
import { postgresBackend } from 'soloist/postgres'

/** A client of postgres.js. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  const sql = postgres(String(process.env.SOLOIST_TEST_POSTGRES), { max: 3, onnotice() {} })
  return { backend: postgresBackend(sql, { prefix }), dispose: () => sql.end() }
}
