import { invalidArgument, SoloistError } from '../../errors.js'
import { loadLibsql } from '../../internal/peers/libsql.js'

/** The packages that can open the database: the one that comes with Node.js, or the npm package `libsql`. */
export type SqliteDriver = 'node:sqlite' | 'libsql'

export type SqlValue = number | null | Uint8Array

/** Columns by name; {@link text} and {@link bytes} read a BLOB. */
export type Row = Readonly<Record<string, number | string | null | Blob>>

/** As it comes from the drivers, or from different calls of one. */
type Blob = Uint8Array | ArrayBuffer

/** What the two drivers have in common, reduced to the members called here. All of it is synchronous. */
interface DriverDatabase {
  exec(sql: string): unknown
  prepare(sql: string): DriverStatement
  close(): unknown
  /** Whether a transaction is open: `node:sqlite` from 22.16 on. */
  readonly isTransaction?: boolean
  /** The same, of `libsql`. */
  readonly inTransaction?: boolean
}

interface DriverStatement {
  get(...params: readonly unknown[]): unknown
  all(...params: readonly unknown[]): unknown[]
  run(...params: readonly unknown[]): { readonly changes: number | bigint }
}

type Open = (path: string) => Database

/** One connection. A statement is prepared when it is first used and kept as long as the connection. */
export class Database {
  readonly #db: DriverDatabase
  readonly #bind: (params: readonly SqlValue[]) => readonly unknown[]
  readonly #statements = new Map<string, DriverStatement>()

  constructor(db: DriverDatabase, bind: (params: readonly SqlValue[]) => readonly unknown[]) {
    this.#db = db
    this.#bind = bind
  }

  /** Whether a transaction is open, or `true` where the driver cannot tell. */
  get inTransaction(): boolean {
    return this.#db.isTransaction ?? this.#db.inTransaction ?? true
  }

  /** Runs one or more statements without parameters. */
  exec(sql: string): void {
    this.#db.exec(sql)
  }

  get(sql: string, ...params: readonly SqlValue[]): Row | undefined {
    return this.#statement(sql).get(...this.#bind(params)) as Row | undefined
  }

  all(sql: string, ...params: readonly SqlValue[]): readonly Row[] {
    return this.#statement(sql).all(...this.#bind(params)) as Row[]
  }

  /** @returns how many rows were changed */
  run(sql: string, ...params: readonly SqlValue[]): number {
    return Number(this.#statement(sql).run(...this.#bind(params)).changes)
  }

  close(): void {
    this.#statements.clear()
    this.#db.close()
  }

  #statement(sql: string): DriverStatement {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

/**
 * The way to open a database: with the driver that is wanted, else with `node:sqlite` where this Node.js has it (from
 * 22.13 on), else with `libsql`.
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when the driver is not there
 */
export function loadDriver(wanted: SqliteDriver | undefined): Open {
  switch (wanted) {
    case undefined:
      return loadNodeSqlite() ?? openWithLibsql()
    case 'libsql':
      return openWithLibsql()
    case 'node:sqlite': {
      const open = loadNodeSqlite()
      if (open !== null) return open
      throw new SoloistError(
        'BACKEND_UNAVAILABLE',
        `Node.js ${process.versions.node} has no node:sqlite: use Node.js 22.13 or later, or "npm install libsql"`,
      )
    }
    default:
      throw invalidArgument("the driver of the SQLite backend must be 'node:sqlite' or 'libsql'")
  }
}

function loadNodeSqlite(): Open | null {
  // Node.js 22 warns on stderr, once, that the module is experimental. That would go into the output of every program
  // that takes a lock, so warnings are held back while it loads, which is synchronous: no other can come meanwhile.
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    const module = process.getBuiltinModule('node:sqlite') as
      | { DatabaseSync: new (path: string) => DriverDatabase }
      | undefined
    if (module === undefined) return null
    return path => new Database(new module.DatabaseSync(path), params => params)
  } finally {
    process.emitWarning = emitWarning
  }
}

function openWithLibsql(): Open {
  const Libsql = loadLibsql<DriverDatabase>()
  // Parameters as one array: it takes a BLOB that comes alone for an object of named parameters, and aborts the process.
  return path => new Database(new Libsql(path), params => [params])
}

const SQLITE_BUSY = 5

/** The kind of an error of SQLite's, which is the low byte of its result code; `null` for an error of something else. */
export function resultCode(error: unknown): number | null {
  const { errcode, rawCode } = Object(error) as { errcode?: unknown; rawCode?: unknown }
  const code = errcode ?? rawCode
  return typeof code === 'number' ? code & 0xff : null
}

/** A connection that reads an older moment of the database than the last, and so cannot write. */
const SQLITE_BUSY_SNAPSHOT = 517

/**
 * Whether the connection is stuck at an older moment of the database, outside of any transaction of ours: a statement that
 * failed is still open in the driver, which ends only with the connection.
 */
export function isStuck(error: unknown): boolean {
  const { errcode, rawCode } = Object(error) as { errcode?: unknown; rawCode?: unknown }
  return (errcode ?? rawCode) === SQLITE_BUSY_SNAPSHOT
}

/** Whether somebody else is using the database right now. */
export function isBusy(error: unknown): boolean {
  return resultCode(error) === SQLITE_BUSY
}

export function toBytes(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** The text in a BLOB column. */
export function text(value: Row[string] | undefined): string {
  return decoder.decode(value as Blob)
}

/** A BLOB column as it can be given back to a statement. */
export function bytes(value: Row[string] | undefined): Uint8Array {
  return value instanceof ArrayBuffer ? new Uint8Array(value) : (value as Uint8Array)
}
