import { SoloistError } from '../../errors.js'
import { sql } from '../../internal/generated/sqlite.js'
import { clearTimeout, monotonicMs, setTimeout, soon } from '../../internal/real-time.js'
import { type Database, isBusy } from './client.js'
import { type FileId, fileAt, isSameFile, openFile, replacedError } from './file.js'

/** How long a step tries to get at a busy database. Below the 5 s that core gives a call by default. */
const BUSY_LIMIT_MS = 4_000
/** A busy database is tried again after this long, plus up to as much again as `RETRY_SPREAD_MS`. */
const RETRY_MS = 1
const RETRY_SPREAD_MS = 4
/** Steps that were held up run in slices of this length, so that other work gets its turn between them. */
const SLICE_MS = 5
/** The tables this code knows, as `soloist_store.version` has it. */
const VERSION = 2

/** `write` takes the one write lock of the database for the step; `read` sees one state of it and needs no lock. */
export type StepKind = 'write' | 'read'

interface Pending {
  readonly dueMs: number
  /** Runs the step; throws when the database is busy, settles the call otherwise. */
  readonly run: () => void
  readonly reject: (error: unknown) => void
}

/**
 * The connection to one database file, and the one queue of steps on it. SQLite is synchronous, so a step runs to its
 * end within the call, unless another process has the database at that moment: then it is tried again from a timer,
 * with the steps that came after it behind it. The event loop never waits.
 */
export class Steps {
  readonly #path: string
  readonly #openPath: (path: string) => Database
  readonly #onReplaced: () => void
  #current: { readonly db: Database; readonly id: FileId } | null = null
  readonly #pending: Pending[] = []
  #timer: NodeJS.Timeout | null = null
  #closed = false

  /** Nothing is opened before the first step. `onReplaced` is called after the file turned out to be another one. */
  constructor(path: string, open: (path: string) => Database, onReplaced: () => void) {
    this.#path = path
    this.#openPath = open
    this.#onReplaced = onReplaced
  }

  /**
   * Runs a step in one transaction: all of it takes effect, or nothing does and the call rejects. A step may run more
   * than once, so it touches nothing but the database.
   */
  run<T>(kind: StepKind, step: (db: Database) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw closedError()
      const run = () => {
        let result: T
        try {
          result = this.#transaction(kind, step)
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

  /**
   * Looks at the database outside of any step; `null` when it is not open. Throws what SQLite throws.
   */
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

  /** Closes the connection; the next step opens another. */
  discard(): void {
    const current = this.#current
    this.#current = null
    current?.db.close()
  }

  #drain(): void {
    this.#timer = null
    const sliceEndMs = monotonicMs() + SLICE_MS
    for (let next = this.#pending[0]; next !== undefined; next = this.#pending[0]) {
      try {
        next.run()
      } catch (error) {
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

  #transaction<T>(kind: StepKind, step: (db: Database) => T): T {
    const db = this.#open()
    db.exec(kind === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN')
    try {
      const result = step(db)
      db.exec('COMMIT')
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
    if (this.#current !== null) {
      if (isSameFile(this.#current.id, fileAt(this.#path))) return this.#current.db
      this.discard()
      soon(this.#onReplaced)
      throw replacedError(this.#path)
    }
    const opened = openFile(this.#path, this.#openPath)
    try {
      setUp(opened.db)
    } catch (error) {
      opened.db.close()
      throw error
    }
    this.#current = opened
    return opened.db
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
  db.exec('PRAGMA busy_timeout = 0; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
  db.exec('BEGIN IMMEDIATE')
  db.exec(sql.schema)
  const version = db.get('SELECT version FROM soloist_store')?.version
  db.exec(version === VERSION ? 'COMMIT' : 'ROLLBACK')
  const journal = db.get('PRAGMA journal_mode')?.journal_mode as unknown
  if (journal !== 'wal') throw new Error(`the database file cannot be switched to WAL; its journal mode is ${journal}`)
  if (version !== VERSION) {
    throw new Error(`the database was made by another version of Soloist: its tables are of version ${version}`)
  }
}

function closedError(): SoloistError {
  return new SoloistError('CLOSED', 'this backend was closed')
}
