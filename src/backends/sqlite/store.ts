import type { AcquireOptions, AcquireReply, Busy, Claim, KeptResult, RenewReply, WatchReply } from '../../backend.js'
import { wallMs } from '../../internal/real-time.js'
import { bytes, type Database, text, toBytes } from './client.js'
import {
  addWatcher,
  dropResults,
  dropWatchers,
  type End,
  end,
  isLive,
  keep,
  keptResult,
  removeWatcher,
} from './results.js'
import {
  ALIVE_MS,
  advance,
  enqueue,
  expire,
  extend,
  fits,
  flag,
  forgetClient,
  forgetLimit,
  type Grant,
  hold,
  isWaitedFor,
  leave,
  limitOf,
  markAlive,
  type Present,
  present,
  type Subject,
} from './rows.js'

/** How many rows of each kind one sweep looks at. */
const SWEEP_ROWS = 64

/** What a client is to be told of. */
export type News = Grant | End

/** What a step answers, and what it brought about for others. */
export interface Outcome<T> {
  readonly reply: T
  readonly news: readonly News[]
}

/** The queued part of a busy reply. */
type Place = Pick<Busy, 'ticket' | 'requeued'>

/** The atomic steps that change a lock, each to be run in one write transaction. `MemoryStore` is their reference. */
export class Store {
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  acquire(db: Database, claim: Claim, options: AcquireOptions): Outcome<AcquireReply> {
    const { ticket, replaces } = options
    const subject = this.#subject(claim.name)
    const { key, nowMs } = subject
    let here = expire(db, subject)
    let waitedFor = isWaitedFor(db, key)
    let news: readonly News[] = []
    if (waitedFor) {
      if (ticket !== undefined) markAlive(db, claim.client, nowMs)
      news = advance(db, subject, claim.owner)
      here = present(db, key)
      waitedFor = isWaitedFor(db, key)
    }
    const granted = (fence: number) => ({ reply: { status: 'granted', fence }, news }) as const

    const held = here.count === 0 ? null : extend(db, claim, subject)
    if (held !== null) return granted(held)
    if (replaces !== undefined && removeHolder(db, key, replaces, 1)) {
      if (waitedFor) leave(db, key, claim.owner)
      news = [...news, ...end(db, subject, replaces)]
      return granted(hold(db, claim, subject))
    }
    if (claim.mode === 'shared') {
      const limit = limitOf(db, key)
      if (limit !== undefined && limit !== claim.limit) return { reply: { status: 'limit', limit }, news }
    }
    if (!waitedFor && fits(here, claim.mode, claim.limit)) return granted(hold(db, claim, subject))
    const busy = (place: Place): Outcome<AcquireReply> => ({
      reply: { status: 'busy', holder: firstHolder(db, key), retryAfterMs: retryAfter(here, nowMs), ...place },
      news,
    })
    if (ticket === undefined) return busy({ ticket: null, requeued: false })

    const queued = db.get('SELECT ticket FROM soloist_waiter WHERE name = ? AND owner = ?', key, toBytes(claim.owner))
    if (queued !== undefined) return busy({ ticket: queued.ticket as number, requeued: false })
    const place = { ticket: enqueue(db, claim, subject, ticket), requeued: ticket !== 'new' }
    if (place.requeued) {
      // Its old ticket may stand before one that does not fit.
      news = [...news, ...advance(db, subject, claim.owner)]
      const fence = extend(db, claim, subject)
      if (fence !== null) return granted(fence)
      here = present(db, key)
    }
    return busy(place)
  }

  renew(db: Database, claims: readonly Claim[]): readonly RenewReply[] {
    return claims.map(claim => {
      const fence = extend(db, claim, this.#subject(claim.name))
      return fence === null ? { status: 'lost' } : { status: 'held', fence }
    })
  }

  release(db: Database, claim: Claim, result: KeptResult | null = null): Outcome<boolean> {
    const subject = this.#subject(claim.name)
    const { key } = subject
    expire(db, subject)
    const released = removeHolder(db, key, claim.owner, flag(claim.mode))
    const left = leave(db, key, claim.owner)
    if (released && result !== null) keep(db, subject, claim.owner, result)
    const ends = released || left ? end(db, subject, claim.owner) : []
    const grants = advance(db, subject, null)
    forgetLimit(db, key)
    return { reply: released, news: [...ends, ...grants] }
  }

  watch(db: Database, name: string, owner: string, client: string): WatchReply {
    const subject = this.#subject(name)
    const result = keptResult(db, subject, owner)
    if (result === null && isLive(db, subject, owner)) {
      addWatcher(db, subject, owner, client)
      return { status: 'live' }
    }
    removeWatcher(db, subject, owner, client)
    return result === null ? { status: 'gone' } : { status: 'result', text: result }
  }

  /**
   * Removes rows that no step has come upon: leases that ran out, clients that are silent, and results whose time is
   * over. Grants what that allows. It looks at a bounded number of rows; the next sweep goes on.
   */
  sweep(db: Database): readonly Grant[] {
    const nowMs = wallMs()
    const rows = [...db.all('SELECT name FROM soloist_holder WHERE expires_ms <= ? LIMIT ?', nowMs, SWEEP_ROWS)]
    const silent = db.all('SELECT client FROM soloist_client WHERE seen_ms < ? LIMIT ?', nowMs - ALIVE_MS, SWEEP_ROWS)
    for (const { client } of silent) {
      const waiters = db.all(
        `DELETE FROM soloist_waiter WHERE id IN (SELECT id FROM soloist_waiter WHERE client = ? LIMIT ?)
         RETURNING name`,
        bytes(client),
        SWEEP_ROWS,
      )
      rows.push(...waiters)
      forgetClient(db, bytes(client))
    }
    const grants: Grant[] = []
    for (const rowName of new Set(rows.map(row => text(row.name)))) {
      const subject = { name: rowName.slice(this.#prefix.length), key: toBytes(rowName), nowMs }
      expire(db, subject)
      const pushed = advance(db, subject, null)
      // Clients of another prefix find theirs in the database.
      if (rowName.startsWith(this.#prefix)) grants.push(...pushed)
      forgetLimit(db, subject.key)
    }
    dropResults(db, nowMs, SWEEP_ROWS)
    dropWatchers(db, nowMs, SWEEP_ROWS)
    return grants
  }

  #subject(name: string): Subject {
    return { name, key: toBytes(this.#prefix + name), nowMs: wallMs() }
  }
}

function removeHolder(db: Database, key: Uint8Array, owner: string, exclusive: 0 | 1): boolean {
  const sql = 'DELETE FROM soloist_holder WHERE name = ? AND owner = ? AND exclusive = ?'
  return db.run(sql, key, toBytes(owner), exclusive) > 0
}

function firstHolder(db: Database, key: Uint8Array): string | null {
  const row = db.get('SELECT owner FROM soloist_holder WHERE name = ? ORDER BY fence LIMIT 1', key)
  return row === undefined ? null : text(row.owner)
}

function retryAfter({ soonestMs }: Present, nowMs: number): number | null {
  return soonestMs === null ? null : Math.max(soonestMs - nowMs, 1)
}
