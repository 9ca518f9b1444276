import type { Busy, Claim } from '../../backend.js'
import { type Database, type Row, text, toBytes } from './client.js'
import { dueOf, headOf, limitOf, modeOf } from './queue.js'
import { type Caller, fits, type Present, type Subject } from './rows.js'

/** The client with whose process a claim ends. */
export function boundTo({ client }: Caller, { endsWithProcess }: Pick<Claim, 'endsWithProcess'>): Uint8Array | null {
  return endsWithProcess === true && client !== null ? toBytes(client) : null
}

export function busy(db: Database, at: Subject, here: Present, ticket: number | null, requeued: boolean): Busy {
  const whenMs = nextMs(db, at, here)
  const retryAfterMs = whenMs === null ? null : Math.max(whenMs - at.nowMs, 1)
  return { status: 'busy', holder: firstHolder(db, at.key)?.owner ?? null, retryAfterMs, ticket, requeued }
}

/** When asking again could help: nothing is granted before the head's time has come, nor before it fits. */
function nextMs(db: Database, { key, nowMs }: Subject, here: Present): number | null {
  const head = headOf(db, key)
  const dueMs = head === undefined ? -Infinity : dueOf(head)
  if (head === undefined || dueMs <= nowMs) return here.soonestMs
  if (fits(here, modeOf(head), limitOf(head))) return dueMs
  return here.soonestMs === null ? null : Math.max(here.soonestMs, dueMs)
}

/** The first holder, in the order they were granted, and since when, in epoch milliseconds; `null`: nobody holds the lock. */
export function firstHolder(
  db: Database,
  key: Uint8Array,
): { readonly owner: string; readonly sinceMs: number } | null {
  const row: Row | undefined =
    db.get('SELECT owner, fence FROM soloist_alone WHERE name = ?', key) ??
    db.get('SELECT owner, fence FROM soloist_shared WHERE name = ? ORDER BY fence LIMIT 1', key)
  // A fence starts from the moment of its grant, in microseconds.
  return row === undefined ? null : { owner: text(row.owner), sinceMs: Math.floor((row.fence as number) / 1000) }
}
