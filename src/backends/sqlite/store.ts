import type {
  AcquireAnswer,
  AcquireStep,
  Answer,
  Answers,
  Claim,
  ClaimId,
  ReleaseStep,
  RenewAnswer,
  RenewStep,
  Step,
  WatchReply,
} from '../../backend.js'
import { wallMs } from '../../internal/real-time.js'
import { claimOf } from '../../internal/step-names.js'
import { boundTo, busy } from './answers.js'
import { bytes, type Database, text, toBytes } from './client.js'
import { Fences } from './fences.js'
import { giveFree, keepFree, takeFree } from './free.js'
import { dropGone, forgetProcesses } from './gone.js'
import { dueLocks } from './pending.js'
import {
  advance,
  dequeue,
  dropSilentClaim,
  dropSilentClients,
  enqueue,
  isWaitedFor,
  isWaitedForDurably,
  markAlive,
  moveTo,
  ticketOf,
} from './queue.js'
import {
  addWatcher,
  displacedBy,
  dropResults,
  dropWatchers,
  type End,
  end,
  isLive,
  keep,
  kept,
  removeWatcher,
} from './results.js'
import { type Caller, expire, extend, fits, type Grant, hold, present, removeHolder, type Subject } from './rows.js'
import { begin, trigger } from './triggers.js'

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
    const grants = steps.reduce((count, step) => ('claim' in step ? count + 1 : count), 0)
    const fences = new Fences(db, nowMs, grants)
    const answers = steps.map(step => {
      const name = claimOf(step).name
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
    const left = kept(db, subject, owner)
    // Who watches them finds out by looking, as of whatever other clients end.
    if (left === null) {
      dropGone(db, subject)
      // Perhaps nobody takes a step, so that nobody sweeps.
      dropSilentClaim(db, subject, owner, client)
    }
    if (left === null && isLive(db, subject, owner)) {
      addWatcher(db, subject, owner, client)
      return { status: 'live' }
    }
    removeWatcher(db, subject, owner, client)
    return left ?? { status: 'gone' }
  }

  /**
   * Removes rows that no step has come upon: leases that ran out, clients that are silent, and results whose time is
   * over. Grants what that allows, also to runs whose time has come. It looks at a bounded number of rows; the next sweep
   * goes on.
   *
   * @returns no answers; the durable claims that it granted are to be told as those of a step
   */
  sweep(db: Database): Outcome {
    const nowMs = wallMs()
    const shared = db.all('SELECT name FROM soloist_shared WHERE expires_ms <= ? LIMIT ?', nowMs, SWEEP_ROWS)
    const keys = [
      ...this.#expiredLocks(db, nowMs),
      ...shared.map(row => bytes(row.name)),
      ...dropSilentClients(db, nowMs, SWEEP_ROWS),
      ...dueLocks(db, toBytes(this.#prefix), nowMs, SWEEP_ROWS),
    ]
    const news: News[] = []
    const caller: Caller = { client: null, handed: [] }
    const fences = new Fences(db, nowMs, 1)
    for (const [rowName, key] of new Map(keys.map(key => [text(key), key]))) {
      const subject = { name: rowName.slice(this.#prefix.length), key, nowMs, fences }
      const ours = rowName.startsWith(this.#prefix)
      // Who sweeps under another prefix can tell nobody of a durable grant, so it leaves the lock to those who can.
      if (!ours && isWaitedForDurably(db, key)) continue
      expire(db, subject)
      // Clients of another prefix find theirs in the database.
      const pushed = advance(db, subject, ours ? caller : null)
      if (ours) news.push(...pushed)
    }
    forgetProcesses(db, nowMs)
    dropResults(db, nowMs, SWEEP_ROWS)
    dropWatchers(db, nowMs, SWEEP_ROWS)
    return { steps: [], handed: caller.handed, news }
  }

  /** Goes on where the last sweep stopped, and from the end to the beginning. */
  #expiredLocks(db: Database, nowMs: number): readonly Uint8Array[] {
    const sql = 'SELECT name, expires_ms FROM soloist_alone WHERE name > ? ORDER BY name LIMIT ?'
    const rows = db.all(sql, this.#sweptTo, SWEEP_LOCKS)
    const last = rows.at(-1)
    this.#sweptTo = last === undefined || rows.length < SWEEP_LOCKS ? new Uint8Array() : bytes(last.name)
    return rows.filter(row => ((row.expires_ms as number | null) ?? Infinity) <= nowMs).map(row => bytes(row.name))
  }

  #step(db: Database, step: Step, at: Subject, caller: Caller, news: News[]): Answer {
    switch (step.kind) {
      case 'acquire':
        return this.#acquire(db, step, at, caller, news)
      case 'renew':
        return this.#renew(db, step, at, caller)
      case 'release':
        return { status: 'released', held: this.#release(db, step, at, caller, news) }
      case 'trigger':
        return trigger(db, step, at, caller, news)
      case 'begin':
        return begin(db, step, at)
    }
  }

  #acquire(db: Database, step: AcquireStep, at: Subject, caller: Caller, news: News[]): AcquireAnswer {
    const { claim, ticket, replaces } = step
    const { key, nowMs } = at
    const client = boundTo(caller, claim)
    const again = typeof ticket === 'number'
    const free = claim.mode === 'exclusive' ? takeFree(db, claim, at, client, again) : null
    if (free !== null) return { status: 'granted', fence: free }

    news.push(...dropGone(db, at))
    let here = expire(db, at)
    let waitedFor = isWaitedFor(db, key)
    if (waitedFor) {
      if (ticket !== null) markAlive(db, caller.client ?? '', nowMs)
      news.push(...advance(db, at, caller, claim.owner))
      here = present(db, key)
      waitedFor = isWaitedFor(db, key)
    }
    const held = here.count === 0 ? null : extend(db, claim.owner, claim.ttlMs, at, client)
    if (held !== null) return { status: 'granted', fence: held }
    const place = waitedFor ? ticketOf(db, key, claim.owner) : null
    if (again && place === null && displacedBy(db, at, claim.owner) !== null) return busy(db, at, here, null, false)
    const isAlike = here.exclusive === (claim.mode === 'exclusive')
    if (replaces !== null && isAlike && removeHolder(db, at, replaces)) {
      if (waitedFor) dequeue(db, at, claim.owner)
      news.push(...end(db, at, replaces))
      return { status: 'granted', fence: hold(db, claim, at, client) }
    }
    const other = replaces === null || ticket === null ? null : ticketOf(db, key, replaces)
    if (replaces !== null && other !== null && (place === null || other < place)) {
      if (place === null) enqueue(db, claim, caller.client ?? '', at, other)
      else moveTo(db, key, claim.owner, other)
      dequeue(db, at, replaces)
      news.push(...end(db, at, replaces))
      return this.#queued(db, claim, at, caller, other, false, news)
    }
    if (!waitedFor && fits(here, claim.mode, claim.limit))
      return { status: 'granted', fence: hold(db, claim, at, client) }
    if (ticket === null) return busy(db, at, here, null, false)

    if (place !== null) return busy(db, at, here, place, false)
    const ticketNow = enqueue(db, claim, caller.client ?? '', at, ticket)
    if (ticket === 'new') return busy(db, at, here, ticketNow, false)
    return this.#queued(db, claim, at, caller, ticketNow, true, news)
  }

  /** The answer to a claim that has a place now: that may be an old one, before a claim that does not fit. */
  #queued(
    db: Database,
    claim: Claim,
    at: Subject,
    caller: Caller,
    ticket: number,
    requeued: boolean,
    news: News[],
  ): AcquireAnswer {
    news.push(...advance(db, at, caller, claim.owner))
    const granted = extend(db, claim.owner, claim.ttlMs, at, boundTo(caller, claim))
    return granted === null
      ? busy(db, at, present(db, at.key), ticket, requeued)
      : { status: 'granted', fence: granted }
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
    const held = removeHolder(db, at, owner)
    const waited = dequeue(db, at, owner)
    if (held && result !== null) keep(db, at, owner, { status: 'result', text: result.text }, result.keepMs)
    if (held || waited) news.push(...end(db, at, owner))
    news.push(...advance(db, at, caller))
    return held
  }
}
