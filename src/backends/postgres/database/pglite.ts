import { identifier } from '../text.js'
import type { Database, Hearer, Listening, Row } from './database.js'

/** PGlite, as far as it is used here. */
export interface PgLite {
  // biome-ignore lint/suspicious/noExplicitAny: its own types of what it takes are narrower than what is given
  query(query: string, params?: any[]): Promise<{ readonly rows: readonly unknown[] }>
  exec(query: string): Promise<unknown>
  listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>>
}

/** A Postgres within this process, which has one connection for everybody. */
export class GivenPgLite implements Database {
  readonly #db: PgLite

  constructor(db: PgLite) {
    this.#db = db
  }

  readonly listen = async (channel: string, hearer: Hearer): Promise<Listening> => {
    const unlisten = await this.#db.listen(identifier(channel), payload => hearer.onMessage(payload))
    return { end: unlisten }
  }

  async query(sql: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    return (await this.#db.query(sql, [...values])).rows as readonly Row[]
  }

  async script(sql: string): Promise<void> {
    await this.#db.exec(sql)
  }

  async close(): Promise<void> {}
}
