import type { Claim, ClaimMode, HandedGrant, PushedGrant } from '../../backend.js'
import { bytes, type Database, type Row, text, toBytes } from './client.js'
import type { Fences } from './fences.js'

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
  readonly fences: Fences
}

/** A grant to a claim that waited, and the client it is to be pushed to. */
export interface Grant extends PushedGrant {
  readonly client: string
}

/** Whose steps these are, and the claims of theirs that were granted meanwhile. */
export interface Caller {
  readonly client: string
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
  db.run('DELETE FROM soloist_lock WHERE name = ? AND expires_ms <= ?', key, nowMs)
  db.run('DELETE FROM soloist_shared WHERE name = ? AND expires_ms <= ?', key, nowMs)
  db.run(
    `DELETE FROM soloist_grant WHERE name = ?1
     AND NOT EXISTS (SELECT 1 FROM soloist_lock WHERE name = ?1 AND fence = soloist_grant.fence)
     AND NOT EXISTS (SELECT 1 FROM soloist_shared WHERE name = ?1 AND fence = soloist_grant.fence)`,
    key,
  )
  return present(db, key)
}

export function present(db: Database, key: Uint8Array): Present {
  const alone = db.get('SELECT expires_ms FROM soloist_lock WHERE name = ?', key)
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
  for (const table of ['lock', 'shared'] as const) {
    const row = db.get(EXTEND[table], until(nowMs, ttlMs), client, key, holder, nowMs)
    if (row === undefined) continue
    db.run('DELETE FROM soloist_grant WHERE name = ? AND owner = ?', key, holder)
    return row.fence as number
  }
  return null
}

const EXTEND = {
  lock: `UPDATE soloist_lock SET expires_ms = ?, client = ?
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

function fields({ owner, mode, limit, meta }: Claim): Fields {
  return { owner: toBytes(owner), mode, limit, meta: meta === null ? null : toBytes(meta) }
}

/** A claim that is granted, and the client with whose process it ends. */
interface Granting extends Fields {
  readonly client: Uint8Array | null
}

function insertHolder(db: Database, { key, nowMs, fences }: Subject, claim: Granting, ttlMs: number | null): number {
  const { owner, mode, limit, meta, client } = claim
  const fence = fences.next()
  const expiresMs = until(nowMs, ttlMs)
  if (mode === 'exclusive') {
    const sql = 'INSERT INTO soloist_lock (name, owner, fence, expires_ms, meta, client) VALUES (?, ?, ?, ?, ?, ?)'
    db.run(sql, key, owner, fence, expiresMs, meta, client)
  } else {
    const sql = `INSERT INTO soloist_shared (name, owner, most, fence, expires_ms, meta, client)
      VALUES (?, ?, ?, ?, ?, ?, ?)`
    db.run(sql, key, owner, limit, fence, expiresMs, meta, client)
  }
  return fence
}

/** Removes a holder, whatever its mode. @returns whether it was there */
export function removeHolder(db: Database, key: Uint8Array, owner: string): boolean {
  const holder = toBytes(owner)
  const removed =
    db.run('DELETE FROM soloist_lock WHERE name = ? AND owner = ?', key, holder) > 0 ||
    db.run('DELETE FROM soloist_shared WHERE name = ? AND owner = ?', key, holder) > 0
  if (removed) db.run('DELETE FROM soloist_grant WHERE name = ? AND owner = ?', key, holder)
  return removed
}

/** Queues a claim, and notes that its client is alive. @returns the ticket, which is the wanted one unless it is `'new'` */
export function enqueue(db: Database, claim: Claim, client: string, at: Subject, wanted: 'new' | number): number {
  const { key, nowMs } = at
  const last = db.get('SELECT max(ticket) AS ticket FROM soloist_queue WHERE name = ?', key)?.ticket as number | null
  const ticket = wanted === 'new' ? Math.max((last ?? 0) + 1, nowMs * 1000) : wanted
  const { owner, mode, limit, meta } = fields(claim)
  db.run(
    `INSERT INTO soloist_queue (name, ticket, owner, client, exclusive, most, ttl_ms, meta, bound)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[key, ticket, owner, toBytes(client), mode === 'exclusive' ? 1 : 0, limit, claim.ttlMs, meta],
    claim.endsWithProcess === true ? 1 : 0,
  )
  db.run(
    `INSERT INTO soloist_client (client, seen_ms) VALUES (?, ?)
     ON CONFLICT (client) DO UPDATE SET seen_ms = excluded.seen_ms`,
    toBytes(client),
    nowMs,
  )
  return ticket
}

/** Takes a claim out of the queue. @returns whether it was there */
export function dequeue(db: Database, key: Uint8Array, owner: string): boolean {
  const row = db.get('DELETE FROM soloist_queue WHERE name = ? AND owner = ? RETURNING client', key, toBytes(owner))
  if (row === undefined) return false
  forgetClient(db, bytes(row.client))
  return true
}

export function isWaitedFor(db: Database, key: Uint8Array): boolean {
  return db.get('SELECT 1 FROM soloist_queue WHERE name = ? LIMIT 1', key) !== undefined
}

/**
 * Grants what the head of the queue allows, passing over clients that fell silent. The caller's own claims get their own
 * ttl and are added to what it is handed, except the owner who is asking: that is told in the answer to its step. Each
 * other grant stands for its grant lease, until it is confirmed.
 *
 * @returns the grants to be pushed to other clients
 */
export function advance(
  db: Database,
  subject: Subject,
  caller: Caller | null,
  asking: string | null = null,
): readonly Grant[] {
  const { name, key, nowMs } = subject
  const grants: Grant[] = []
  for (let head = headOf(db, key); head !== undefined; head = headOf(db, key)) {
    const client = text(head.client)
    const own = client === caller?.client
    const seenMs = head.seen_ms as number | null
    if (!own && (seenMs === null || nowMs - seenMs > ALIVE_MS)) {
      db.run('DELETE FROM soloist_queue WHERE name = ? AND client = ?', key, bytes(head.client))
      forgetClient(db, bytes(head.client))
      continue
    }
    const mode = head.exclusive === 1 ? 'exclusive' : 'shared'
    const limit = head.most as number | null
    if (!fits(present(db, key), mode, limit)) break
    db.run('DELETE FROM soloist_queue WHERE id = ?', head.id as number)
    forgetClient(db, bytes(head.client))
    const owner = text(head.owner)
    const holder = {
      owner: bytes(head.owner),
      mode,
      limit,
      meta: head.meta === null ? null : bytes(head.meta),
      client: head.bound === 1 ? bytes(head.client) : null,
    } as const
    const ttlMs = head.ttl_ms as number | null
    const fence = insertHolder(db, subject, holder, own ? ttlMs : Math.min(GRANT_MS, ttlMs ?? GRANT_MS))
    if (!own) {
      db.run(
        'INSERT OR REPLACE INTO soloist_grant (name, owner, client, fence) VALUES (?, ?, ?, ?)',
        ...[key, holder.owner, bytes(head.client), fence],
      )
      grants.push({ type: 'granted', name, owner, fence, client })
    } else if (owner !== asking) caller.handed.push({ name, owner, fence })
  }
  return grants
}

function headOf(db: Database, key: Uint8Array): Row | undefined {
  return db.get(
    `SELECT id, owner, client, exclusive, most, ttl_ms, meta, bound, seen_ms
     FROM soloist_queue LEFT JOIN soloist_client USING (client) WHERE name = ? ORDER BY ticket, id LIMIT 1`,
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
     AND NOT EXISTS (SELECT 1 FROM soloist_queue WHERE soloist_queue.client = soloist_client.client)`,
    client,
  )
}

function until(nowMs: number, ttlMs: number | null): number | null {
  return ttlMs === null ? null : nowMs + ttlMs
}
