import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Database } from './client.js'

/** Which file a path leads to. A file that is open keeps its number, so an equal number is the same file. */
export interface FileId {
  readonly dev: bigint
  readonly ino: bigint
}

/** `null`: there is no file. */
export function fileAt(path: string): FileId | null {
  return statSync(path, { bigint: true, throwIfNoEntry: false }) ?? null
}

export function isSameFile(a: FileId | null, b: FileId | null): boolean {
  return a !== null && b !== null && a.ino === b.ino && a.dev === b.dev
}

/** The file at `path` was deleted, or another one put in its place, while it was in use. */
export function replacedError(path: string): Error {
  return new Error(`the database file ${path} was deleted or replaced while it was in use`)
}

/**
 * Opens the file at `path`, creating it and its folders first where they are missing: a new file is readable and
 * writable by this user alone, a new folder accessible to this user alone. SQLite gives its side files the same mode.
 */
export function openFile(path: string, open: (path: string) => Database): { db: Database; id: FileId } {
  if (fileAt(path) === null) create(path, open)
  const id = fileAt(path)
  const db = open(path)
  if (id !== null && isSameFile(id, fileAt(path))) return { db, id }
  db.close()
  throw replacedError(path)
}

/** By opening it: a descriptor of our own, once closed, would drop the locks this process holds on the file. */
function create(path: string, open: (path: string) => Database): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  open(path).close()
  chmodSync(path, 0o600)
}
