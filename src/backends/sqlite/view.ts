import type { ClaimMode, Holder, LockState, Waiter } from '../../backend.js'
import { wallMs } from '../../internal/real-time.js'
import { type Database, type Row, text, toBytes } from './client.js'
import type { End } from './results.js'
import { ALIVE_MS, type Grant, limitOf } from './rows.js'

/** How many waiters a `LockState` lists. */
const SHOWN_WAITERS = 100
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
    const holders = db.all(
      `SELECT owner, exclusive, fence, acquired_ms, expires_ms, meta FROM soloist_holder
       WHERE name = ? AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY fence`,
      key,
      atMs,
    )
    const aliveMs = atMs - ALIVE_MS
    const { count } = db.get(
      'SELECT count(*) AS count FROM soloist_waiter JOIN soloist_client USING (client) WHERE name = ? AND seen_ms >= ?',
      key,
      aliveMs,
    ) as Row
    if (holders.length === 0 && count === 0) return null
    const waiters = db.all(
      `SELECT owner, exclusive, ticket, meta FROM soloist_waiter JOIN soloist_client USING (client)
       WHERE name = ? AND seen_ms >= ? ORDER BY ticket, id LIMIT ?`,
      key,
      aliveMs,
      SHOWN_WAITERS,
    )
    return {
      name,
      holders: holders.map(holderOf),
      waiting: count as number,
      waiters: waiters.map(waiterOf),
      limit: limitOf(db, key) ?? null,
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
      `SELECT name FROM soloist_holder WHERE name >= ? AND name < ?
       UNION SELECT name FROM soloist_waiter WHERE name >= ? AND name < ? ORDER BY name LIMIT ?`,
      from,
      end,
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
    const rows = db.all(
      `SELECT name, owner, fence, exclusive, most FROM soloist_holder LEFT JOIN soloist_limit USING (name)
       WHERE client = ? AND pushed = 1`,
      toBytes(client),
    )
    const mine = rows.filter(row => text(row.name).startsWith(this.#prefix))
    return mine.map(row => ({
      type: 'granted',
      name: this.#nameOf(row),
      owner: text(row.owner),
      fence: row.fence as number,
      mode: modeOf(row),
      limit: modeOf(row) === 'shared' ? (row.most as number | null) : null,
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

function holderOf(row: Row): Holder {
  return {
    owner: text(row.owner),
    mode: modeOf(row),
    fence: row.fence as number,
    acquiredAtMs: row.acquired_ms as number,
    expiresAtMs: row.expires_ms as number | null,
    meta: metaOf(row),
  }
}

function waiterOf(row: Row): Waiter {
  const waitingSinceMs = Math.floor((row.ticket as number) / 1000)
  return { owner: text(row.owner), mode: modeOf(row), waitingSinceMs, meta: metaOf(row) }
}

function modeOf(row: Row): ClaimMode {
  return row.exclusive === 1 ? 'exclusive' : 'shared'
}

function metaOf(row: Row): string | null {
  return row.meta === null ? null : text(row.meta)
}
