import { bytes, type Database, text, toBytes } from './client.js'
import { forgetRun } from './pending.js'
import { isGone, thisProcess } from './process.js'
import { type End, end } from './results.js'
import type { Subject } from './rows.js'

/** How many clients that hold a lock are looked at in one step. */
const MOST_CLIENTS = 64
/** Longer than any lease lasts, so whatever a process that was not heard of for this long held has run out. */
const FORGET_MS = 25 * 24 * 60 * 60 * 1000
/** How many processes one sweep forgets. */
const FORGOTTEN = 64

/** Notes in which process a client is, and that it is heard of now. */
export function noteProcess(db: Database, client: string, nowMs: number): void {
  if (thisProcess === null) return
  const { place, pid, started } = thisProcess
  db.run(
    `INSERT INTO soloist_process (client, place, pid, started, seen_ms) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (client) DO UPDATE SET seen_ms = excluded.seen_ms`,
    ...[toBytes(client), toBytes(place), pid, started, nowMs],
  )
}

/** The client ends by itself: nothing that it left is to be taken for that of a process that died. */
export function forgetProcess(db: Database, client: string): void {
  db.run('DELETE FROM soloist_process WHERE client = ?', toBytes(client))
}

/** Forgets processes that cannot hold anything any more. */
export function forgetProcesses(db: Database, nowMs: number): void {
  db.run(
    'DELETE FROM soloist_process WHERE client IN (SELECT client FROM soloist_process WHERE seen_ms < ? LIMIT ?)',
    nowMs - FORGET_MS,
    FORGOTTEN,
  )
}

/** Takes the lock from holders whose processes have provably ended. @returns what is to be told of it */
export function dropGone(db: Database, at: Pick<Subject, 'name' | 'key' | 'nowMs'>): readonly End[] {
  if (thisProcess === null) return []
  const rows = db.all(
    `SELECT client, place, pid, started FROM soloist_process WHERE client IN (
       SELECT client FROM soloist_alone WHERE name = ?1 AND client IS NOT NULL
       UNION SELECT client FROM soloist_shared WHERE name = ?1 AND client IS NOT NULL) LIMIT ?2`,
    at.key,
    MOST_CLIENTS,
  )
  const news: End[] = []
  for (const row of rows) {
    const process = { place: text(row.place), pid: row.pid as number, started: row.started as number }
    if (!isGone(process)) continue
    for (const table of ['soloist_alone', 'soloist_shared']) {
      const sql = `DELETE FROM ${table} WHERE name = ? AND client = ? RETURNING owner`
      for (const { owner } of db.all(sql, at.key, bytes(row.client))) {
        db.run('DELETE FROM soloist_grant WHERE name = ? AND owner = ?', at.key, bytes(owner))
        forgetRun(db, at, bytes(owner))
        news.push(...end(db, at, text(owner)))
      }
    }
  }
  return news
}
