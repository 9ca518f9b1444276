import { realpathSync } from 'node:fs'
import { invalidArgument } from '../../errors.js'

/**
 * A connection of the application's to the database that holds the locks, in which a transaction is open: of `node:sqlite`,
 * better-sqlite3 or libsql.
 */
export interface SqliteTransaction {
  exec(sql: string): unknown
  prepare(sql: string): { get(): unknown }
}

/** Text as SQLite keeps it here, as a literal that cannot be taken for anything else. */
const blob = (text: string) => `x'${Buffer.from(text, 'utf8').toString('hex')}'`

/**
 * Whether a lock is held with this fence, in a transaction of the application's. The transaction writes from here on, so nobody else
 * does before it has ended: what holds now holds when it is committed.
 *
 * @param path the file of the locks @param name with its prefix
 * @throws SoloistError `INVALID_ARGUMENT` when no transaction is open, or it is one of another file
 */
export function guardIn(
  tx: SqliteTransaction,
  path: string,
  name: string,
  owner: string,
  fence: number,
  nowMs: () => number,
): boolean {
  if (typeof tx?.exec !== 'function' || typeof tx.prepare !== 'function') throw unknownTransaction()
  if (!isOpen(tx)) throw unknownTransaction()
  const { file } = Object(tx.prepare("SELECT file FROM pragma_database_list WHERE name = 'main'").get())
  if (typeof file !== 'string' || file === '' || realpathSync(file) !== realpathSync(path)) {
    throw invalidArgument('guard needs a transaction on the file that holds the locks; this is one on another file')
  }
  // Waits for whoever writes, as the connection's own busy time-out has it, or fails where others wrote since it began to read.
  tx.exec('UPDATE soloist_store SET fence = fence WHERE id = 1')
  const holds = `name = ${blob(name)} AND owner = ${blob(owner)} AND fence = ${fence}
    AND (expires_ms IS NULL OR expires_ms > ${nowMs()})`
  const row = tx.prepare(
    `SELECT 1 AS ok FROM soloist_alone WHERE ${holds} UNION ALL SELECT 1 FROM soloist_shared WHERE ${holds}`,
  )
  return row.get() !== undefined
}

/** A transaction cannot begin within another one: only SQLite knows, for each driver says it in its own way. */
function isOpen(tx: SqliteTransaction): boolean {
  try {
    tx.exec('BEGIN')
  } catch {
    return true
  }
  tx.exec('ROLLBACK')
  return false
}

function unknownTransaction() {
  return invalidArgument(
    'guard needs a connection of node:sqlite, better-sqlite3 or libsql on which a transaction is open: BEGIN IMMEDIATE',
  )
}
