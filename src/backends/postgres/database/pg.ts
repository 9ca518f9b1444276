import { loadPg } from '../../../internal/peers/pg.js'
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
  release(destroy?: boolean | Error): void
}

/** A pool of `pg`, as far as it is used here. */
export interface PgPool {
  query(text: string, values?: readonly unknown[]): Promise<unknown>
  connect(): Promise<PgPoolClient>
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

interface PgModule {
  readonly Pool: new (
    options: PgOptions,
  ) => PgPool & {
    end(): Promise<void>
    on(event: 'error', listener: (error: Error) => void): unknown
  }
}

/** Two calls of steps, one more where one of them hangs, one to look, and one that listens. */
const OWN_CONNECTIONS = 5

/** A pool of the application's. */
export class GivenPool implements Database {
  readonly #pool: PgPool
  readonly listen: Database['listen']

  constructor(pool: PgPool) {
    this.#pool = pool
    // A pool of one connection has none to spare.
    this.listen = (pool.options?.max ?? 10) < 2 ? null : (channel, hearer) => listenOn(pool, channel, hearer)
  }

  async query(sql: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    return ((await this.#pool.query(sql, values)) as PgResult).rows as readonly Row[]
  }

  async script(sql: string): Promise<void> {
    await this.#pool.query(sql)
  }

  async close(): Promise<void> {}
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
  #pool: InstanceType<PgModule['Pool']> | null = null

  /** @param onTrouble a connection that was idle is over, which is no fault: the pool opens another one */
  constructor(options: PgOptions, onTrouble: (error: unknown) => void) {
    this.#options = { application_name: 'soloist', keepAlive: true, max: OWN_CONNECTIONS, ...options }
    this.#onTrouble = onTrouble
    loadPg()
  }

  readonly listen = (channel: string, hearer: Hearer): Promise<Listening> => listenOn(this.#open(), channel, hearer)

  async query(sql: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    return ((await this.#open().query(sql, values)) as PgResult).rows as readonly Row[]
  }

  async script(sql: string): Promise<void> {
    await this.#open().query(sql)
  }

  async close(): Promise<void> {
    const pool = this.#pool
    this.#pool = null
    await pool?.end()
  }

  #open(): InstanceType<PgModule['Pool']> {
    if (this.#pool === null) {
      const { Pool } = loadPg() as PgModule
      this.#pool = new Pool(this.#options)
      this.#pool.on('error', this.#onTrouble)
    }
    return this.#pool
  }
}

/** Keeps one connection of the pool for listening. It is ended, and not given back, since what it listens to would stay. */
async function listenOn(pool: PgPool, channel: string, hearer: Hearer): Promise<Listening> {
  const client = await pool.connect()
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
  try {
    await client.query(`LISTEN ${identifier(channel)}`)
  } catch (error) {
    end()
    throw error
  }
  return {
    async end() {
      end()
    },
  }
}
