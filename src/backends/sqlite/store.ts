import type {
  AcquireAnswer,
  AcquireStep,
  Answer,
  Answers,
  Busy,
  Claim,
  ClaimId,
  ReleaseStep,
  RenewAnswer,
  RenewStep,
  Step,
  WatchReply,
} from '../../backend.js'
import { wallMs } from '../../internal/real-time.js'
import { bytes, type Database, text, toBytes } from './client.js'
import { Fences } from './fences.js'
import { giveFree, keepFree, takeFree } from './free.js'
import { dropGone, forgetProcesses } from './gone.js'
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
  type Caller,
  dequeue,
  enqueue,
  expire,
  extend,
  fits,
  forgetClient,
  type Grant,
  hold,
  isWaitedFor,
  markAlive,
  type Present,
  present,
  removeHolder,
  type Subject,
} from './rows.js'

/** How many rows of each kind one sweep looks at. */
const SWEEP_ROWS = 64
/** How many locks one sweep looks at, whose leases may have run out. */
const SWEEP_LOCKS = 256

/** What another client is to be told of. */
export type News = Grant | End

/** What a list of steps answers, and what it brought about for others. */
export interface Outcome extends Answers {
  readonly news: readonly News[]
}

/** The changes of locks, to be made in write transactions. `MemoryStore` is the reference for them. */
export class Store {
  readonly #prefix: string
  /** The lock at which the last sweep stopped. */
  #sweptTo: Uint8Array = new Uint8Array()

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** Does the steps of one client in their order. */
  run(db: Database, client: string, steps: readonly Step[]): Outcome {
    const nowMs = wallMs()
    const caller: Caller = { client, handed: [] }
    const news: News[] = []
    const acquires = steps.reduce((count, { kind }) => (kind === 'acquire' ? count + 1 : count), 0)
    const fences = new Fences(db, nowMs, acquires)
    const answers = steps.map(step => {
      const name = step.kind === 'acquire' ? step.claim.name : step.name
      return this.#step(db, step, { name, key: toBytes(this.#prefix + name), nowMs, fences }, caller, news)
    })
    return { steps: answers, handed: caller.handed, news }
  }

  /** One release, in one statement, outside of a transaction. `null`: that was not all there was to do, and nothing is done. */
  releaseFree(db: Database, step: ReleaseStep): Outcome | null {
    const subject = { key: toBytes(this.#prefix + step.name), nowMs: wallMs() }
    return giveFree(db, step, subject) ? { steps: [{ status: 'released', held: true }], handed: [], news: [] } : null
  }

  watch(db: Database, client: string, { name, owner }: ClaimId): WatchReply {
    const subject = { name, key: toBytes(this.#prefix + name), nowMs: wallMs() }
    const result = keptResult(db, subject, owner)
    // Who watches them finds out by looking, as of whatever other clients end.
    if (result === null) dropGone(db, subject)
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
    const names = [...this.#expiredLocks(db, nowMs)]
    const shared = db.all('SELECT name FROM soloist_shared WHERE expires_ms <= ? LIMIT ?', nowMs, SWEEP_ROWS)
    names.push(...shared.map(row => text(row.name)))
    const silent = db.all('SELECT client FROM soloist_client WHERE seen_ms < ? LIMIT ?', nowMs - ALIVE_MS, SWEEP_ROWS)
    for (const { client } of silent) {
      const waiters = db.all(
        `DELETE FROM soloist_queue WHERE id IN (SELECT id FROM soloist_queue WHERE client = ? LIMIT ?)
         RETURNING name`,
        bytes(client),
        SWEEP_ROWS,
      )
      names.push(...waiters.map(row => text(row.name)))
      forgetClient(db, bytes(client))
    }
    const grants: Grant[] = []
    const fences = new Fences(db, nowMs, 1)
    for (const rowName of new Set(names)) {
      const subject = { name: rowName.slice(this.#prefix.length), key: toBytes(rowName), nowMs, fences }
      expire(db, subject)
      const pushed = advance(db, subject, null)
      // Clients of another prefix find theirs in the database.
      if (rowName.startsWith(this.#prefix)) grants.push(...pushed)
    }
    forgetProcesses(db, nowMs)
    dropResults(db, nowMs, SWEEP_ROWS)
    dropWatchers(db, nowMs, SWEEP_ROWS)
    return grants
  }

  /** Goes on where the last sweep stopped, and from the end to the beginning. */
  #expiredLocks(db: Database, nowMs: number): readonly string[] {
    const sql = 'SELECT name, expires_ms FROM soloist_lock WHERE name > ? ORDER BY name LIMIT ?'
    const rows = db.all(sql, this.#sweptTo, SWEEP_LOCKS)
    const last = rows.at(-1)
    this.#sweptTo = last === undefined || rows.length < SWEEP_LOCKS ? new Uint8Array() : bytes(last.name)
    return rows.filter(row => ((row.expires_ms as number | null) ?? Infinity) <= nowMs).map(row => text(row.name))
  }

  #step(db: Database, step: Step, at: Subject, caller: Caller, news: News[]): Answer {
    switch (step.kind) {
      case 'acquire':
        return this.#acquire(db, step, at, caller, news)
      case 'renew':
        return this.#renew(db, step, at, caller)
      case 'release':
        return { status: 'released', held: this.#release(db, step, at, caller, news) }
    }
  }

  #acquire(db: Database, step: AcquireStep, at: Subject, caller: Caller, news: News[]): AcquireAnswer {
    const { claim, ticket, replaces } = step
    const { key, nowMs } = at
    const free = claim.mode === 'exclusive' ? takeFree(db, claim, at, boundTo(caller, claim)) : null
    if (free !== null) return { status: 'granted', fence: free }

    const client = boundTo(caller, claim)
    news.push(...dropGone(db, at))
    let here = expire(db, at)
    let waitedFor = isWaitedFor(db, key)
    if (waitedFor) {
      if (ticket !== null) markAlive(db, caller.client, nowMs)
      news.push(...advance(db, at, caller, claim.owner))
      here = present(db, key)
      waitedFor = isWaitedFor(db, key)
    }
    const held = here.count === 0 ? null : extend(db, claim.owner, claim.ttlMs, at, client)
    if (held !== null) return { status: 'granted', fence: held }
    if (replaces !== null && here.exclusive && removeHolder(db, key, replaces)) {
      if (waitedFor) dequeue(db, key, claim.owner)
      news.push(...end(db, at, replaces))
      return { status: 'granted', fence: hold(db, claim, at, client) }
    }
    if (!waitedFor && fits(here, claim.mode, claim.limit))
      return { status: 'granted', fence: hold(db, claim, at, client) }
    if (ticket === null) return busy(db, at, here, null, false)

    const queued = db.get('SELECT ticket FROM soloist_queue WHERE name = ? AND owner = ?', key, toBytes(claim.owner))
    if (queued !== undefined) return busy(db, at, here, queued.ticket as number, false)
    const place = enqueue(db, claim, caller.client, at, ticket)
    if (ticket === 'new') return busy(db, at, here, place, false)
    // Its old ticket may stand before one that does not fit.
    news.push(...advance(db, at, caller, claim.owner))
    const granted = extend(db, claim.owner, claim.ttlMs, at, client)
    return granted === null ? busy(db, at, present(db, key), place, true) : { status: 'granted', fence: granted }
  }

  #renew(db: Database, step: RenewStep, at: Subject, caller: Caller): RenewAnswer {
    const client = boundTo(caller, step)
    const fence = keepFree(db, step, at, client) ?? extend(db, step.owner, step.ttlMs, at, client)
    return fence === null ? { status: 'lost' } : { status: 'held', fence }
  }

  /** @returns whether the owner held the lock until now */
  #release(db: Database, step: ReleaseStep, at: Subject, caller: Caller, news: News[]): boolean {
    if (giveFree(db, step, at)) return true
    const { owner, result } = step
    expire(db, at)
    const held = removeHolder(db, at.key, owner)
    const waited = dequeue(db, at.key, owner)
    if (held && result !== null) keep(db, at, owner, result)
    if (held || waited) news.push(...end(db, at, owner))
    news.push(...advance(db, at, caller))
    return held
  }
}

/** The client with whose process a claim ends. */
function boundTo({ client }: Caller, { endsWithProcess }: Pick<Claim, 'endsWithProcess'>): Uint8Array | null {
  return endsWithProcess === true ? toBytes(client) : null
}

function busy(db: Database, at: Subject, here: Present, ticket: number | null, requeued: boolean): Busy {
  const retryAfterMs = here.soonestMs === null ? null : Math.max(here.soonestMs - at.nowMs, 1)
  return { status: 'busy', holder: firstHolder(db, at.key), retryAfterMs, ticket, requeued }
}

function firstHolder(db: Database, key: Uint8Array): string | null {
  const row =
    db.get('SELECT owner FROM soloist_lock WHERE name = ?', key) ??
    db.get('SELECT owner FROM soloist_shared WHERE name = ? ORDER BY fence LIMIT 1', key)
  return row === undefined ? null : text(row.owner)
}
