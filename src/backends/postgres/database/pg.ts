import { SoloistError } from '../../../errors.js'
import { loadPg } from '../../../internal/peers/pg.js'
import { clearTimeout, setTimeout } from '../../../internal/real-time.js'
import { identifier } from '../text.js'
import type { Database, Hearer, Listening, Row } from './database.js'

interface PgResult {
  readonly rows: readonly unknown[]
}

/** A connection of a pool of `pg`, as far as it is used here. */
export interface PgPoolClient {
  query(text: string, values?: readonly unknown[]): Promise<unknown>
  // biome-ignore lint/suspicious/noExplicitAny: what a listener is given is not used, apart from the payload
  on(event: string, listener: (...args: any[]) => void): unknown
  // biome-ignore lint/suspicious/noExplicitAny: as above
  removeListener(event: string, listener: (...args: any[]) => void): unknown
  release(destroy?: boolean | Error): void
}

/** A pool of `pg`, as far as it is used here. */
export interface PgPool {
  connect(callback: (error: Error | undefined, client: PgPoolClient | undefined) => void): void
  readonly totalCount: number
  readonly options?: { readonly max?: number | undefined } | undefined
}

/** A client of `pg`, as far as it is used here. */
export interface PgClient {
  query(text: string, values?: readonly unknown[]): Promise<unknown>
  connect(): Promise<unknown>
  end(): Promise<void>
}

/** Options of a pool of `pg`, such as `host`, `ssl` or `connectionString`. */
export type PgOptions = Readonly<Record<string, unknown>>

interface PgConnection {
  unref(): void
}

interface PgModule {
  readonly Pool: new (
    options: PgOptions,
  ) => PgPool & {
    end(): Promise<void>
    on(event: 'error', listener: (error: Error) => void): unknown
    on(event: 'connect' | 'remove', listener: (connection: PgConnection) => void): unknown
  }
}

/** Two calls of steps, one more where one of them hangs, one to look, and one that listens. */
const OWN_CONNECTIONS = 5
/** How long a connection of our own may take to open. */
const OPENING_MS = 10_000
/** A connection whose statement is not answered for so long counts as dead: the pool is to make another one. */
const SILENT_MS = 10_000
/**
 * Each silence makes the next one count later, up to this, until there is an answer. For a server that is alive and late, as
 * under a lock on the tables, keeps a process for each connection that was given up.
 */
const LONGEST_SILENT_MS = 160_000
/** How long statements, and then what ends connections, may still take once the backend is closed. */
const CLOSING_MS = 1_000

/** Statements on the connections of a pool. */
class Statements {
  readonly #pool: () => PgPool
  #silentMs = SILENT_MS
  #closed = false
  /** What gives up each statement that is under way. */
  readonly #underWay = new Map<Promise<readonly Row[]>, (error: Error) => void>()

  /** @param pool opens it, or gives the one that is open */
  constructor(pool: () => PgPool) {
    this.#pool = pool
  }

  /** A statement, or without values a script of several, on a connection that nothing else uses meanwhile. */
  async run(sql: string, values?: readonly (string | null)[]): Promise<readonly Row[]> {
    if (this.#closed) throw closedError()
    const client = await take(this.#pool())
    const silentMs = this.#silentMs
    let giveUp: (error: Error) => void = () => {}
    const given = new Promise<never>((_, reject) => {
      giveUp = reject
    })
    const timer = setTimeout(() => {
      if (this.#silentMs === silentMs) this.#silentMs = Math.min(silentMs * 2, LONGEST_SILENT_MS)
      giveUp(silentError(silentMs))
    }, silentMs)
    const answer = Promise.race([rowsOf(client.query(sql, values)), given])
    this.#underWay.set(answer, giveUp)
    let error: unknown
    try {
      const rows = await answer
      this.#silentMs = SILENT_MS
      return rows
    } catch (cause) {
      error = cause
      throw cause
    } finally {
      clearTimeout(timer)
      this.#underWay.delete(answer)
      client.release(error !== undefined)
      client.removeListener('error', ignore)
    }
  }

  /** Waits for what is under way, and gives up what does not end. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    const timer = setTimeout(() => {
      for (const giveUp of this.#underWay.values()) giveUp(closedError())
    }, CLOSING_MS)
    await Promise.allSettled(this.#underWay.keys())
    clearTimeout(timer)
  }
}

/**
 * A connection of the pool, which does not listen for its errors any more: whoever takes it does, until it is given back. A
 * connection that is open may be over at once, before a promise goes on.
 */
function take(pool: PgPool): Promise<PgPoolClient> {
  return new Promise((resolve, reject) => {
    pool.connect((error, client) => {
      if (client === undefined) return void reject(error)
      client.on('error', ignore)
      resolve(client)
    })
  })
}

/** The statement that is under way, or the next one, fails and tells of it. */
function ignore(): void {}

async function rowsOf(result: Promise<unknown>): Promise<readonly Row[]> {
  return ((await result) as PgResult).rows as readonly Row[]
}

function silentError(ms: number): SoloistError {
  return new SoloistError(
    'BACKEND_UNAVAILABLE',
    `a connection to Postgres did not answer for ${ms} ms, and is given up`,
  )
}

function closedError(): SoloistError {
  return new SoloistError('CLOSED', 'this backend was closed')
}

/** A pool of the application's. */
export class GivenPool implements Database {
  readonly #statements: Statements
  readonly listen: Database['listen']

  constructor(pool: PgPool) {
    this.#statements = new Statements(() => pool)
    // A pool of one connection has none to spare.
    this.listen = (pool.options?.max ?? 10) < 2 ? null : (channel, hearer) => listenOn(pool, channel, hearer)
  }

  query(sql: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    return this.#statements.run(sql, values)
  }

  async script(sql: string): Promise<void> {
    await this.#statements.run(sql)
  }

  close(): Promise<void> {
    return this.#statements.close()
  }
}

/** A client of the application's. What it listens to goes through the connection of its statements: that proves nothing. */
export class GivenClient implements Database {
  readonly #client: PgClient
  readonly listen: Database['listen'] = null

  constructor(client: PgClient) {
    this.#client = client
  }

  async query(sql: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    return ((await this.#client.query(sql, values)) as PgResult).rows as readonly Row[]
  }

  async script(sql: string): Promise<void> {
    await this.#client.query(sql)
  }

  async close(): Promise<void> {}
}

/** A pool of our own, opened with the first call. */
export class OwnPool implements Database {
  readonly #options: PgOptions
  readonly #onTrouble: (error: unknown) => void
  readonly #statements = new Statements(() => this.#open())
  readonly #connections = new Set<PgConnection>()
  #pool: InstanceType<PgModule['Pool']> | null = null

  /** @param onTrouble a connection that was idle is over, which is no fault: the pool opens another one */
  constructor(options: PgOptions, onTrouble: (error: unknown) => void) {
    this.#options = {
      application_name: 'soloist',
      keepAlive: true,
      max: OWN_CONNECTIONS,
      connectionTimeoutMillis: OPENING_MS,
      ...options,
    }
    this.#onTrouble = onTrouble
    loadPg()
  }

  readonly listen = (channel: string, hearer: Hearer): Promise<Listening> => listenOn(this.#open(), channel, hearer)

  query(sql: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    return this.#statements.run(sql, values)
  }

  async script(sql: string): Promise<void> {
    await this.#statements.run(sql)
  }

  async close(): Promise<void> {
    await this.#statements.close()
    const pool = this.#pool
    this.#pool = null
    if (pool === null) return
    // One that is being opened, to where nobody answers, ends by itself.
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => {
      timer = setTimeout(resolve, CLOSING_MS)
    })
    await Promise.race([pool.end(), late])
    clearTimeout(timer)
    // One whose other end has gone is not told that it was ended, and is no reason for the process to stay.
    for (const connection of this.#connections) connection.unref()
  }

  #open(): InstanceType<PgModule['Pool']> {
    if (this.#pool === null) {
      const { Pool } = loadPg() as PgModule
      this.#pool = new Pool(this.#options)
      this.#pool.on('error', this.#onTrouble)
      this.#pool.on('connect', connection => this.#connections.add(connection))
      this.#pool.on('remove', connection => this.#connections.delete(connection))
    }
    return this.#pool
  }
}

/** Keeps one connection of the pool for listening. It is ended, and not given back, since what it listens to would stay. */
async function listenOn(pool: PgPool, channel: string, hearer: Hearer): Promise<Listening> {
  const client = await take(pool)
  let over = false
  const end = () => {
    if (over) return false
    over = true
    client.release(true)
    return true
  }
  client.on('notification', (message: { readonly channel: string; readonly payload?: string }) => {
    if (message.channel === channel) hearer.onMessage(message.payload ?? '')
  })
  const lost = (error?: unknown) => {
    if (end()) hearer.onLost(error ?? new Error('the connection that listens has ended'))
  }
  client.on('error', lost)
  client.on('end', lost)
  // To end it fails the statement.
  const timer = setTimeout(end, SILENT_MS)
  try {
    await client.query(`LISTEN ${identifier(channel)}`)
  } catch (error) {
    end()
    throw error
  } finally {
    clearTimeout(timer)
  }
  return {
    async end() {
      end()
    },
  }
}
