import type {
  AcquireOptions,
  AcquireReply,
  Claim,
  ClaimMode,
  GrantEvent,
  KeptResult,
  LockState,
  PushedGrant,
  RenewReply,
  WatchReply,
} from '../../backend.js'
import { type Clock, systemClock } from '../../internal/clock.js'
import { soon } from '../../internal/real-time.js'
import { TicketQueue } from '../../internal/ticket-queue.js'

/** How long a pushed grant stands unconfirmed. */
const GRANT_MS = 5_000
/** A client that was silent for this long does not wait any more. */
const ALIVE_MS = 12_000
/** How many waiters a `LockState` lists. */
const SHOWN_WAITERS = 100
/** Below this many locks nobody looks for those that ran out unnoticed. */
const SWEEP_FROM = 1_024

interface Held {
  readonly owner: string
  readonly mode: ClaimMode
  readonly fence: number
  readonly acquiredAtMs: number
  /** `Infinity`: never. */
  expiresAtMs: number
  readonly meta: string | null
}

/** What is known of one claim to those who watch it: who they are, or what it left. */
interface Watched {
  /** When each watching client last asked. */
  readonly seenAtMs: Map<string, number>
  result: { readonly text: string; readonly untilMs: number } | null
}

interface Lock {
  /** In the order they were granted. */
  readonly holders: Map<string, Held>
  /** No holder runs out before this. */
  soonestExpiryMs: number
  readonly queue: TicketQueue<Claim>
  /** When each client that waits here was last heard of. */
  readonly seenAtMs: Map<string, number>
  /** What the shared claims agreed on; `undefined` before the first. */
  limit: number | null | undefined
}

/**
 * The reference for what every backend does: one datastore in this process's memory. Several backends may share one,
 * as several clients share a server.
 */
export class MemoryStore {
  readonly #clock: Clock
  readonly #locks = new Map<string, Lock>()
  readonly #listeners = new Map<string, (event: GrantEvent) => void>()
  /** By name and owner. */
  readonly #watched = new Map<string, Watched>()
  #lastFence = 0
  #sweepAt = SWEEP_FROM
  #sweepWatchedAt = SWEEP_FROM

  /** @param clock judges what has run out, by its wall time; default: the system's */
  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** Whole milliseconds, also where a clock of the application's counts parts of them. */
  #nowMs(): number {
    return Math.floor(this.#clock.wallMs())
  }

  subscribe(client: string, listener: (event: GrantEvent) => void): void {
    this.#listeners.set(client, listener)
  }

  unsubscribe(client: string): void {
    this.#listeners.delete(client)
  }

  acquire(claim: Claim, options: AcquireOptions): AcquireReply {
    const { ticket, replaces } = options
    const lock = this.#locks.get(claim.name) ?? this.#newLock(claim.name)
    if (ticket !== undefined) this.#heard(lock, claim.client)
    this.#catchUp(lock, claim.owner)

    const mine = this.#heldBy(lock, claim)
    if (mine !== undefined) return this.#extended(lock, mine, claim.ttlMs)
    if (replaces !== undefined && lock.holders.get(replaces)?.mode === 'exclusive') {
      lock.holders.delete(replaces)
      this.#end({ name: claim.name, owner: replaces }, null)
      return this.#hold(lock, claim, claim.ttlMs)
    }
    if (this.#idle(lock)) lock.limit = undefined
    if (claim.mode === 'shared' && lock.limit !== undefined && lock.limit !== claim.limit) {
      return { status: 'limit', limit: lock.limit }
    }
    if (lock.queue.size === 0 && this.#fits(lock, claim)) return this.#hold(lock, claim, claim.ttlMs)
    if (ticket === undefined) return { status: 'busy', ...this.#hint(lock), ticket: null, requeued: false }

    const requeued = ticket !== 'new' && !lock.queue.has(claim.owner)
    const place = lock.queue.ticketOf(claim.owner) ?? this.#enqueue(lock, claim, ticket)
    // An old ticket may stand before one that does not fit.
    this.#advance(lock, claim.owner)
    const granted = this.#heldBy(lock, claim)
    if (granted !== undefined) return this.#extended(lock, granted, claim.ttlMs)
    return { status: 'busy', ...this.#hint(lock), ticket: place, requeued }
  }

  renew(claim: Claim): RenewReply {
    const lock = this.#locks.get(claim.name)
    if (lock === undefined) return { status: 'lost' }
    this.#catchUp(lock, null)
    const mine = this.#heldBy(lock, claim)
    return mine === undefined
      ? { status: 'lost' }
      : { status: 'held', fence: this.#extended(lock, mine, claim.ttlMs).fence }
  }

  release(claim: Claim, result: KeptResult | null = null): boolean {
    const lock = this.#locks.get(claim.name)
    if (lock === undefined) return false
    this.#expire(lock)
    const released = this.#heldBy(lock, claim) !== undefined && lock.holders.delete(claim.owner)
    const left = lock.queue.delete(claim.owner)
    if (released || left) this.#end(claim, released ? result : null)
    this.#advance(lock, null)
    if (this.#idle(lock)) this.#locks.delete(claim.name)
    return released
  }

  watch(name: string, owner: string, client: string): WatchReply {
    const now = this.#nowMs()
    const key = watchKey(name, owner)
    const watched = this.#watched.get(key)
    if (watched?.result && watched.result.untilMs > now) return { status: 'result', text: watched.result.text }
    const lock = this.#locks.get(name)
    if (lock !== undefined) this.#catchUp(lock, null)
    if (lock?.holders.has(owner) || lock?.queue.has(owner)) {
      const seenAtMs = watched?.seenAtMs ?? new Map<string, number>()
      this.#watched.set(key, { seenAtMs: seenAtMs.set(client, now), result: null })
      if (this.#watched.size > this.#sweepWatchedAt) this.#sweepWatched()
      return { status: 'live' }
    }
    this.#watched.delete(key)
    return { status: 'gone' }
  }

  inspect(name: string): LockState | null {
    const lock = this.#locks.get(name)
    if (lock === undefined) return null
    this.#expire(lock)
    this.#head(lock)
    if (this.#idle(lock)) return null
    return {
      name,
      holders: [...lock.holders.values()].map(held => ({
        ...held,
        expiresAtMs: held.expiresAtMs === Infinity ? null : held.expiresAtMs,
      })),
      waiting: lock.queue.size,
      waiters: lock.queue.head(SHOWN_WAITERS).map(({ ticket, value: { owner, mode, meta } }) => ({
        owner,
        mode,
        waitingSinceMs: Math.floor(ticket / 1000),
        meta,
      })),
      limit: lock.limit ?? null,
      atMs: this.#nowMs(),
    }
  }

  names(prefix: string): readonly string[] {
    return [...this.#locks.keys()].filter(name => name.startsWith(prefix))
  }

  #newLock(name: string): Lock {
    if (this.#locks.size >= this.#sweepAt) this.#sweep()
    const lock: Lock = {
      holders: new Map(),
      soonestExpiryMs: Infinity,
      queue: new TicketQueue(),
      seenAtMs: new Map(),
      limit: undefined,
    }
    this.#locks.set(name, lock)
    return lock
  }

  /** Keeps what a claim left, and tells those who watch it. */
  #end({ name, owner }: Pick<Claim, 'name' | 'owner'>, result: KeptResult | null): void {
    const now = this.#nowMs()
    const key = watchKey(name, owner)
    const watchers = this.#watched.get(key)?.seenAtMs ?? []
    if (result === null) this.#watched.delete(key)
    else {
      const kept = { text: result.text, untilMs: now + result.keepMs }
      this.#watched.set(key, { seenAtMs: new Map(), result: kept })
      if (this.#watched.size > this.#sweepWatchedAt) this.#sweepWatched()
    }
    for (const [client, seenAtMs] of watchers) {
      if (now - seenAtMs <= ALIVE_MS) this.#tell(client, { type: 'ended', name, owner })
    }
  }

  /** Forgets results that were kept long enough, and watchers of claims that ended unnoticed. */
  #sweepWatched(): void {
    const now = this.#nowMs()
    for (const [key, { seenAtMs, result }] of this.#watched) {
      const untilMs = result?.untilMs ?? Math.max(...seenAtMs.values()) + ALIVE_MS
      if (untilMs <= now) this.#watched.delete(key)
    }
    this.#sweepWatchedAt = Math.max(this.#watched.size * 2, SWEEP_FROM)
  }

  /** Forgets locks that ran out and were never asked for again. Done when the store has doubled since the last time. */
  #sweep(): void {
    for (const [name, lock] of this.#locks) {
      this.#catchUp(lock, null)
      if (this.#idle(lock)) this.#locks.delete(name)
    }
    this.#sweepAt = Math.max(this.#locks.size * 2, SWEEP_FROM)
  }

  #idle(lock: Lock): boolean {
    return lock.holders.size === 0 && lock.queue.size === 0
  }

  #heldBy(lock: Lock, claim: Claim): Held | undefined {
    const held = lock.holders.get(claim.owner)
    return held?.mode === claim.mode ? held : undefined
  }

  /** The grant rule, apart from the queue. An exclusive holder is the only one. */
  #fits(lock: Lock, claim: Claim): boolean {
    const [some] = lock.holders.values()
    if (some === undefined) return true
    if (some.mode === 'exclusive' || claim.mode === 'exclusive') return false
    return claim.limit === null || lock.holders.size < claim.limit
  }

  /** Removes what has run out and grants what that allows. */
  #catchUp(lock: Lock, asking: string | null): void {
    this.#expire(lock)
    this.#advance(lock, asking)
  }

  #expire(lock: Lock): void {
    const now = this.#nowMs()
    if (now < lock.soonestExpiryMs) return
    lock.soonestExpiryMs = Infinity
    for (const held of lock.holders.values()) {
      if (held.expiresAtMs <= now) lock.holders.delete(held.owner)
      else lock.soonestExpiryMs = Math.min(lock.soonestExpiryMs, held.expiresAtMs)
    }
  }

  #hold(lock: Lock, claim: Claim, ttlMs: number | null): { status: 'granted'; fence: number } {
    const now = this.#nowMs()
    // One counter for all locks: rising for the store is rising for each.
    this.#lastFence = Math.max(this.#lastFence + 1, Math.floor(now * 1000))
    const { owner, mode, meta } = claim
    const held = { owner, mode, meta, fence: this.#lastFence, acquiredAtMs: now, expiresAtMs: Infinity }
    lock.queue.delete(owner)
    lock.holders.set(owner, held)
    if (mode === 'shared') lock.limit = claim.limit
    return this.#extended(lock, held, ttlMs)
  }

  /** Starts the holder's ttl again. */
  #extended(lock: Lock, held: Held, ttlMs: number | null): { status: 'granted'; fence: number } {
    held.expiresAtMs = ttlMs === null ? Infinity : this.#nowMs() + ttlMs
    lock.soonestExpiryMs = Math.min(lock.soonestExpiryMs, held.expiresAtMs)
    return { status: 'granted', fence: held.fence }
  }

  #enqueue(lock: Lock, claim: Claim, wanted: 'new' | number): number {
    const ticket = wanted === 'new' ? Math.max(lock.queue.highest + 1, this.#nowMs() * 1000) : wanted
    lock.queue.add(claim.owner, ticket, claim)
    if (claim.mode === 'shared') lock.limit = claim.limit
    return ticket
  }

  /** Grants what the head of the queue allows, and tells whom it was granted, except who is asking right now. */
  #advance(lock: Lock, asking: string | null): void {
    for (let claim = this.#head(lock); claim !== undefined; claim = this.#head(lock)) {
      if (!this.#fits(lock, claim)) return
      const { fence } = this.#hold(lock, claim, GRANT_MS)
      if (claim.owner !== asking) this.#push(claim, fence)
    }
  }

  /** The first claim that waits, without those before it whose clients have gone. */
  #head(lock: Lock): Claim | undefined {
    for (let claim = lock.queue.first(); claim !== undefined; claim = lock.queue.first()) {
      if (this.#waits(lock, claim.client)) return claim
      lock.queue.delete(claim.owner)
    }
    return undefined
  }

  /** The client waits for this lock and is alive. */
  #heard(lock: Lock, client: string): void {
    if (lock.queue.size === 0) lock.seenAtMs.clear()
    lock.seenAtMs.set(client, this.#nowMs())
  }

  /** Whether the client is there and was heard of lately. */
  #waits(lock: Lock, client: string): boolean {
    const silentMs = this.#nowMs() - (lock.seenAtMs.get(client) ?? -Infinity)
    return this.#listeners.has(client) && silentMs <= ALIVE_MS
  }

  #push({ name, owner, client, mode, limit }: Claim, fence: number): void {
    const event: PushedGrant = { type: 'granted', name, owner, fence, mode, limit }
    this.#tell(client, event)
  }

  #tell(client: string, event: GrantEvent): void {
    soon(() => this.#listeners.get(client)?.(event))
  }

  #hint(lock: Lock): { holder: string | null; retryAfterMs: number | null } {
    const [first] = lock.holders.values()
    let soonest = Infinity
    for (const { expiresAtMs } of lock.holders.values()) soonest = Math.min(soonest, expiresAtMs)
    const retryAfterMs = soonest === Infinity ? null : Math.max(soonest - this.#nowMs(), 1)
    return { holder: first?.owner ?? null, retryAfterMs }
  }
}

/** Names and owners may hold anything, so their lengths keep two of them apart. */
function watchKey(name: string, owner: string): string {
  return `${name.length} ${name}${owner}`
}
