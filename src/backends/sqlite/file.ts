import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Database } from './client.js'

/** Which file a path leads to. A file that is open keeps its number, so an equal number is the same file. */
interface FileId {
  readonly dev: bigint
  readonly ino: bigint
}

/**
 * The two files of an open database. What was committed last may be in the second one alone, the write-ahead log: who goes on
 * without it has lost that.
 */
export interface DatabaseId {
  readonly file: FileId
  readonly log: FileId
}

const BIGINT = { bigint: true, throwIfNoEntry: false } as const

/** `null`: one of the files is not there. */
export function databaseAt(path: string): DatabaseId | null {
  const file = statSync(path, BIGINT)
  const log = file && statSync(`${path}-wal`, BIGINT)
  return file === undefined || log === undefined ? null : { file, log }
}

export function isSameDatabase(a: DatabaseId, b: DatabaseId | null): boolean {
  return b !== null && isSameFile(a.file, b.file) && isSameFile(a.log, b.log)
}

/** Whether the log of the database at `path` is still that one. */
export function isSameLog({ log }: DatabaseId, path: string): boolean {
  return isSameFile(log, statSync(`${path}-wal`, BIGINT))
}

function isSameFile(a: FileId, b: FileId | undefined): boolean {
  return a.ino === b?.ino && a.dev === b.dev
}

/** The file at `path` or its write-ahead log was deleted, or another put in its place, while it was in use. */
export function replacedError(path: string): Error {
  return new Error(`the database file ${path} was deleted or replaced while it was in use`)
}

/**
 * Opens the file at `path`, creating it and its folders first where they are missing: a new file is readable and
 * writable by this user alone, a new folder accessible to this user alone. SQLite gives its side files the same mode.
 */
export function openFile(path: string, open: (path: string) => Database): Database {
  const there = statSync(path, BIGINT)
  if (there === undefined) create(path, open)
  const id = there ?? statSync(path, BIGINT)
  const db = open(path)
  if (id !== undefined && isSameFile(id, statSync(path, BIGINT))) return db
  db.close()
  throw replacedError(path)
}

/** By opening it: a descriptor of our own, once closed, would drop the locks this process holds on the file. */
function create(path: string, open: (path: string) => Database): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  open(path).close()
  chmodSync(path, 0o600)
}
