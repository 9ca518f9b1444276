import { sqliteBackend } from 'soloist/sqlite'

const { searchParams } = new URL(import.meta.url)
const path = String(searchParams.get('path'))
const driver = /** @type {import('soloist/sqlite').SqliteDriver} */ (searchParams.get('driver'))

/** The database and the driver that this module's URL names: `sqlite.js?path=…&driver=…`. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  return { backend: sqliteBackend(path, { prefix, driver }) }
}
