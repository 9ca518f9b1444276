import type { Note, TriggerStep } from '../../backend.js'
import { bytes, type Database, text, toBytes } from './client.js'

/** As `soloist_run.state` has it. */
export const WAITS = 0
export const PENDING = 1
const BEGUN = 2
const UNASKED = 3
/** As `soloist_outcome.displaced` has it: the run ended, and had not begun by a word of its owner. */
export const UNBEGUN = 2
/** For how long that is kept. */
const UNBEGUN_KEPT_MS = 60_000

/** The run that is to come, and has not begun. */
export interface Pending {
  readonly owner: string
  readonly sinceMs: number
  readonly firstMs: number
  readonly notBeforeMs: number | null
}

type Debounce = TriggerStep['debounce']

/** The lock, and when. */
interface At {
  readonly key: Uint8Array
  readonly nowMs: number
}

export function pendingOf(db: Database, key: Uint8Array): Pending | null {
  const sql = `SELECT owner, since_ms, first_ms, not_before_ms FROM soloist_run WHERE name = ? AND state = ${PENDING}`
  const row = db.get(sql, key)
  if (row === undefined) return null
  return {
    owner: text(row.owner),
    sinceMs: row.since_ms as number,
    firstMs: row.first_ms as number,
    notBeforeMs: row.not_before_ms as number | null,
  }
}

/** A run that begins was triggered. `firstMs`: when the first was whose place it takes; absent: it is the first itself. */
export function addRun(
  db: Database,
  { key, nowMs }: At,
  owner: string,
  state: typeof WAITS | typeof PENDING,
  note: string | null,
  notBeforeMs: number | null = null,
  firstMs: number = nowMs,
): void {
  const run = toBytes(owner)
  db.run(
    'INSERT OR REPLACE INTO soloist_run (name, owner, state, since_ms, first_ms, not_before_ms) VALUES (?, ?, ?, ?, ?, ?)',
    ...[key, run, state, nowMs, firstMs, notBeforeMs],
  )
  if (note !== null) addNote(db, key, run, run, note)
}

/** A trigger's note is left with a run. The same owner's note is left once. */
export function addNote(db: Database, key: Uint8Array, run: Uint8Array, owner: Uint8Array, note: string): void {
  const sql = 'INSERT OR IGNORE INTO soloist_note (name, owner, run, text) VALUES (?, ?, ?, ?)'
  db.run(sql, key, owner, run, toBytes(note))
}

/** The run is put off to this time, counted from the trigger that asks for it. `null`: what earlier ones asked for stands. */
export function dueMs(debounce: Debounce, firstMs: number, nowMs: number): number | null {
  return debounce === null ? null : Math.min(nowMs + debounce.waitMs, firstMs + debounce.maxWaitMs)
}

export function putOff(db: Database, key: Uint8Array, owner: string, notBeforeMs: number): void {
  db.run('UPDATE soloist_run SET not_before_ms = ? WHERE name = ? AND owner = ?', notBeforeMs, key, toBytes(owner))
}

/** The claim that is the first to wait becomes the pending run, if none is. @returns whether it is that now */
export function becomePending(db: Database, key: Uint8Array, owner: Uint8Array): boolean {
  return (
    db.run(
      `UPDATE soloist_run SET state = ${PENDING} WHERE name = ?1 AND owner = ?2 AND state = ${WAITS}
       AND NOT EXISTS (SELECT 1 FROM soloist_run WHERE name = ?1 AND state = ${PENDING})`,
      key,
      owner,
    ) > 0
  )
}

/**
 * A run that was granted is not put off any more. One beside which another is pending counts as begun, with its own note. One that is
 * closed stays so.
 */
export function runGranted(db: Database, key: Uint8Array, owner: Uint8Array, state: number): void {
  if (state === PENDING) db.run('UPDATE soloist_run SET not_before_ms = NULL WHERE name = ? AND owner = ?', key, owner)
  else if (state === WAITS) beginRun(db, key, owner)
}

/** A run that is held begins, or did before. @returns what was left with it */
export function beginRun(db: Database, key: Uint8Array, owner: Uint8Array): readonly Note[] {
  const notes = db.all('SELECT owner, text FROM soloist_note WHERE name = ? AND run = ? ORDER BY id', key, owner)
  const sql =
    notes.length === 0
      ? 'DELETE FROM soloist_run WHERE name = ? AND owner = ?'
      : `UPDATE soloist_run SET state = ${BEGUN} WHERE name = ? AND owner = ? AND state <> ${BEGUN}`
  db.run(sql, key, owner)
  return notes.map(note => ({ owner: text(note.owner), text: text(note.text) }))
}

/** The run with which this trigger left its note; `null`: none that has not ended. */
export function notedWith(db: Database, key: Uint8Array, owner: string): string | null {
  const row = db.get('SELECT run FROM soloist_note WHERE name = ? AND owner = ?', key, toBytes(owner))
  return row === undefined ? null : text(row.run)
}

/** A trigger takes back what it left with a run, which is closed by that. @returns its note where the run's owner was told of it */
export function takeBack(db: Database, key: Uint8Array, run: Uint8Array, owner: string): readonly Note[] {
  const close = `UPDATE soloist_run SET state = ${UNASKED}, not_before_ms = NULL
    WHERE name = ? AND owner = ? AND state IN (${WAITS}, ${PENDING})`
  db.run(close, key, run)
  const state = db.get('SELECT state FROM soloist_run WHERE name = ? AND owner = ?', key, run)?.state
  const note = 'soloist_note WHERE name = ? AND run = ? AND owner = ?'
  if (state === UNASKED) {
    db.run(`DELETE FROM ${note}`, key, run, toBytes(owner))
    return []
  }
  return db.all(`SELECT text FROM ${note}`, key, run, toBytes(owner)).map(row => ({ owner, text: text(row.text) }))
}

/** The run neither holds nor waits any more. */
export function forgetRun(db: Database, { key, nowMs }: At, owner: Uint8Array): void {
  const row = db.get('DELETE FROM soloist_run WHERE name = ? AND owner = ? RETURNING state', key, owner)
  if (row === undefined) return
  const left = db.all('DELETE FROM soloist_note WHERE name = ? AND run = ? RETURNING owner', key, owner)
  const others = row.state === PENDING && left.some(note => text(note.owner) !== text(owner))
  if (!others && row.state !== UNASKED) return
  const sql = `INSERT OR REPLACE INTO soloist_outcome (name, owner, until_ms, text, displaced) VALUES (?, ?, ?, x'', ${UNBEGUN})`
  db.run(sql, key, owner, nowMs + UNBEGUN_KEPT_MS)
}

/** Whether such a run ended, and that is still kept. */
export function endedUnbegun(db: Database, { key, nowMs }: At, owner: Uint8Array): boolean {
  const sql = `SELECT 1 FROM soloist_outcome WHERE name = ? AND owner = ? AND until_ms > ? AND displaced = ${UNBEGUN}`
  return db.get(sql, key, owner, nowMs) !== undefined
}

/** It is triggered anew. */
export function forgetUnbegun(db: Database, key: Uint8Array, owner: Uint8Array): void {
  db.run(`DELETE FROM soloist_outcome WHERE name = ? AND owner = ? AND displaced = ${UNBEGUN}`, key, owner)
}

/** Runs of a prefix whose time has come are not put off any more. @returns the locks they wait for */
export function dueLocks(db: Database, prefix: Uint8Array, nowMs: number, atMost: number): readonly Uint8Array[] {
  const rows = db.all(
    `UPDATE soloist_run SET not_before_ms = NULL WHERE (name, owner) IN
       (SELECT name, owner FROM soloist_run WHERE not_before_ms <= ? AND substr(name, 1, ?) = ? LIMIT ?) RETURNING name`,
    ...[nowMs, prefix.length, prefix, atMost],
  )
  return rows.map(row => bytes(row.name))
}
