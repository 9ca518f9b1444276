export { type SqliteBackendOptions, sqliteBackend } from './backend.js'
export type { SqliteDriver } from './client.js'
