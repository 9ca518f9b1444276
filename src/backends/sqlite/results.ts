import type { Ended, KeptResult } from '../../backend.js'
import { type Database, text, toBytes } from './client.js'
import { ALIVE_MS, type Subject as At } from './rows.js'

type Subject = Pick<At, 'name' | 'key' | 'nowMs'>

/** How many results that were kept long enough go with each new one: more than come, so that they do not pile up. */
const DROPPED_PER_RESULT = 2

/** The end of a claim, and the client it is to be pushed to. */
export interface End extends Ended {
  readonly client: string
}

/** Keeps what an owner left. */
export function keep(db: Database, { key, nowMs }: Subject, owner: string, result: KeptResult): void {
  dropResults(db, nowMs, DROPPED_PER_RESULT)
  db.run(
    'INSERT OR REPLACE INTO soloist_result (name, owner, until_ms, text) VALUES (?, ?, ?, ?)',
    key,
    toBytes(owner),
    nowMs + result.keepMs,
    toBytes(result.text),
  )
}

/** What an owner left and is still kept; `null`: nothing. */
export function keptResult(db: Database, { key, nowMs }: Subject, owner: string): string | null {
  const sql = 'SELECT text FROM soloist_result WHERE name = ? AND owner = ? AND until_ms > ?'
  const row = db.get(sql, key, toBytes(owner), nowMs)
  return row === undefined ? null : text(row.text)
}

/** Whether the owner holds the lock or waits for it. */
export function isLive(db: Database, { key, nowMs }: Subject, owner: string): boolean {
  const row = db.get(
    `SELECT 1 FROM soloist_lock WHERE name = ?1 AND owner = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)
     UNION ALL SELECT 1 FROM soloist_shared WHERE name = ?1 AND owner = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)
     UNION ALL SELECT 1 FROM soloist_queue WHERE name = ?1 AND owner = ?2`,
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
    'DELETE FROM soloist_result WHERE id IN (SELECT id FROM soloist_result WHERE until_ms <= ? LIMIT ?)',
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
