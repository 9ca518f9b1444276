import type { Database, Hearer, Listening, Row } from './database.js'

/** What a statement of `postgres` (postgres.js) is until it is awaited. */
interface PendingQuery extends PromiseLike<readonly unknown[]> {
  simple(): PromiseLike<unknown>
}

/** A client of `postgres` (postgres.js), as far as it is used here. */
export interface PostgresJs {
  // biome-ignore lint/suspicious/noExplicitAny: the library's own types of what it takes are narrower than what is given
  unsafe(query: string, parameters?: any[]): PendingQuery
  listen(
    channel: string,
    onNotify: (payload: string) => void,
    onListen?: () => void,
  ): PromiseLike<{ unlisten(): PromiseLike<unknown> }>
}

/** A client of the application's. It listens through a connection of its own, which it makes again when it is lost. */
export class GivenPostgresJs implements Database {
  readonly #sql: PostgresJs

  constructor(sql: PostgresJs) {
    this.#sql = sql
  }

  readonly listen = async (channel: string, hearer: Hearer): Promise<Listening> => {
    let times = 0
    const onListen = () => {
      times += 1
      if (times > 1) hearer.onLost(new Error('the connection that listens was lost, and made again'))
    }
    const listening = await this.#sql.listen(channel, payload => hearer.onMessage(payload), onListen)
    return {
      async end() {
        await listening.unlisten()
      },
    }
  }

  async query(sql: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    return (await this.#sql.unsafe(sql, [...values])) as readonly Row[]
  }

  async script(sql: string): Promise<void> {
    await this.#sql.unsafe(sql).simple()
  }

  async close(): Promise<void> {}
}
