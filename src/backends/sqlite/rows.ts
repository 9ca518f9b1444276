import type { Claim, ClaimMode, HandedGrant, PushedGrant } from '../../backend.js'
import { bytes, type Database, type Row, toBytes } from './client.js'
import type { Fences } from './fences.js'
import { forgetRun } from './pending.js'

/** How often a client that waits is to be heard of. */
export const BEAT_MS = 1_000
/** A client that was silent for this long does not wait any more. */
export const ALIVE_MS: number = 3 * BEAT_MS

/** The lock a step is about, and when. */
export interface Subject {
  readonly name: string
  /** The name as it stands in the rows: with the prefix. */
  readonly key: Uint8Array
  /** The machine's time, in epoch milliseconds, read within the transaction. */
  readonly nowMs: number
  readonly fences: Fences
}

/** A grant to a claim that waited, and the client it is to be pushed to. */
export interface Grant extends PushedGrant {
  readonly client: string
}

/** Whose steps these are, and the grants that are told in their answer. */
export interface Caller {
  /** `null`: of nobody in particular. */
  readonly client: string | null
  readonly handed: HandedGrant[]
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
  for (const table of ['alone', 'shared']) {
    const sql = `DELETE FROM soloist_${table} WHERE name = ? AND expires_ms <= ? RETURNING owner`
    for (const { owner } of db.all(sql, key, nowMs)) forgetRun(db, { key, nowMs }, bytes(owner))
  }
  db.run(
    `DELETE FROM soloist_grant WHERE name = ?1
     AND NOT EXISTS (SELECT 1 FROM soloist_alone WHERE name = ?1 AND fence = soloist_grant.fence)
     AND NOT EXISTS (SELECT 1 FROM soloist_shared WHERE name = ?1 AND fence = soloist_grant.fence)`,
    key,
  )
  return present(db, key)
}

export function present(db: Database, key: Uint8Array): Present {
  const alone = db.get('SELECT expires_ms FROM soloist_alone WHERE name = ?', key)
  if (alone !== undefined) return { count: 1, exclusive: true, soonestMs: alone.expires_ms as number | null }
  const row = db.get(
    'SELECT count(*) AS count, min(expires_ms) AS soonest FROM soloist_shared WHERE name = ?',
    key,
  ) as Row
  return { count: row.count as number, exclusive: false, soonestMs: row.soonest as number | null }
}

/** The grant rule, apart from the queue. */
export function fits(here: Present, mode: ClaimMode, limit: number | null): boolean {
  if (here.count === 0) return true
  return mode === 'shared' && !here.exclusive && (limit === null || here.count < limit)
}

/** Starts the ttl of a claim again, which also confirms a pushed grant. @returns its fence; `null`: it is not held */
export function extend(
  db: Database,
  owner: string,
  ttlMs: number | null,
  { key, nowMs }: Subject,
  client: Uint8Array | null,
): number | null {
  const holder = toBytes(owner)
  for (const table of ['alone', 'shared'] as const) {
    const row = db.get(EXTEND[table], until(nowMs, ttlMs), client, key, holder, nowMs)
    if (row === undefined) continue
    db.run('DELETE FROM soloist_grant WHERE name = ? AND owner = ?', key, holder)
    return row.fence as number
  }
  return null
}

const EXTEND = {
  alone: `UPDATE soloist_alone SET expires_ms = ?, client = ?
         WHERE name = ? AND owner = ? AND (expires_ms IS NULL OR expires_ms > ?) RETURNING fence`,
  shared: `UPDATE soloist_shared SET expires_ms = ?, client = ?
           WHERE name = ? AND owner = ? AND (expires_ms IS NULL OR expires_ms > ?) RETURNING fence`,
}

/** Grants a claim that is asking. @returns its fence */
export function hold(db: Database, claim: Claim, subject: Subject, client: Uint8Array | null): number {
  return insertHolder(db, subject, { ...fields(claim), client }, claim.ttlMs)
}

/** A claim as the columns have it. */
interface Fields {
  readonly owner: Uint8Array
  readonly mode: ClaimMode
  readonly limit: number | null
  readonly meta: Uint8Array | null
}

export function fields({ owner, mode, limit, meta }: Claim): Fields {
  return { owner: toBytes(owner), mode, limit, meta: meta === null ? null : toBytes(meta) }
}

/** A claim that is granted, and the client with whose process it ends. */
export interface Granting extends Fields {
  readonly client: Uint8Array | null
}

export function insertHolder(
  db: Database,
  { key, nowMs, fences }: Subject,
  claim: Granting,
  ttlMs: number | null,
): number {
  const { owner, mode, limit, meta, client } = claim
  const fence = fences.next()
  const expiresMs = until(nowMs, ttlMs)
  if (mode === 'exclusive') {
    const sql = 'INSERT INTO soloist_alone (name, owner, fence, expires_ms, meta, client) VALUES (?, ?, ?, ?, ?, ?)'
    db.run(sql, key, owner, fence, expiresMs, meta, client)
  } else {
    const sql = `INSERT INTO soloist_shared (name, owner, most, fence, expires_ms, meta, client)
      VALUES (?, ?, ?, ?, ?, ?, ?)`
    db.run(sql, key, owner, limit, fence, expiresMs, meta, client)
  }
  return fence
}

/** Removes a holder, whatever its mode. @returns whether it was there */
export function removeHolder(db: Database, { key, nowMs }: Pick<Subject, 'key' | 'nowMs'>, owner: string): boolean {
  const holder = toBytes(owner)
  const removed =
    db.run('DELETE FROM soloist_alone WHERE name = ? AND owner = ?', key, holder) > 0 ||
    db.run('DELETE FROM soloist_shared WHERE name = ? AND owner = ?', key, holder) > 0
  if (!removed) return false
  db.run('DELETE FROM soloist_grant WHERE name = ? AND owner = ?', key, holder)
  forgetRun(db, { key, nowMs }, holder)
  return true
}

/** Whether the owner holds the lock. */
export function isHeldBy(db: Database, { key, nowMs }: Pick<Subject, 'key' | 'nowMs'>, owner: Uint8Array): boolean {
  const sql = `SELECT 1 FROM soloist_alone WHERE name = ?1 AND owner = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)
     UNION ALL SELECT 1 FROM soloist_shared WHERE name = ?1 AND owner = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)`
  return db.get(sql, key, owner, nowMs) !== undefined
}

function until(nowMs: number, ttlMs: number | null): number | null {
  return ttlMs === null ? null : nowMs + ttlMs
}
