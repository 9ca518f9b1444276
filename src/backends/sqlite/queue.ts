import type { Claim } from '../../backend.js'
import { bytes, type Database, type Row, text, toBytes } from './client.js'
import { becomePending, forgetRun, PENDING, runGranted, WAITS } from './pending.js'
import { ALIVE_MS, type Caller, fields, fits, type Grant, insertHolder, present, type Subject } from './rows.js'

/** How long a pushed grant stands unconfirmed. */
const GRANT_MS = 1_500

/** Queues a claim, and notes that its client is alive. @returns the ticket, which is the wanted one unless it is `'new'` */
export function enqueue(db: Database, claim: Claim, client: string, at: Subject, wanted: 'new' | number): number {
  const { key, nowMs } = at
  const last = db.get('SELECT max(ticket) AS ticket FROM soloist_waiting WHERE name = ?', key)?.ticket as number | null
  const ticket = wanted === 'new' ? Math.max((last ?? 0) + 1, nowMs * 1000) : wanted
  const { owner, mode, limit, meta } = fields(claim)
  const durable = claim.durable === true
  db.run(
    `INSERT INTO soloist_waiting (name, ticket, owner, client, exclusive, most, ttl_ms, meta, bound, durable)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[key, ticket, owner, toBytes(client), mode === 'exclusive' ? 1 : 0, limit, claim.ttlMs, meta],
    ...[claim.endsWithProcess === true ? 1 : 0, durable ? 1 : 0],
  )
  if (durable) return ticket
  db.run(
    `INSERT INTO soloist_client (client, seen_ms) VALUES (?, ?)
     ON CONFLICT (client) DO UPDATE SET seen_ms = excluded.seen_ms`,
    toBytes(client),
    nowMs,
  )
  return ticket
}

/** A ticket before everybody who waits. */
export function ticketInFront(db: Database, { key, nowMs }: Subject): number {
  const row = db.get('SELECT min(ticket) AS ticket FROM soloist_waiting WHERE name = ?', key)
  const first = (row?.ticket ?? null) as number | null
  return Math.min(first === null ? Infinity : first - 1, nowMs * 1000)
}

/** The ticket of a claim that waits; `null`: it does not. */
export function ticketOf(db: Database, key: Uint8Array, owner: string): number | null {
  const row = db.get('SELECT ticket FROM soloist_waiting WHERE name = ? AND owner = ?', key, toBytes(owner))
  return (row?.ticket as number | undefined) ?? null
}

/** Gives a claim that waits another place. */
export function moveTo(db: Database, key: Uint8Array, owner: string, ticket: number): void {
  db.run('UPDATE soloist_waiting SET ticket = ? WHERE name = ? AND owner = ?', ticket, key, toBytes(owner))
}

/** Takes a claim out of the queue. @returns whether it was there */
export function dequeue(db: Database, { key, nowMs }: Pick<Subject, 'key' | 'nowMs'>, owner: string): boolean {
  const waiting = toBytes(owner)
  const row = db.get('DELETE FROM soloist_waiting WHERE name = ? AND owner = ? RETURNING client', key, waiting)
  if (row === undefined) return false
  forgetClient(db, bytes(row.client))
  forgetRun(db, { key, nowMs }, waiting)
  return true
}

export function isWaitedFor(db: Database, key: Uint8Array): boolean {
  return db.get('SELECT 1 FROM soloist_waiting WHERE name = ? LIMIT 1', key) !== undefined
}

export function isWaitedForDurably(db: Database, key: Uint8Array): boolean {
  return db.get('SELECT 1 FROM soloist_waiting WHERE name = ? AND durable = 1 LIMIT 1', key) !== undefined
}

/**
 * Grants what the head of the queue allows, passing over clients that fell silent. The caller's own claims and durable ones
 * get their own ttl and are added to what it is handed, except the owner who is asking: that is told in the answer to its
 * step. Each other grant stands for its grant lease, until it is confirmed. A durable claim is not granted where there is no
 * caller to tell.
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
    const durable = head.durable === 1
    const own = durable || client === caller?.client
    if (!own && isSilent(head, nowMs)) {
      dropClient(db, { key, nowMs }, bytes(head.client))
      continue
    }
    const owner = bytes(head.owner)
    const turn = head.state === WAITS && becomePending(db, key, owner)
    if (!fits(present(db, key), modeOf(head), limitOf(head)) || dueOf(head) > nowMs || (durable && caller === null))
      break
    db.run('DELETE FROM soloist_waiting WHERE id = ?', head.id as number)
    if (!durable) forgetClient(db, bytes(head.client))
    if (head.state !== null) runGranted(db, key, owner, turn ? PENDING : (head.state as number))
    const holder = {
      owner,
      mode: modeOf(head),
      limit: limitOf(head),
      meta: head.meta === null ? null : bytes(head.meta),
      client: head.bound === 1 ? bytes(head.client) : null,
    }
    const ttlMs = head.ttl_ms as number | null
    const fence = insertHolder(db, subject, holder, own ? ttlMs : Math.min(GRANT_MS, ttlMs ?? GRANT_MS))
    const told = text(head.owner)
    if (!own) {
      db.run(
        'INSERT OR REPLACE INTO soloist_grant (name, owner, client, fence) VALUES (?, ?, ?, ?)',
        ...[key, owner, bytes(head.client), fence],
      )
      grants.push({ type: 'granted', name, owner: told, fence, client })
    } else if (told !== asking) caller?.handed.push({ name, owner: told, fence })
  }
  return grants
}

const HEAD = `SELECT waiting.id, waiting.owner, client, ticket, exclusive, most, ttl_ms, meta, bound, durable, seen_ms,
    state, since_ms, not_before_ms
  FROM soloist_waiting AS waiting LEFT JOIN soloist_client USING (client)
    LEFT JOIN soloist_run AS run ON run.name = waiting.name AND run.owner = waiting.owner
  WHERE waiting.name = ? ORDER BY ticket, waiting.id LIMIT 1`

/** The first claim that waits, with what is known of its run and its client. */
export function headOf(db: Database, key: Uint8Array): Row | undefined {
  return db.get(HEAD, key)
}

export function modeOf(row: Row): Claim['mode'] {
  return row.exclusive === 1 ? 'exclusive' : 'shared'
}

export function limitOf(row: Row): number | null {
  return row.most as number | null
}

/** Before when a claim is not granted, whoever holds the lock. */
export function dueOf(row: Row): number {
  return (row.not_before_ms as number | null) ?? -Infinity
}

/** Where no run is pending, the first that waits may become it. */
export function nextRun(db: Database, key: Uint8Array): void {
  const head = headOf(db, key)
  if (head?.state === WAITS) becomePending(db, key, bytes(head.owner))
}

/** Removes the pending run if it waits and its client fell silent. */
export function dropSilentRun(db: Database, { key, nowMs }: Subject): void {
  const row = db.get(
    `SELECT client, seen_ms FROM soloist_run AS run
       JOIN soloist_waiting AS waiting ON waiting.name = run.name AND waiting.owner = run.owner
       LEFT JOIN soloist_client USING (client)
     WHERE run.name = ? AND state = ${PENDING} AND durable = 0`,
    key,
  )
  if (row !== undefined && isSilent(row, nowMs)) dropClient(db, { key, nowMs }, bytes(row.client))
}

/** Removes a claim that waits and whose client fell silent, unless that is the client who asks. */
export function dropSilentClaim(
  db: Database,
  { key, nowMs }: Pick<Subject, 'key' | 'nowMs'>,
  owner: string,
  asking: string,
): void {
  const row = db.get(
    `SELECT client, seen_ms FROM soloist_waiting LEFT JOIN soloist_client USING (client)
     WHERE name = ? AND owner = ? AND client <> ? AND durable = 0`,
    ...[key, toBytes(owner), toBytes(asking)],
  )
  if (row !== undefined && isSilent(row, nowMs)) dropClient(db, { key, nowMs }, bytes(row.client))
}

function isSilent({ seen_ms }: Row, nowMs: number): boolean {
  return seen_ms === null || nowMs - (seen_ms as number) > ALIVE_MS
}

/** What a client that fell silent waits with for a lock is removed, apart from durable claims. */
function dropClient(db: Database, at: Pick<Subject, 'key' | 'nowMs'>, client: Uint8Array): void {
  const sql = 'DELETE FROM soloist_waiting WHERE name = ? AND client = ? AND durable = 0 RETURNING owner'
  for (const { owner } of db.all(sql, at.key, client)) forgetRun(db, at, bytes(owner))
  forgetClient(db, client)
}

/** A client that waits for something is alive. */
export function markAlive(db: Database, client: string, nowMs: number): void {
  db.run('UPDATE soloist_client SET seen_ms = ? WHERE client = ?', nowMs, toBytes(client))
}

/** Removes a client's row unless it waits for something with a claim that is not durable. */
export function forgetClient(db: Database, client: Uint8Array): void {
  db.run(
    `DELETE FROM soloist_client WHERE client = ? AND NOT EXISTS
       (SELECT 1 FROM soloist_waiting AS waiting WHERE waiting.client = soloist_client.client AND durable = 0)`,
    client,
  )
}

/**
 * Removes what clients wait with that fell silent: of so many clients, for so many locks each. Of a lock that is all: a client
 * that comes back asks after its oldest claim, and takes the others to be there if that one is.
 *
 * @returns the locks they waited for
 */
export function dropSilentClients(db: Database, nowMs: number, atMost: number): readonly Uint8Array[] {
  const silent = db.all('SELECT client FROM soloist_client WHERE seen_ms < ? LIMIT ?', nowMs - ALIVE_MS, atMost)
  const keys: Uint8Array[] = []
  for (const { client } of silent) {
    const sql = 'SELECT DISTINCT name FROM soloist_waiting WHERE client = ? AND durable = 0 LIMIT ?'
    for (const { name } of db.all(sql, bytes(client), atMost)) {
      dropClient(db, { key: bytes(name), nowMs }, bytes(client))
      keys.push(bytes(name))
    }
    forgetClient(db, bytes(client))
  }
  return keys
}
