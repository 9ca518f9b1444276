import type { Ended, WatchReply } from '../../backend.js'
import { type Database, text, toBytes } from './client.js'
import { ALIVE_MS, type Subject as At } from './rows.js'

type Subject = Pick<At, 'name' | 'key' | 'nowMs'>

/** What is told to those who ask for a claim that is over. */
export type Left = Extract<WatchReply, { readonly status: 'result' | 'displaced' }>

/** How many results that were kept long enough go with each new one: more than come, so that they do not pile up. */
const DROPPED_PER_RESULT = 2

/** The end of a claim, and the client it is to be pushed to. */
export interface End extends Ended {
  readonly client: string
}

/** Keeps what became of a claim, for its time. */
export function keep(db: Database, { key, nowMs }: Subject, owner: string, left: Left, keepMs: number): void {
  dropResults(db, nowMs, DROPPED_PER_RESULT)
  db.run(
    'INSERT OR REPLACE INTO soloist_outcome (name, owner, until_ms, text, displaced) VALUES (?, ?, ?, ?, ?)',
    ...[key, toBytes(owner), nowMs + keepMs],
    ...(left.status === 'result' ? [toBytes(left.text), 0] : [toBytes(left.by), 1]),
  )
}

/** What is still kept of a claim that is over; `null`: nothing. */
export function kept(db: Database, { key, nowMs }: Subject, owner: string): Left | null {
  const sql =
    'SELECT text, displaced FROM soloist_outcome WHERE name = ? AND owner = ? AND until_ms > ? AND displaced < 2'
  const row = db.get(sql, key, toBytes(owner), nowMs)
  if (row === undefined) return null
  return row.displaced === 1 ? { status: 'displaced', by: text(row.text) } : { status: 'result', text: text(row.text) }
}

/** By whom a claim that is over was displaced; `null`: by nobody, or it was kept long enough. */
export function displacedBy(db: Database, at: Subject, owner: string): string | null {
  const left = kept(db, at, owner)
  return left?.status === 'displaced' ? left.by : null
}

/** Whether the owner holds the lock or waits for it. */
export function isLive(db: Database, { key, nowMs }: Subject, owner: string): boolean {
  const row = db.get(
    `SELECT 1 FROM soloist_alone WHERE name = ?1 AND owner = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)
     UNION ALL SELECT 1 FROM soloist_shared WHERE name = ?1 AND owner = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)
     UNION ALL SELECT 1 FROM soloist_waiting WHERE name = ?1 AND owner = ?2`,
    key,
    toBytes(owner),
    nowMs,
  )
  return row !== undefined
}

/** The client is to be told of the end of a claim, and has just been heard of. */
export function addWatcher(db: Database, { key, nowMs }: Subject, owner: string, client: string): void {
  db.run(
    `INSERT INTO soloist_watcher (name, owner, client, seen_ms, ended) VALUES (?, ?, ?, ?, 0)
     ON CONFLICT (name, owner, client) DO UPDATE SET seen_ms = excluded.seen_ms, ended = 0`,
    key,
    toBytes(owner),
    toBytes(client),
    nowMs,
  )
}

export function removeWatcher(db: Database, { key }: Subject, owner: string, client: string): void {
  const sql = 'DELETE FROM soloist_watcher WHERE name = ? AND owner = ? AND client = ?'
  db.run(sql, key, toBytes(owner), toBytes(client))
}

/** The claim is over. @returns what is to be pushed to those who watch it */
export function end(db: Database, { name, key, nowMs }: Subject, owner: string): readonly End[] {
  const rows = db.all(
    `UPDATE soloist_watcher SET ended = 1 WHERE name = ? AND owner = ? AND ended = 0 AND seen_ms >= ?
     RETURNING client`,
    key,
    toBytes(owner),
    nowMs - ALIVE_MS,
  )
  return rows.map(row => ({ type: 'ended', name, owner, client: text(row.client) }))
}

/** Takes away results that were kept long enough. */
export function dropResults(db: Database, nowMs: number, atMost: number): void {
  db.run(
    'DELETE FROM soloist_outcome WHERE id IN (SELECT id FROM soloist_outcome WHERE until_ms <= ? LIMIT ?)',
    nowMs,
    atMost,
  )
}

/** Takes away watchers that fell silent. */
export function dropWatchers(db: Database, nowMs: number, atMost: number): void {
  db.run(
    `DELETE FROM soloist_watcher WHERE (name, owner, client) IN
       (SELECT name, owner, client FROM soloist_watcher WHERE seen_ms < ? LIMIT ?)`,
    nowMs - ALIVE_MS,
    atMost,
  )
}
