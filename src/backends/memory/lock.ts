import type { Claim, ClaimMode, HandedGrant, LockState } from '../../backend.js'
import { TicketQueue } from '../../internal/ticket-queue.js'
import { PendingRuns } from './pending.js'

/** How many holders and how many waiters a `LockState` shows. */
const SHOWN = 100

export interface Held {
  readonly owner: string
  readonly mode: ClaimMode
  readonly limit: number | null
  readonly fence: number
  readonly acquiredAtMs: number
  /** `Infinity`: never. */
  expiresAtMs: number
  readonly meta: string | null
}

/** A claim that waits, and the client it waits for. */
export interface Waiting {
  readonly claim: Claim
  readonly client: string
  /** When it joined the queue. */
  readonly sinceMs: number
  /** Whether its owner begins its run, so that it becomes the pending run at the head of the queue where none is. */
  readonly begins: boolean
  /** What its run is told then. */
  readonly note: string | null
}

export interface Lock {
  readonly name: string
  /** In the order they were granted. */
  readonly holders: Map<string, Held>
  /** No holder runs out before this. */
  soonestExpiryMs: number
  readonly queue: TicketQueue<Waiting>
  /** When each client that waits here was last heard of. */
  readonly seenAtMs: Map<string, number>
  readonly runs: PendingRuns
}

/** Who makes a step, and the grants that are told in its answer. */
export interface Caller {
  readonly client: string
  readonly handed: HandedGrant[]
}

export function newLock(name: string): Lock {
  return {
    name,
    holders: new Map(),
    soonestExpiryMs: Infinity,
    queue: new TicketQueue(),
    seenAtMs: new Map(),
    runs: new PendingRuns(),
  }
}

export function isIdle(lock: Lock): boolean {
  return lock.holders.size === 0 && lock.queue.size === 0
}

/** The grant rule, apart from the queue. An exclusive holder is the only one. */
export function fits(lock: Lock, claim: Claim): boolean {
  const [some] = lock.holders.values()
  if (some === undefined) return true
  if (some.mode === 'exclusive' || claim.mode === 'exclusive') return false
  return claim.limit === null || lock.holders.size < claim.limit
}

/** The lock as an operator sees it. */
export function shown(lock: Lock, atMs: number): LockState {
  return {
    name: lock.name,
    holding: lock.holders.size,
    holders: first(lock.holders.values(), SHOWN).map(held => ({
      ...held,
      expiresAtMs: held.expiresAtMs === Infinity ? null : held.expiresAtMs,
    })),
    pending: lock.runs.shown(),
    waiting: lock.queue.size,
    waiters: lock.queue.head(SHOWN).map(({ ticket, value: { claim } }) => ({
      owner: claim.owner,
      mode: claim.mode,
      limit: claim.limit,
      waitingSinceMs: Math.floor(ticket / 1000),
      meta: claim.meta,
      durable: claim.durable === true,
    })),
    atMs,
  }
}

/** The first `count` of these. */
function first<T>(values: Iterable<T>, count: number): readonly T[] {
  const taken: T[] = []
  for (const value of values) if (taken.push(value) >= count) break
  return taken
}
