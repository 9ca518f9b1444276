import type { Holder, LockState, PendingRun, Waiter } from '../../backend.js'
import { wallMs } from '../../internal/real-time.js'
import { bytes, type Database, type Row, text, toBytes } from './client.js'
import { pendingOf, WAITS } from './pending.js'
import type { End } from './results.js'
import { ALIVE_MS, type Grant, isHeldBy } from './rows.js'

/** How many holders and how many waiters a `LockState` shows. */
const SHOWN = 100
/** How many locks one read of `list` covers. */
const PAGE = 100

/** The steps that only look. */
export class View {
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /**
   * To be run in one read transaction, so that all parts are of one moment. Leaves out what a step would take away:
   * leases that ran out and waiters whose clients fell silent.
   */
  inspect(db: Database, name: string): LockState | null {
    const key = toBytes(this.#prefix + name)
    const atMs = wallMs()
    const { holding } = db.get(COUNT_HOLDERS, key, atMs) as Row
    const aliveMs = atMs - ALIVE_MS
    const { waiting } = db.get(`SELECT count(*) AS waiting FROM ${WAITING}`, key, aliveMs) as Row
    if (holding === 0 && waiting === 0) return null
    const sql = `SELECT owner, exclusive, most, ticket, meta, durable FROM ${WAITING} ORDER BY ticket, id LIMIT ?3`
    const waiters = db.all(sql, key, aliveMs, SHOWN)
    return {
      name,
      holding: holding as number,
      holders: db.all(FIRST_HOLDERS, key, atMs, SHOWN).map(holderOf),
      pending: pendingRun(db, key, atMs, waiters[0]),
      waiting: waiting as number,
      waiters: waiters.map(waiterOf),
      atMs,
    }
  }

  /** Where the first page of the locks whose name starts with `prefix` begins. */
  firstPage(prefix: string): Uint8Array {
    return toBytes(this.#prefix + prefix)
  }

  /**
   * One page of the locks whose name starts with `prefix`, in the order of their bytes. To be run in one read
   * transaction.
   *
   * @returns their states, and where the next page begins; `null`: this was the last
   */
  page(db: Database, prefix: string, from: Uint8Array): { states: readonly LockState[]; next: Uint8Array | null } {
    const end = endOfRange(toBytes(this.#prefix + prefix))
    const rows = db.all(
      `SELECT name FROM soloist_alone WHERE name >= ?1 AND name < ?2
       UNION SELECT name FROM soloist_shared WHERE name >= ?1 AND name < ?2
       UNION SELECT name FROM soloist_waiting WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3`,
      from,
      end,
      PAGE,
    )
    const states = rows.map(row => this.inspect(db, this.#nameOf(row))).filter(state => state !== null)
    const last = rows.at(-1)
    return { states, next: last === undefined || rows.length < PAGE ? null : following(text(last.name)) }
  }

  /** The grants that were pushed to this client and that it has not confirmed. */
  granted(db: Database, client: string): readonly Grant[] {
    const rows = db.all(UNCONFIRMED, toBytes(client))
    const mine = rows.filter(row => text(row.name).startsWith(this.#prefix))
    return mine.map(row => ({
      type: 'granted',
      name: this.#nameOf(row),
      owner: text(row.owner),
      fence: row.fence as number,
      client,
    }))
  }

  /** The claims this client watched that are over, as long as it has not asked about them. */
  ended(db: Database, client: string): readonly End[] {
    const rows = db.all('SELECT name, owner FROM soloist_watcher WHERE client = ? AND ended = 1', toBytes(client))
    const mine = rows.filter(row => text(row.name).startsWith(this.#prefix))
    return mine.map(row => ({ type: 'ended', name: this.#nameOf(row), owner: text(row.owner), client }))
  }

  #nameOf(row: Row): string {
    return text(row.name).slice(this.#prefix.length)
  }
}

/** The bytes right behind these: nothing can come between. */
function following(rowName: string): Uint8Array {
  return toBytes(`${rowName}\0`)
}

/** The first bytes behind everything that starts with `start`; no UTF-8 holds the byte 0xff. */
function endOfRange(start: Uint8Array): Uint8Array {
  const last = start.at(-1)
  if (last === undefined) return Uint8Array.of(0xff)
  const end = Uint8Array.from(start)
  end[end.length - 1] = last + 1
  return end
}

/** Claims that are durable, or whose clients are alive. */
const WAITING = `soloist_waiting LEFT JOIN soloist_client USING (client)
  WHERE name = ?1 AND (durable = 1 OR seen_ms >= ?2)`

const WAITS_STILL = `SELECT 1 FROM ${WAITING} AND owner = ?3`

/** The run that would be the pending one for the next step. */
function pendingRun(db: Database, key: Uint8Array, atMs: number, head: Row | undefined): PendingRun | null {
  const pending = pendingOf(db, key)
  if (pending !== null) {
    const owner = toBytes(pending.owner)
    const stands = isHeldBy(db, { key, nowMs: atMs }, owner) || db.get(WAITS_STILL, key, atMs - ALIVE_MS, owner)
    if (stands) return shownRun(db, key, pending)
  }
  const next = head && db.get(NEXT_RUN, key, bytes(head.owner))
  return next === undefined ? null : shownRun(db, key, { owner: text(head?.owner), notBeforeMs: null })
}

function shownRun(
  db: Database,
  key: Uint8Array,
  { owner, notBeforeMs }: Pick<PendingRun, 'owner' | 'notBeforeMs'>,
): PendingRun {
  const sql = 'SELECT count(*) AS notes FROM soloist_note WHERE name = ? AND run = ?'
  return { owner, notes: (db.get(sql, key, toBytes(owner)) as Row).notes as number, notBeforeMs }
}

const NEXT_RUN = `SELECT 1 FROM soloist_run WHERE name = ? AND owner = ? AND state = ${WAITS}`

const STANDS = '(expires_ms IS NULL OR expires_ms > ?2)'

const COUNT_HOLDERS = `SELECT
  (SELECT count(*) FROM soloist_alone WHERE name = ?1 AND ${STANDS}) +
  (SELECT count(*) FROM soloist_shared WHERE name = ?1 AND ${STANDS}) AS holding`

const FIRST_HOLDERS = `SELECT owner, 1 AS exclusive, NULL AS most, fence, expires_ms, meta
    FROM soloist_alone WHERE name = ?1 AND ${STANDS}
  UNION ALL SELECT owner, 0, most, fence, expires_ms, meta FROM soloist_shared WHERE name = ?1 AND ${STANDS}
  ORDER BY fence LIMIT ?3`

/** A grant stands as long as its fence is that of a holder. */
const UNCONFIRMED = `SELECT name, owner, fence FROM soloist_grant AS pushed WHERE client = ? AND (
    EXISTS (SELECT 1 FROM soloist_alone AS held WHERE held.name = pushed.name AND held.fence = pushed.fence) OR
    EXISTS (SELECT 1 FROM soloist_shared AS held WHERE held.name = pushed.name AND held.fence = pushed.fence))`

function holderOf(row: Row): Holder {
  const fence = row.fence as number
  return {
    ...claimOf(row),
    fence,
    // A fence starts from the moment of its grant, in microseconds.
    acquiredAtMs: Math.floor(fence / 1000),
    expiresAtMs: row.expires_ms as number | null,
  }
}

function waiterOf(row: Row): Waiter {
  return { ...claimOf(row), waitingSinceMs: Math.floor((row.ticket as number) / 1000), durable: row.durable === 1 }
}

function claimOf(row: Row): Pick<Holder, 'owner' | 'mode' | 'limit' | 'meta'> {
  return {
    owner: text(row.owner),
    mode: row.exclusive === 1 ? 'exclusive' : 'shared',
    limit: row.most as number | null,
    meta: row.meta === null ? null : text(row.meta),
  }
}
