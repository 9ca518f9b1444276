import { postgresBackend } from 'soloist/postgres'

/** The backend's own pool, for a URL. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  return { backend: postgresBackend(String(process.env.SOLOIST_TEST_POSTGRES), { prefix }) }
}
