import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Backend, GuardingBackend } from './backend.js'
import { memoryBackend } from './backends/memory/backend.js'
import type { PostgresTransaction } from './backends/postgres/transaction.js'
import type { SqliteTransaction } from './backends/sqlite/guard.js'
import { invalidArgument, SoloistError } from './errors.js'
import { checkOptionNames, checkOptions, checkPrefix, type OptionNames } from './internal/check.js'
import { checkSoloistOptions, Soloist, type SoloistOptions } from './soloist.js'

export interface ConnectOptions extends SoloistOptions {
  /**
   * What every key and row of this client starts with; default `'soloist:'`, at most 1 KiB, may be empty. Clients whose
   * prefixes differ never meet, unless one prefix begins with the other: `'soloist:'` with the name `'staging:a'` is
   * `'soloist:staging:'` with the name `'a'`, one lock. Only for a URL: a backend that was made already has its own.
   */
  readonly prefix?: string | undefined
  /** For a Redis Cluster behind a URL: as `hashTags` of `redisBackend`. */
  readonly hashTags?: number | undefined
  /** For a Redis behind a URL: as `restartGuardMs` of `redisBackend`. */
  readonly restartGuardMs?: number | undefined
}

// Each is loaded when a URL first asks for it, so that an import does not wait for all. Bundlers follow a `require` of a
// file as they follow an import.
const loadRedis = () => require('./backends/redis/backend.js') as typeof import('./backends/redis/backend.js')
const loadPostgres = () => require('./backends/postgres/backend.js') as typeof import('./backends/postgres/backend.js')
const loadSqlite = () => require('./backends/sqlite/backend.js') as typeof import('./backends/sqlite/backend.js')

/** What leads to another store than Redis. */
const OTHERS: ReadonlySet<string> = new Set(['sqlite:', 'memory:', 'postgres:', 'postgresql:'])

const OPTION_NAMES: OptionNames<ConnectOptions> = {
  prefix: true,
  hashTags: true,
  restartGuardMs: true,
  callTimeoutMs: true,
  clock: true,
  random: true,
}

/**
 * Opens a datastore for locks.
 *
 * | target | |
 * |---|---|
 * | `redis://[user:password@]host[:port][/database]`, `rediss://…` (TLS) | needs `ioredis` installed |
 * | `redis+sentinel://[user:password@]host[:port][,host[:port]…]/name[/database]`, `rediss+sentinel://…` | the same |
 * | `redis+unix:///path/to/socket[?db=database]`, or `unix:` | the same |
 * | `postgres://[user:password@]host[:port]/database[?schema=name]`, or `postgresql:` | needs `pg` installed |
 * | `sqlite:path`, relative to the working directory | needs Node ≥ 22.13, or `libsql` installed |
 * | `memory:` | a store of its own within this process |
 * | a {@link Backend}, such as `redisBackend(client)` | as it is |
 * | none | `SOLOIST_URL` from the environment, else {@link defaultUrl} |
 *
 * Nothing is sent before the first call. The caller closes what it opened, best with `await using`.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a target or an option it cannot take (the message never repeats the
 *   target, which may hold a password); `BACKEND_UNAVAILABLE` when the package that speaks to the datastore is not
 *   installed
 */
export function connect(
  target: `postgres://${string}` | `postgresql://${string}`,
  options?: ConnectOptions,
): Soloist<PostgresTransaction>
export function connect(target: `sqlite:${string}`, options?: ConnectOptions): Soloist<SqliteTransaction>
export function connect<Tx>(target: GuardingBackend<Tx>, options?: ConnectOptions): Soloist<Tx>
export function connect(target?: string | Backend, options?: ConnectOptions): Soloist
export function connect(target?: string | Backend, options: ConnectOptions = {}): Soloist {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  const { prefix, hashTags, restartGuardMs, ...rest } = options
  checkSoloistOptions(rest)
  if (prefix !== undefined) checkPrefix(prefix)
  const store = target === undefined ? process.env.SOLOIST_URL || defaultUrl() : target
  return new Soloist(backendFor(store, prefix, { hashTags, restartGuardMs }), rest)
}

/**
 * The store used when none is named: `soloist.db` in this user's state folder (`$XDG_STATE_HOME`, else `~/.local/state`),
 * whatever the working directory is.
 *
 * @throws SoloistError `INVALID_ARGUMENT` when this user has no home folder with an absolute path
 */
export function defaultUrl(): string {
  const { XDG_STATE_HOME: stateHome = '' } = process.env
  // A relative one is to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
  const folder = isAbsolute(stateHome) ? stateHome : join(homeFolder(), '.local', 'state')
  return `sqlite:${join(folder, 'soloist', 'soloist.db')}`
}

function homeFolder(): string {
  const why = 'there is no place for the default store, since this user has no home folder with an absolute path'
  const message = `${why}; name a store, or set SOLOIST_URL`
  let home: string
  try {
    home = homedir()
  } catch (cause) {
    // HOME is not set, and the system does not know this user.
    throw new SoloistError('INVALID_ARGUMENT', message, { cause })
  }
  if (!isAbsolute(home)) throw invalidArgument(message)
  return home
}

/** What only a Redis takes. */
type RedisOnly = Pick<ConnectOptions, 'hashTags' | 'restartGuardMs'>

function backendFor(target: string | Backend, prefix: string | undefined, redisOnly: RedisOnly): Backend {
  const given = Object.entries(redisOnly).find(([, value]) => value !== undefined)?.[0]
  if (typeof target !== 'string') {
    if (typeof (target as Backend | null)?.run !== 'function') {
      throw invalidArgument('the store must be a URL or a backend; wrap a client first: connect(redisBackend(client))')
    }
    if (prefix !== undefined) {
      throw invalidArgument('a backend has its prefix already; give it where the backend is made')
    }
    if (given !== undefined) {
      throw invalidArgument(`a backend has its ${given} already; give it where the backend is made`)
    }
    return target
  }
  const scheme = /^[a-z+]+:/.exec(target)?.[0]
  if (given !== undefined && scheme !== undefined && OTHERS.has(scheme)) {
    throw invalidArgument(`${given} is an option for Redis alone`)
  }
  switch (scheme) {
    case 'redis:':
    case 'rediss:':
    case 'redis+sentinel:':
    case 'rediss+sentinel:':
    case 'redis+unix:':
    case 'unix:':
      return loadRedis().redisBackend(target, { prefix, ...redisOnly })
    case 'postgres:':
    case 'postgresql:':
      return loadPostgres().postgresBackend(target, { prefix })
    case 'sqlite:':
      return loadSqlite().sqliteBackend(target.slice('sqlite:'.length), { prefix })
    case 'memory:':
      if (target !== 'memory:') throw invalidArgument('the URL of the memory backend is just "memory:"')
      return memoryBackend()
    default:
      throw invalidArgument(
        'the store must be a URL that starts with redis:, rediss:, redis+sentinel:, redis+unix:, postgres:, sqlite: ' +
          'or memory:',
      )
  }
}
