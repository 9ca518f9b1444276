import type {
  Answer,
  Answers,
  ClaimId,
  GuardingBackend,
  LockState,
  ResultStore,
  Step,
  StoreEvent,
  WatchReply,
} from '../../backend.js'
import { invalidArgument, SoloistError } from '../../errors.js'
import { checkOptionNames, checkOptions, checkPrefix, type OptionNames } from '../../internal/check.js'
import { monotonicMs } from '../../internal/real-time.js'
import { claimOf } from '../../internal/step-names.js'
import type { Database, Row } from './database/database.js'
import { openDatabase, type PostgresClient } from './database/open.js'
import type { PgOptions } from './database/pg.js'
import { Pushes } from './pushes.js'
import { Request } from './request.js'
import { codeOf, inSchema, isMissing, saysCode, setUp, setupSql } from './setup.js'
import { arrayOf, decode, encode, endOfRange, quoted } from './text.js'
import { guardIn, type PostgresTransaction } from './transaction.js'
import { LOOK, PAGE, stateOf } from './view.js'

export interface PostgresBackendOptions {
  /**
   * What every row's name starts with; default `'soloist:'`. A client whose prefix begins with that of another shares its
   * locks with it, under shorter names.
   */
  readonly prefix?: string | undefined
  /** The schema with the tables and functions, which is made where it is missing; default `'soloist'`. */
  readonly schema?: string | undefined
}

/**
 * The SQL that makes the tables and functions of this backend, or brings those of an older version up to date, for who lets no
 * application create anything. Safe to run again. `soloist postgres schema` prints the same.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a schema it cannot take
 */
export function postgresSchema(options: Pick<PostgresBackendOptions, 'schema'> = {}): string {
  checkOptions(options)
  checkOptionNames(options, { schema: true } satisfies OptionNames<Pick<PostgresBackendOptions, 'schema'>>)
  return setupSql(checkSchema(options.schema ?? DEFAULT_SCHEMA))
}

const DEFAULT_SCHEMA = 'soloist'
const OPTION_NAMES: OptionNames<PostgresBackendOptions> = { prefix: true, schema: true }
const BEAT_MS = 4_000
/** How many of these a call may hold at once: Postgres keeps a place for each in memory that is shared by all. */
const MOST_STEPS = 128
const CALLS_AT_ONCE = 2
const SWEEP_EVERY_MS = 15_000
/** What a sweep removes holds up who asks for it just then: for some 50 ms. */
const SWEEP_ROWS = 20_000
/** A statement that was chosen as the victim of a deadlock, or must see a newer state, did nothing. */
const REPEATABLE: ReadonlySet<unknown> = new Set(['40P01', '40001'])
const MOST_REPEATS = 3
const WRONG_ISOLATION = 'SL001'
const NO_TRANSACTION = 'SL004'

/**
 * Locks in a Postgres database, version 14 or later, or anything that speaks and behaves like it.
 *
 * @param target a URL (`postgres:` or `postgresql:`), or options of `pg`, for a pool of `pg` that is opened with the first call
 *   and closed with the backend; or what the application has, which stays open: a `Pool` of `pg`, a `Client` of `pg` that is
 *   used for nothing else, a client of `postgres` (postgres.js), or PGlite. A URL may name the schema: `?schema=name`.
 * @throws SoloistError `INVALID_ARGUMENT` for a target or an option it cannot take; a URL is not repeated in the message.
 *   `BACKEND_UNAVAILABLE` when a URL is given and `pg` is not installed
 */
export function postgresBackend(
  target: string | PgOptions | PostgresClient,
  options: PostgresBackendOptions = {},
): GuardingBackend<PostgresTransaction> {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  const prefix = options.prefix === undefined ? 'soloist:' : checkPrefix(options.prefix)
  const { url, schema } = typeof target === 'string' ? withoutSchema(target) : { url: null, schema: undefined }
  if (schema !== undefined && options.schema !== undefined) {
    throw invalidArgument('the schema is named twice, in the URL and by the option')
  }
  return new PostgresBackend(
    url ?? (target as PgOptions),
    prefix,
    checkSchema(options.schema ?? schema ?? DEFAULT_SCHEMA),
  )
}

class PostgresBackend implements GuardingBackend<PostgresTransaction>, ResultStore {
  readonly kind = 'postgres'
  readonly beatMs: number = BEAT_MS
  readonly mostSteps: number = MOST_STEPS
  readonly callsAtOnce: number = CALLS_AT_ONCE
  readonly results: ResultStore = this
  readonly #database: Database
  readonly #schema: string
  /** Encoded. */
  readonly #prefix: string
  readonly #statements = new Map<string, string>()
  readonly #pushes: Pushes
  #listener: (event: StoreEvent) => void = () => {}
  #client = ''
  #settingUp: Promise<void> | null = null
  #sweeping: Promise<unknown> | null = null
  #sweepDueMs = monotonicMs() + SWEEP_EVERY_MS
  #closed = false

  constructor(target: string | PgOptions | PostgresClient, prefix: string, schema: string) {
    this.#database = openDatabase(target, () => {
      // A connection of the pool that was idle is over. The next call opens another one.
    })
    this.#schema = schema
    this.#prefix = encode(prefix)
    this.#pushes = new Pushes(this.#database.listen, this.#prefix, {
      notify: async (channel, payload) => {
        await this.#query('SELECT pg_notify($1::text, $2::text)', [channel, payload])
      },
      news: () => this.#query('SELECT * FROM soloist.news_1($1::text)', [encode(this.#client)]),
    })
  }

  open(client: string, listener: (event: StoreEvent) => void): void {
    this.#client = client
    this.#listener = listener
    this.#pushes.open(client, listener)
  }

  async run(steps: readonly Step[]): Promise<Answers> {
    this.#assertOpen()
    const request = new Request(this.#client, this.#prefix, steps)
    const [row] = request.isEmpty ? [] : await this.#query(request.sql, request.values)
    const answers = request.answers(row)
    for (const grant of answers.handed) this.#pushes.removeWaiting(grant)
    for (const [i, step] of steps.entries()) this.#follow(step, answers.steps[i] as Answer)
    if (monotonicMs() >= this.#sweepDueMs) this.#sweep()
    return answers
  }

  async watch(claim: ClaimId): Promise<WatchReply> {
    this.#assertOpen()
    const values = [encode(this.#client), this.#prefix + encode(claim.name), encode(claim.owner)]
    const [row] = await this.#query('SELECT kind, said FROM soloist.watch_1($1::text, $2::text, $3::text)', values)
    const said = decode(String(row?.said))
    if (row?.kind === 'l') {
      this.#pushes.addWatching(claim)
      return { status: 'live' }
    }
    this.#pushes.removeWatching(claim)
    if (row?.kind === 'r') return { status: 'result', text: said }
    return row?.kind === 'd' ? { status: 'displaced', by: said } : { status: 'gone' }
  }

  async guard({ name, owner }: ClaimId, fence: number, tx: PostgresTransaction): Promise<boolean> {
    this.#assertOpen()
    const fn = this.#inSchema('soloist.guard_1')
    try {
      return await guardIn(tx, fn, this.#prefix + encode(name), encode(owner), fence)
    } catch (error) {
      if (!saysCode(error, NO_TRANSACTION)) throw error
      const message = 'guard needs a transaction that is open: this statement was one of its own'
      throw new SoloistError('INVALID_ARGUMENT', message, { cause: error })
    }
  }

  async inspect(name: string): Promise<LockState | null> {
    this.#assertOpen()
    const [state = null] = await this.#look([this.#prefix + encode(name)])
    return state
  }

  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    const start = this.#prefix + encode(prefix)
    const stop = endOfRange(start)
    for (let after: string | null = null; ; ) {
      this.#assertOpen()
      const [row] = await this.#query(PAGE, [start, after, stop])
      const names = JSON.parse(String(row?.names)) as readonly string[]
      if (names.length > 0) yield* await this.#look(names)
      after = row?.last as string | null
      if (after === null) return
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#pushes.close()
    // A sweep that is not answered ends with its connection.
    await Promise.all([this.#database.close(), this.#sweeping])
  }

  async #look(names: readonly string[]): Promise<readonly LockState[]> {
    const rows = await this.#query(LOOK, [arrayOf(names.map(quoted))])
    return rows.map(({ name, state }) => stateOf(decode(String(name).slice(this.#prefix.length)), String(state)))
  }

  /** Which claims wait after this step. */
  #follow(step: Step, answer: Answer): void {
    if (answer.status === 'busy' && answer.ticket !== null) {
      if (claimOf(step) === undefined || isDurable(step)) return
      this.#pushes.addWaiting(claimOf(step))
    } else if (answer.status !== 'lost' && answer.status !== 'fault') this.#pushes.removeWaiting(claimOf(step))
  }

  /** One statement, which is repeated where it did nothing: for a state that has passed, or since the tables are missing. */
  async #query(sql: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    const statement = this.#inSchema(sql)
    for (let repeats = 0; ; repeats += 1) {
      try {
        return await this.#database.query(statement, values)
      } catch (error) {
        if (codeOf(error) === WRONG_ISOLATION) throw wrongIsolation(error)
        if (repeats >= MOST_REPEATS) throw error
        if (isMissing(error)) await this.#setUp()
        else if (!REPEATABLE.has(codeOf(error))) throw error
      }
    }
  }

  #inSchema(sql: string): string {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = inSchema(sql, this.#schema)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  async #setUp(): Promise<void> {
    this.#settingUp ??= setUp(this.#database, this.#schema).finally(() => {
      this.#settingUp = null
    })
    await this.#settingUp
  }

  /** Removes what nobody needs any more, beside whatever else there is to do. */
  #sweep(): void {
    this.#sweepDueMs = monotonicMs() + SWEEP_EVERY_MS
    this.#sweeping ??= this.#sweepAll()
      .catch((error: unknown) => {
        if (!this.#closed) this.#listener({ type: 'fault', error })
      })
      .finally(() => {
        this.#sweeping = null
      })
  }

  async #sweepAll(): Promise<void> {
    for (let goesOn = false; !this.#closed; goesOn = true) {
      const sql = 'SELECT soloist.sweep_1($1::text::int, $2::text::bool) AS locks'
      const [row] = await this.#query(sql, [String(SWEEP_ROWS), String(goesOn)])
      if (Number(row?.locks) < SWEEP_ROWS) return
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new SoloistError('CLOSED', 'this backend was closed')
  }
}

/** A durable claim is told to whoever's step grants it, never by a push. */
function isDurable(step: Step): boolean {
  return (step.kind === 'acquire' || step.kind === 'trigger') && step.claim.durable === true
}

function wrongIsolation(cause: unknown): SoloistError {
  const message =
    'Postgres is set to another isolation level than "read committed" for this user or database, in which locks do not ' +
    "hold: ALTER ROLE … SET default_transaction_isolation = 'read committed'"
  return new SoloistError('BACKEND_UNAVAILABLE', message, { cause })
}

function checkSchema(schema: unknown): string {
  if (typeof schema !== 'string' || !/^[A-Za-z_][\w$]{0,62}$/.test(schema)) {
    throw invalidArgument('schema must be a name of up to 63 letters, digits and underscores')
  }
  return schema
}

/** Takes the schema out of a URL, since `pg` knows no such parameter. */
function withoutSchema(url: string): { readonly url: string; readonly schema: string | undefined } {
  const start = url.indexOf('?')
  if (start < 0) return { url, schema: undefined }
  const parameters = url.slice(start + 1).split('&')
  const schemas = parameters.filter(parameter => parameter.startsWith('schema='))
  const rest = parameters.filter(parameter => !parameter.startsWith('schema='))
  if (schemas.length > 1) throw invalidArgument('the URL names the schema twice')
  const query = rest.length === 0 ? '' : `?${rest.join('&')}`
  return { url: url.slice(0, start) + query, schema: schemas[0]?.slice('schema='.length) }
}
