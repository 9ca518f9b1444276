import type { Claim, ClaimMode, PushedGrant } from '../../backend.js'
import { bytes, type Database, type Row, text, toBytes } from './client.js'

/** How often a client that waits is to be heard of. */
export const BEAT_MS = 1_000
/** A client that was silent for this long does not wait any more. */
export const ALIVE_MS: number = 3 * BEAT_MS
/** How long a pushed grant stands unconfirmed. */
const GRANT_MS = 1_500

/** The lock a step is about, and when. */
export interface Subject {
  readonly name: string
  /** The name as it stands in the rows: with the prefix. */
  readonly key: Uint8Array
  /** The machine's time, in epoch milliseconds, read within the transaction. */
  readonly nowMs: number
}

/** A grant to a claim that waited, and the client it is to be pushed to. */
export interface Grant extends PushedGrant {
  readonly client: string
}

/** The holders of a lock, summed up. */
export interface Present {
  readonly count: number
  readonly exclusive: boolean
  /** When the first of their leases runs out; `null`: none will. */
  readonly soonestMs: number | null
}

/** Removes the holders whose time is up. @returns those that stay */
export function expire(db: Database, { key, nowMs }: Subject): Present {
  const before = present(db, key)
  if (before.soonestMs === null || before.soonestMs > nowMs) return before
  db.run('DELETE FROM soloist_holder WHERE name = ? AND expires_ms <= ?', key, nowMs)
  forgetLimit(db, key)
  return present(db, key)
}

export function present(db: Database, key: Uint8Array): Present {
  const row = db.get(
    `SELECT count(*) AS count, max(exclusive) AS exclusive, min(expires_ms) AS soonest
     FROM soloist_holder WHERE name = ?`,
    key,
  ) as Row
  return { count: row.count as number, exclusive: row.exclusive === 1, soonestMs: row.soonest as number | null }
}

/** The grant rule, apart from the queue. */
export function fits(here: Present, mode: ClaimMode, limit: number | null): boolean {
  if (here.count === 0) return true
  return mode === 'shared' && !here.exclusive && (limit === null || here.count < limit)
}

/** Starts the ttl of a claim again, which also confirms a pushed grant. @returns its fence; `null`: it is not held */
export function extend(db: Database, claim: Claim, { key, nowMs }: Subject): number | null {
  const row = db.get(
    `UPDATE soloist_holder SET expires_ms = ?, pushed = 0
     WHERE name = ? AND owner = ? AND exclusive = ? AND (expires_ms IS NULL OR expires_ms > ?) RETURNING fence`,
    until(nowMs, claim.ttlMs),
    key,
    toBytes(claim.owner),
    flag(claim.mode),
    nowMs,
  )
  return (row?.fence as number | undefined) ?? null
}

/** Grants a claim that is asking. @returns its fence */
export function hold(db: Database, claim: Claim, subject: Subject): number {
  return insertHolder(db, subject, fields(claim), until(subject.nowMs, claim.ttlMs), false)
}

/** A claim as the columns have it. */
interface Fields {
  readonly owner: Uint8Array
  readonly client: Uint8Array
  readonly mode: ClaimMode
  readonly limit: number | null
  readonly meta: Uint8Array | null
}

function fields({ owner, client, mode, limit, meta }: Claim): Fields {
  return { owner: toBytes(owner), client: toBytes(client), mode, limit, meta: meta === null ? null : toBytes(meta) }
}

function insertHolder(
  db: Database,
  { key, nowMs }: Subject,
  { owner, client, mode, limit, meta }: Fields,
  expiresMs: number | null,
  pushed: boolean,
): number {
  // One counter for all locks: rising for the file is rising for each.
  const row = db.get(
    'UPDATE soloist_store SET fence = max(fence + 1, CAST(? AS INTEGER)) RETURNING fence',
    nowMs * 1000,
  ) as Row
  const fence = row.fence as number
  // An owner that held it in the other mode holds it in this one now.
  db.run(
    `INSERT OR REPLACE INTO soloist_holder
       (name, owner, client, exclusive, fence, acquired_ms, expires_ms, pushed, meta)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[key, owner, client, flag(mode), fence, nowMs, expiresMs, pushed ? 1 : 0, meta],
  )
  if (mode === 'shared') agreeOn(db, key, limit)
  return fence
}

/** Queues a claim, and notes that its client is alive. @returns the ticket, which is the wanted one unless it is `'new'` */
export function enqueue(db: Database, claim: Claim, { key, nowMs }: Subject, wanted: 'new' | number): number {
  const last = db.get('SELECT max(ticket) AS ticket FROM soloist_waiter WHERE name = ?', key)?.ticket as number | null
  const ticket = wanted === 'new' ? Math.max((last ?? 0) + 1, nowMs * 1000) : wanted
  const { owner, client, mode, limit, meta } = fields(claim)
  db.run(
    `INSERT INTO soloist_waiter (name, ticket, owner, client, exclusive, most, meta) VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ...[key, ticket, owner, client, flag(mode), limit, meta],
  )
  if (mode === 'shared') agreeOn(db, key, limit)
  db.run(
    `INSERT INTO soloist_client (client, seen_ms) VALUES (?, ?)
     ON CONFLICT (client) DO UPDATE SET seen_ms = excluded.seen_ms`,
    client,
    nowMs,
  )
  return ticket
}

/** Takes a claim out of the queue. @returns whether it was there */
export function leave(db: Database, key: Uint8Array, owner: string): boolean {
  const row = db.get('DELETE FROM soloist_waiter WHERE name = ? AND owner = ? RETURNING client', key, toBytes(owner))
  if (row === undefined) return false
  forgetClient(db, bytes(row.client))
  return true
}

export function isWaitedFor(db: Database, key: Uint8Array): boolean {
  return db.get('SELECT 1 FROM soloist_waiter WHERE name = ? LIMIT 1', key) !== undefined
}

/**
 * Grants what the head of the queue allows, passing over clients that fell silent. Each grant stands for its grant
 * lease, until it is confirmed; that of the owner who is asking is left to be extended.
 *
 * @returns the grants to be pushed: all but that of the owner who is asking
 */
export function advance(db: Database, subject: Subject, asking: string | null): readonly Grant[] {
  const { name, key, nowMs } = subject
  const grants: Grant[] = []
  for (let head = headOf(db, key); head !== undefined; head = headOf(db, key)) {
    const client = bytes(head.client)
    const seenMs = head.seen_ms as number | null
    if (seenMs === null || nowMs - seenMs > ALIVE_MS) {
      db.run('DELETE FROM soloist_waiter WHERE name = ? AND client = ?', key, client)
      forgetClient(db, client)
      forgetLimit(db, key)
      continue
    }
    const mode = head.exclusive === 1 ? 'exclusive' : 'shared'
    const limit = head.most as number | null
    if (!fits(present(db, key), mode, limit)) break
    db.run('DELETE FROM soloist_waiter WHERE id = ?', head.id as number)
    forgetClient(db, client)
    const meta = head.meta === null ? null : bytes(head.meta)
    const holder = { owner: bytes(head.owner), client, mode, limit, meta } as const
    const fence = insertHolder(db, subject, holder, nowMs + GRANT_MS, true)
    const owner = text(head.owner)
    if (owner !== asking) grants.push({ type: 'granted', name, owner, fence, mode, limit, client: text(client) })
  }
  return grants
}

function headOf(db: Database, key: Uint8Array): Row | undefined {
  return db.get(
    `SELECT id, owner, client, exclusive, most, meta, seen_ms
     FROM soloist_waiter LEFT JOIN soloist_client USING (client) WHERE name = ? ORDER BY ticket, id LIMIT 1`,
    key,
  )
}

/** A client that waits for something is alive. */
export function markAlive(db: Database, client: string, nowMs: number): void {
  db.run('UPDATE soloist_client SET seen_ms = ? WHERE client = ?', nowMs, toBytes(client))
}

/** Removes a client's row unless it waits for something. */
export function forgetClient(db: Database, client: Uint8Array): void {
  db.run(
    `DELETE FROM soloist_client WHERE client = ?
     AND NOT EXISTS (SELECT 1 FROM soloist_waiter WHERE soloist_waiter.client = soloist_client.client)`,
    client,
  )
}

/** What the shared claims agreed on; `undefined` before the first. */
export function limitOf(db: Database, key: Uint8Array): number | null | undefined {
  return db.get('SELECT most FROM soloist_limit WHERE name = ?', key)?.most as number | null | undefined
}

function agreeOn(db: Database, key: Uint8Array, limit: number | null): void {
  db.run('INSERT OR IGNORE INTO soloist_limit (name, most) VALUES (?, ?)', key, limit)
}

/** Removes a lock's limit unless somebody holds the lock or waits for it. */
export function forgetLimit(db: Database, key: Uint8Array): void {
  db.run(
    `DELETE FROM soloist_limit WHERE name = ?
     AND NOT EXISTS (SELECT 1 FROM soloist_holder WHERE soloist_holder.name = soloist_limit.name)
     AND NOT EXISTS (SELECT 1 FROM soloist_waiter WHERE soloist_waiter.name = soloist_limit.name)`,
    key,
  )
}

/** A claim's mode as it stands in the column `exclusive`. */
export function flag(mode: ClaimMode): 0 | 1 {
  return mode === 'exclusive' ? 1 : 0
}

function until(nowMs: number, ttlMs: number | null): number | null {
  return ttlMs === null ? null : nowMs + ttlMs
}
