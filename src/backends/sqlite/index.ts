export { type SqliteBackendOptions, sqliteBackend } from './backend.js'
export type { SqliteDriver } from './client.js'
export type { SqliteTransaction } from './guard.js'
