import type { Holder, LockState, PendingRun, Waiter } from '../../backend.js'
import { decode } from './text.js'

export const LOOK = 'SELECT name, state FROM soloist.look_1($1::text::text[])'
export const PAGE = 'SELECT last, array_to_json(names)::text AS names FROM soloist.page_1($1::text, $2::text, $3::text)'

type Text = string | null
type HolderFields = readonly [string, boolean, number | null, number, number | null, Text]
type WaiterFields = readonly [string, boolean, number | null, number, Text, boolean]
type RunFields = readonly [string, number, number | null]
type StateFields = readonly [number, readonly HolderFields[], RunFields | null, number, readonly WaiterFields[], number]

const text = (value: Text): Text => (value === null ? null : decode(value))
const millis = (micros: number): number => Math.floor(micros / 1000)

/** @param json as `look_1` has it */
export function stateOf(name: string, json: string): LockState {
  const [holding, holders, pending, waiting, waiters, now] = JSON.parse(json) as StateFields
  return {
    name,
    holding,
    holders: holders.map(holderOf),
    pending: pending === null ? null : pendingOf(pending),
    waiting,
    waiters: waiters.map(waiterOf),
    atMs: millis(now),
  }
}

function holderOf([owner, shared, limit, fence, until, meta]: HolderFields): Holder {
  return {
    owner: decode(owner),
    mode: shared ? 'shared' : 'exclusive',
    limit,
    fence,
    // A fence starts from the moment of its grant, in microseconds.
    acquiredAtMs: millis(fence),
    expiresAtMs: until === null ? null : millis(until),
    meta: text(meta),
  }
}

function waiterOf([owner, shared, limit, ticket, meta, durable]: WaiterFields): Waiter {
  return {
    owner: decode(owner),
    mode: shared ? 'shared' : 'exclusive',
    limit,
    waitingSinceMs: millis(ticket),
    meta: text(meta),
    durable,
  }
}

function pendingOf([owner, notes, due]: RunFields): PendingRun {
  return { owner: decode(owner), notes, notBeforeMs: due === null ? null : millis(due) }
}
