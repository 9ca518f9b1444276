import type { Claim, ReleaseStep, RenewStep } from '../../backend.js'
import { type Database, toBytes } from './client.js'
import type { Subject } from './rows.js'

// The steps of a lock that nobody waits for, shares, watches or is to begin, in one statement each. What they cannot do they leave to the
// longer way, having changed nothing.

const TAKE = `INSERT INTO soloist_alone (name, owner, fence, expires_ms, meta, client)
  SELECT ?1, ?2, ?3, ?4, ?5, ?7
  WHERE NOT EXISTS (SELECT 1 FROM soloist_waiting WHERE name = ?1)
    AND NOT EXISTS (SELECT 1 FROM soloist_shared WHERE name = ?1)
    AND NOT EXISTS (SELECT 1 FROM soloist_grant WHERE name = ?1)
    AND NOT EXISTS (SELECT 1 FROM soloist_run WHERE name = ?1)`
const ONCE = ' AND NOT EXISTS (SELECT 1 FROM soloist_outcome WHERE name = ?1 AND owner = ?2)'
const OR_RAN_OUT = `
  ON CONFLICT (name) DO UPDATE
    SET owner = excluded.owner, fence = excluded.fence, expires_ms = excluded.expires_ms, meta = excluded.meta,
        client = excluded.client
    WHERE expires_ms <= ?6`
const TAKE_ANEW = TAKE + OR_RAN_OUT
const TAKE_ONCE = TAKE + ONCE + OR_RAN_OUT

/**
 * Takes a free lock, or one whose lease has run out, alone.
 *
 * @param once not where this owner's claim is over, of which something is kept: it may have been displaced
 * @returns its fence; `null`: it is not as free as that
 */
export function takeFree(
  db: Database,
  claim: Claim,
  at: Subject,
  client: Uint8Array | null,
  once: boolean,
): number | null {
  const { owner, ttlMs, meta } = claim
  const { key, nowMs, fences } = at
  const fence = fences.peek()
  const expiresMs = ttlMs === null ? null : nowMs + ttlMs
  const note = meta === null ? null : toBytes(meta)
  const sql = once ? TAKE_ONCE : TAKE_ANEW
  if (db.run(sql, key, toBytes(owner), fence, expiresMs, note, nowMs, client) === 0) return null
  return fences.next()
}

const GIVE = `DELETE FROM soloist_alone
  WHERE name = ?1 AND owner = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)
    AND NOT EXISTS (SELECT 1 FROM soloist_waiting WHERE name = ?1)
    AND NOT EXISTS (SELECT 1 FROM soloist_grant WHERE name = ?1)
    AND NOT EXISTS (SELECT 1 FROM soloist_watcher WHERE name = ?1)
    AND NOT EXISTS (SELECT 1 FROM soloist_run WHERE name = ?1)`

/** Gives back what is held alone, for nobody else. @returns whether that was all there was to do */
export function giveFree(db: Database, { owner, result }: ReleaseStep, { key, nowMs }: Subject): boolean {
  return result === null && db.run(GIVE, key, toBytes(owner), nowMs) > 0
}

const KEEP = `UPDATE soloist_alone SET expires_ms = ?4, client = ?5
  WHERE name = ?1 AND owner = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)
    AND NOT EXISTS (SELECT 1 FROM soloist_grant WHERE name = ?1)
  RETURNING fence`

/** Starts the ttl of what is held alone again. @returns its fence; `null`: it is not held so */
export function keepFree(db: Database, step: RenewStep, at: Subject, client: Uint8Array | null): number | null {
  const { owner, ttlMs } = step
  const { key, nowMs } = at
  const row = db.get(KEEP, key, toBytes(owner), nowMs, ttlMs === null ? null : nowMs + ttlMs, client)
  return (row?.fence as number | undefined) ?? null
}
