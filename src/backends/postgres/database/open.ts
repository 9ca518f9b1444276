import { invalidArgument } from '../../../errors.js'
import type { Database } from './database.js'
import { GivenClient, GivenPool, OwnPool, type PgClient, type PgOptions, type PgPool } from './pg.js'
import { GivenPgLite, type PgLite } from './pglite.js'
import { GivenPostgresJs, type PostgresJs } from './postgres-js.js'

/** What the application has: a pool or a client of `pg`, a client of `postgres` (postgres.js), or PGlite. */
export type PostgresClient = PgPool | PgClient | PostgresJs | PgLite

/**
 * Nothing is opened before the first call.
 *
 * @throws SoloistError `INVALID_ARGUMENT` when it is none that can be used; a URL is not repeated in the message
 */
export function openDatabase(
  target: string | PgOptions | PostgresClient,
  onTrouble: (error: unknown) => void,
): Database {
  if (typeof target === 'string') return new OwnPool({ connectionString: checkUrl(target) }, onTrouble)
  if ((typeof target !== 'object' && typeof target !== 'function') || target === null) throw unusable()
  const has = (method: string) => typeof (target as Record<string, unknown>)[method] === 'function'
  if (has('unsafe') && has('listen')) return new GivenPostgresJs(target as PostgresJs)
  if (has('query') && has('exec') && has('listen')) return new GivenPgLite(target as PgLite)
  if (has('query') && has('connect')) {
    return 'totalCount' in target ? new GivenPool(target as PgPool) : new GivenClient(target as PgClient)
  }
  if (typeof target === 'function' || has('query') || has('release')) throw unusable()
  const { host, connectionString, database } = target as PgOptions
  if ([host, connectionString, database].some(text => typeof text === 'string' && text !== '')) {
    return new OwnPool(target as PgOptions, onTrouble)
  }
  throw unusable()
}

function checkUrl(url: string): string {
  if (/^postgres(ql)?:\/\//.test(url)) return url
  throw invalidArgument('the URL of a Postgres database starts with postgres:// or postgresql://')
}

function unusable() {
  return invalidArgument(
    'a postgres: URL is needed, or options of pg that name a host or a database, or a Pool or Client of pg, a client of ' +
      'postgres (postgres.js), or PGlite',
  )
}
