import type { BeginAnswer, BeginStep, Seen, SeenRun, TriggerAnswer, TriggerStep } from '../../backend.js'
import { boundTo, busy, firstHolder } from './answers.js'
import { type Database, text, toBytes } from './client.js'
import { takeFree } from './free.js'
import { dropGone } from './gone.js'
import {
  addNote,
  addRun,
  beginRun,
  dueMs,
  endedUnbegun,
  forgetUnbegun,
  notedWith,
  PENDING,
  type Pending,
  pendingOf,
  putOff,
  takeBack,
  WAITS,
} from './pending.js'
import {
  advance,
  dequeue,
  dropSilentRun,
  enqueue,
  headOf,
  markAlive,
  nextRun,
  ticketInFront,
  ticketOf,
} from './queue.js'
import { displacedBy, end, keep, kept } from './results.js'
import { type Caller, expire, extend, fits, hold, isHeldBy, present, removeHolder, type Subject } from './rows.js'
import type { News } from './store.js'

const NOBODY: Seen = { running: null, pending: null, waiting: null }

export function trigger(db: Database, step: TriggerStep, at: Subject, caller: Caller, news: News[]): TriggerAnswer {
  const { claim, note, begins, debounce, without } = step
  const { owner } = claim
  const { key, nowMs } = at
  const client = boundTo(caller, claim)
  if (claim.mode === 'exclusive' && debounce === null && without === null) {
    const fence = takeFree(db, claim, at, client, true)
    if (fence !== null) {
      if (begins) addRun(db, at, owner, PENDING, note)
      return { status: 'granted', fence, seen: NOBODY, pending: begins }
    }
  }

  markAlive(db, caller.client ?? '', nowMs)
  news.push(...dropGone(db, at))
  expire(db, at)
  dropSilentRun(db, at)
  if (without !== null && [removeHolder(db, at, without), dequeue(db, at, without)].includes(true)) {
    news.push(...end(db, at, without))
  }
  news.push(...advance(db, at, caller, owner))
  const pending = pendingOf(db, key)
  const seen = seenBy(db, at, pending, owner)

  const before = repeated(db, step, at, client, seen)
  if (before !== null) return before

  const free = headOf(db, key) === undefined && fits(present(db, key), claim.mode, claim.limit)
  if (free && debounce === null) {
    const fence = hold(db, claim, at, client)
    if (begins) {
      addRun(db, at, owner, pending === null ? PENDING : WAITS, note)
      if (pending !== null) beginRun(db, key, toBytes(owner))
    }
    return { status: 'granted', fence, seen, pending: begins && pending === null }
  }
  const action = pending !== null ? step.pending : free ? 'follow' : step.running
  if (action === 'meet') return { status: 'met', seen, noted: null }
  if (action === 'wait') {
    const place = enqueue(db, claim, caller.client ?? '', at, 'new')
    if (begins) {
      addRun(db, at, owner, WAITS, note)
      nextRun(db, key)
    }
    return queued(db, at, place, seen)
  }
  if (pending === null) {
    const place = enqueue(db, claim, caller.client ?? '', at, 'new')
    addRun(db, at, owner, PENDING, note, dueMs(debounce, nowMs, nowMs))
    return queued(db, at, place, seen)
  }
  if (action === 'follow') {
    const run = toBytes(pending.owner)
    if (note !== null) addNote(db, key, run, toBytes(owner), note)
    const due = dueMs(debounce, pending.firstMs, nowMs)
    if (due !== null && !isHeldBy(db, at, run)) putOff(db, key, pending.owner, due)
    return { status: 'met', seen, noted: pending.owner }
  }
  return displace(db, step, at, caller, pending, seen, news)
}

/** The answer to a trigger that was made before; `null`: it was not. */
function repeated(
  db: Database,
  { claim }: TriggerStep,
  at: Subject,
  client: Uint8Array | null,
  seen: Seen,
): TriggerAnswer | null {
  const { owner, ttlMs } = claim
  const fence = extend(db, owner, ttlMs, at, client)
  if (fence !== null) return { status: 'granted', fence, seen, pending: pendingOf(db, at.key)?.owner === owner }
  const ticket = ticketOf(db, at.key, owner)
  if (ticket !== null) return queued(db, at, ticket, seen)
  const by = displacedBy(db, at, owner)
  if (by !== null) return { status: 'displaced', by }
  forgetUnbegun(db, at.key, toBytes(owner))
  const noted = notedWith(db, at.key, owner)
  return noted === null ? null : { status: 'met', seen, noted }
}

/** The trigger's claim takes the place of the pending run: its ticket, or the lock that it holds. */
function displace(
  db: Database,
  step: TriggerStep,
  at: Subject,
  caller: Caller,
  pending: Pending,
  seen: Seen,
  news: News[],
): TriggerAnswer {
  const { claim, note, begins, debounce, keepMs } = step
  const { owner } = claim
  const { key, nowMs } = at
  const client = boundTo(caller, claim)
  const ticket = ticketOf(db, key, pending.owner)
  const due = dueMs(debounce, pending.firstMs, nowMs) ?? pending.notBeforeMs
  if (ticket === null) removeHolder(db, at, pending.owner)
  else dequeue(db, at, pending.owner)
  keep(db, at, pending.owner, { status: 'displaced', by: owner }, keepMs)
  news.push(...end(db, at, pending.owner))

  if (ticket === null && debounce === null && fits(present(db, key), claim.mode, claim.limit)) {
    const fence = hold(db, claim, at, client)
    if (begins) addRun(db, at, owner, PENDING, note, null, pending.firstMs)
    else nextRun(db, key)
    return { status: 'granted', fence, seen, pending: begins }
  }
  const place = enqueue(db, claim, caller.client ?? '', at, ticket ?? ticketInFront(db, at))
  addRun(db, at, owner, PENDING, note, due, pending.firstMs)
  // It may fit where the run before did not.
  news.push(...advance(db, at, caller, owner))
  const fence = extend(db, owner, claim.ttlMs, at, client)
  return fence === null ? queued(db, at, place, seen) : { status: 'granted', fence, seen, pending: true }
}

export function begin(db: Database, { owner, takesBack }: BeginStep, at: Subject): BeginAnswer {
  const run = toBytes(owner)
  if (isHeldBy(db, at, run) || (takesBack !== undefined && ticketOf(db, at.key, owner) !== null)) {
    const notes = takesBack === undefined ? beginRun(db, at.key, run) : takeBack(db, at.key, run, takesBack)
    nextRun(db, at.key)
    return { status: 'begun', notes }
  }
  if (takesBack !== undefined && endedUnbegun(db, at, run)) return { status: 'displaced', by: '' }
  const left = kept(db, at, owner)
  return left?.status === 'displaced' ? left : { status: 'lost' }
}

function queued(db: Database, at: Subject, ticket: number, seen: Seen): TriggerAnswer {
  return { ...busy(db, at, present(db, at.key), ticket, false), seen }
}

/** What stands before a trigger's claim. The claim itself, which a repeated trigger finds, is left out. */
function seenBy(db: Database, { key, nowMs }: Subject, pending: Pending | null, asking: string): Seen {
  const holder = firstHolder(db, key)
  const head = headOf(db, key)
  const first = head === undefined ? null : text(head.owner)
  const run = (owner: string, sinceMs: number): SeenRun | null =>
    owner === asking ? null : { owner, ageMs: Math.max(nowMs - sinceMs, 0) }
  return {
    running: holder === null || holder.owner === pending?.owner ? null : run(holder.owner, holder.sinceMs),
    pending: pending === null ? null : run(pending.owner, pending.sinceMs),
    waiting:
      head === undefined || first === null || first === pending?.owner
        ? null
        : run(first, (head.since_ms as number | null) ?? Math.floor((head.ticket as number) / 1000)),
  }
}
