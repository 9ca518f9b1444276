import { SoloistError } from '../../errors.js'
import { sql } from '../../internal/generated/sqlite.js'
import { clearTimeout, monotonicMs, setTimeout, soon } from '../../internal/real-time.js'
import { type Database, isBusy, isStuck, resultCode } from './client.js'
import { type DatabaseId, databaseAt, isSameDatabase, isSameLog, openFile, replacedError } from './file.js'

/** How long a transaction tries to get at a busy database. Below the 5 s that core gives a call by default. */
const BUSY_LIMIT_MS = 4_000
/** A busy database is tried again after this long, plus up to as much again as `RETRY_SPREAD_MS`. */
const RETRY_MS = 1
const RETRY_SPREAD_MS = 4
/** Transactions that were held up run in slices of this length, so that other work gets its turn between them. */
const SLICE_MS = 5
/**
 * A transaction that begins so long after the last look at the file looks again whether it is still there. At the log each one
 * looks: another copy of SQLite in this process, which does not see our locks, deletes it when it closes the file.
 */
const LOOK_MS = 2
/** Of pages of this size a commit writes the fewest bytes to the log. A file that is there keeps the size it was made with. */
const PAGE_BYTES = 1_024
/** The log goes into the file, which waits for the disk, when it has grown to this and nobody reads it. */
const LOG_BYTES = 4 * 1_024 * 1_024
/** The tables this code knows, as `soloist_store.version` has it. */
const VERSION = 4

/** `write` takes the database's one write lock; `read` sees one moment of it and waits for nobody. */
export type TransactionKind = 'write' | 'read'

interface Pending {
  readonly dueMs: number
  /** Runs the work; throws when the database is busy, settles the call otherwise. */
  readonly run: () => void
  readonly reject: (error: unknown) => void
}

/**
 * The connection to one database file, and the one queue of transactions on it. SQLite is synchronous, so a transaction runs
 * to its end within the call, unless another process has the database at that moment: then it is tried again from a timer,
 * with those that came after it behind it. The event loop never waits.
 */
export class Transactions {
  readonly #path: string
  readonly #openPath: (path: string) => Database
  readonly #onReplaced: () => void
  #current: { readonly db: Database; readonly id: DatabaseId } | null = null
  /** When the file was last found to be there, on the monotonic clock. */
  #lookedAtMs = Number.NEGATIVE_INFINITY
  readonly #pending: Pending[] = []
  #timer: NodeJS.Timeout | null = null
  #closed = false

  /** Nothing is opened before the first transaction. `onReplaced` is called after the file turned out to be another one. */
  constructor(path: string, open: (path: string) => Database, onReplaced: () => void) {
    this.#path = path
    this.#openPath = open
    this.#onReplaced = onReplaced
  }

  /**
   * Does work in one transaction: all of it takes effect, or nothing does and the call rejects. It may run more than once,
   * so it touches nothing but the database.
   *
   * @param alone one statement that may be all there is to do, which is a transaction by itself; `null`: it has changed
   *   nothing, and the work is to be done
   */
  run<T>(
    kind: TransactionKind,
    work: (db: Database) => T,
    alone: ((db: Database) => T | null) | null = null,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw closedError()
      const run = () => {
        let result: T
        try {
          result = this.#transaction(kind, work, alone)
        } catch (error) {
          if (isBusy(error)) throw error
          return reject(error)
        }
        resolve(result)
      }
      this.#pending.push({ dueMs: monotonicMs() + BUSY_LIMIT_MS, run, reject })
      if (this.#pending.length === 1) this.#drain()
    })
  }

  /** Looks at the database outside of any transaction; `null` when it is not open. Throws what SQLite throws. */
  peek<T>(look: (db: Database) => T): T | null {
    return this.#current === null ? null : look(this.#current.db)
  }

  /** Rejects what has not run and closes the connection. Safe to call twice. */
  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const { reject } of this.#pending.splice(0)) reject(closedError())
    this.discard()
  }

  /** Closes the connection; the next transaction opens another. */
  discard(): void {
    const current = this.#current
    this.#current = null
    current?.db.close()
  }

  /** Lets go of a database whose files are not those at the path any more. */
  #abandon(db: Database): void {
    try {
      // Where only the log was deleted, what it held goes into the file at the path, which the next connection opens.
      db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch (error) {
      // Busy, or there is nothing to write it to. What was committed last is lost then, as if the file had been replaced.
      if (resultCode(error) === null) throw error
    }
    this.discard()
  }

  #drain(): void {
    this.#timer = null
    const sliceEndMs = monotonicMs() + SLICE_MS
    for (let next = this.#pending[0]; next !== undefined; next = this.#pending[0]) {
      try {
        next.run()
      } catch (error) {
        if (isStuck(error)) this.discard()
        this.#rejectOverdue(error)
        return this.#later(RETRY_MS + RETRY_SPREAD_MS * Math.random())
      }
      this.#pending.shift()
      if (monotonicMs() >= sliceEndMs) return this.#later(0)
    }
  }

  #later(delayMs: number): void {
    if (this.#pending.length > 0) this.#timer = setTimeout(() => this.#drain(), delayMs)
  }

  #rejectOverdue(error: unknown): void {
    const now = monotonicMs()
    for (let next = this.#pending[0]; next !== undefined && next.dueMs <= now; next = this.#pending[0]) {
      this.#pending.shift()
      next.reject(error)
    }
  }

  #transaction<T>(kind: TransactionKind, work: (db: Database) => T, alone: ((db: Database) => T | null) | null): T {
    const db = this.#open()
    const done = alone === null ? null : alone(db)
    if (done !== null) return done
    // By `exec`, which keeps no statement: libsql leaves one open that failed, since the database was busy, and whatever is
    // read next would then keep this connection at that moment.
    db.exec(kind === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN')
    try {
      const result = work(db)
      db.run('COMMIT')
      return result
    } catch (error) {
      this.#rollBack(db)
      throw error
    }
  }

  #rollBack(db: Database): void {
    try {
      // After some errors, such as a full disk, SQLite has rolled back by itself.
      if (db.inTransaction) db.exec('ROLLBACK')
    } catch {
      // Closing it rolls back too.
      this.discard()
    }
  }

  #open(): Database {
    const nowMs = monotonicMs()
    if (this.#current !== null) {
      const { db, id } = this.#current
      const looks = nowMs - this.#lookedAtMs >= LOOK_MS
      if (looks ? isSameDatabase(id, databaseAt(this.#path)) : isSameLog(id, this.#path)) {
        if (looks) this.#lookedAtMs = nowMs
        return db
      }
      this.#abandon(db)
      soon(this.#onReplaced)
      throw replacedError(this.#path)
    }
    const db = openFile(this.#path, this.#openPath)
    try {
      setUp(db)
      const id = databaseAt(this.#path)
      if (id === null) throw replacedError(this.#path)
      this.#current = { db, id }
      this.#lookedAtMs = nowMs
    } catch (error) {
      db.close()
      throw error
    }
    return db
  }
}

/**
 * WAL lets readers and a writer work at the same time. With `synchronous = NORMAL` a commit survives the end of any
 * process but perhaps not a power cut, which is enough: a power cut ends every holder too, and fences start from the
 * clock. The database stays intact either way.
 *
 * Nearly all of it by `exec`, which keeps no statement: a file that cannot be used is let go at once.
 */
function setUp(db: Database): void {
  db.exec(
    `PRAGMA busy_timeout = 0; PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL`,
  )
  db.exec('BEGIN IMMEDIATE')
  db.exec(sql.schema)
  const before = versionOf(db)
  if (before === 1 || before === 2) db.exec(sql.from2)
  if (before >= 1 && before <= 3) db.exec(sql.from3)
  const version = versionOf(db)
  db.exec(version === VERSION ? 'COMMIT' : 'ROLLBACK')
  const journal = db.get('PRAGMA journal_mode')?.journal_mode as unknown
  if (journal !== 'wal') throw new Error(`the database file cannot be switched to WAL; its journal mode is ${journal}`)
  const pageBytes = db.get('PRAGMA page_size')?.page_size as number
  db.exec(`PRAGMA wal_autocheckpoint = ${Math.ceil(LOG_BYTES / pageBytes)}`)
  if (version !== VERSION) {
    throw new Error(`the database was made by another version of Soloist: its tables are of version ${version}`)
  }
}

function versionOf(db: Database): number {
  return db.get('SELECT version FROM soloist_store')?.version as number
}

function closedError(): SoloistError {
  return new SoloistError('CLOSED', 'this backend was closed')
}
