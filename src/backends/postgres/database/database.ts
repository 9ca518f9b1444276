/** A row of an answer, by the names of its columns. */
export type Row = Readonly<Record<string, unknown>>

/** What a {@link Listening} hears. */
export interface Hearer {
  onMessage(payload: string): void
  /** The connection is over, unless it was ended here; or it is another one, so that messages may have been missed. */
  onLost(error: unknown): void
}

/** A channel that is listened to. */
export interface Listening {
  /** Ends it. Safe to call when it was lost. */
  end(): Promise<void>
}

/**
 * What this backend needs of a client of Postgres. Each statement is a transaction of its own, so no two of them need the
 * same connection. `pg.ts`, `postgres-js.ts` and `pglite.ts` say how each library does it.
 */
export interface Database {
  /** One statement. Its parameters are text or `null`, and cast in the statement. */
  query(sql: string, values: readonly (string | null)[]): Promise<readonly Row[]>
  /** Several statements in one transaction, without parameters. */
  script(sql: string): Promise<void>
  /** Listens to a channel; `null` where there is no connection to do that with. */
  readonly listen: ((channel: string, hearer: Hearer) => Promise<Listening>) | null
  /** Lets go of connections that were made here. What the application gave stays open. */
  close(): Promise<void>
}
