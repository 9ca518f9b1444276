export { type PostgresBackendOptions, postgresBackend, postgresSchema } from './backend.js'
export type { PostgresClient } from './database/open.js'
export type { PgClient, PgOptions, PgPool, PgPoolClient } from './database/pg.js'
export type { PgLite } from './database/pglite.js'
export type { PostgresJs } from './database/postgres-js.js'
export type {
  DrizzleTransaction,
  KnexTransaction,
  KyselyTransaction,
  PostgresJsTransaction,
  PostgresTransaction,
  PrismaTransaction,
  QueryTransaction,
} from './transaction.js'
