import type {
  AcquireOptions,
  AcquireReply,
  Claim,
  ClaimMode,
  GrantEvent,
  LockState,
  PushedGrant,
  RenewReply,
} from '../../backend.js'
import type { Clock } from '../../internal/clock.js'

/** How long a pushed grant stands unconfirmed. */
export const GRANT_MS = 5_000
/** A client that was silent for this long does not wait any more. */
const ALIVE_MS = 12_000
/** How many waiters a `LockState` lists. */
const SHOWN_WAITERS = 100

interface Held {
  readonly owner: string
  readonly mode: ClaimMode
  readonly fence: number
  readonly acquiredAtMs: number
  /** `Infinity`: never. */
  expiresAtMs: number
  readonly meta: string | null
}

interface Queued {
  readonly claim: Claim
  readonly ticket: number
}

interface Lock {
  /** In the order they were granted. */
  readonly holders: Map<string, Held>
  /** By ticket, lowest first. */
  queue: Queued[]
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
  #lastFence = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  subscribe(client: string, listener: (event: GrantEvent) => void): void {
    this.#listeners.set(client, listener)
  }

  unsubscribe(client: string): void {
    this.#listeners.delete(client)
  }

  acquire(claim: Claim, options: AcquireOptions): AcquireReply {
    const lock = this.#lock(claim.name)
    const mine = this.#heldBy(lock, claim)
    if (mine !== undefined) {
      mine.expiresAtMs = this.#until(claim.ttlMs)
      return { status: 'granted', fence: mine.fence }
    }
    if (this.#idle(lock)) lock.limit = undefined
    if (claim.mode === 'shared' && lock.limit !== undefined && lock.limit !== claim.limit) {
      return { status: 'limit', limit: lock.limit }
    }
    if (options.replaces !== undefined) {
      const replaced = lock.holders.get(options.replaces)
      if (replaced?.mode === 'exclusive') {
        lock.holders.delete(options.replaces)
        return { status: 'granted', fence: this.#hold(lock, claim, claim.ttlMs).fence }
      }
    }
    if (lock.queue.length === 0 && this.#fits(lock, claim)) {
      return { status: 'granted', fence: this.#hold(lock, claim, claim.ttlMs).fence }
    }
    let ticket: number | null = null
    let requeued = false
    if (options.ticket !== undefined) {
      const queued = lock.queue.find(entry => entry.claim.owner === claim.owner)
      requeued = queued === undefined && options.ticket !== 'new'
      ticket = queued?.ticket ?? this.#enqueue(lock, claim, options.ticket)
      lock.seenAtMs.set(claim.client, this.#clock.wallMs())
    }
    this.#advance(claim.name, lock, claim.owner)
    const granted = lock.holders.get(claim.owner)
    if (granted !== undefined) {
      granted.expiresAtMs = this.#until(claim.ttlMs)
      return { status: 'granted', fence: granted.fence }
    }
    return { status: 'busy', ...this.#hint(lock), ticket, requeued }
  }

  renew(claim: Claim): RenewReply {
    const lock = this.#lock(claim.name)
    const mine = this.#heldBy(lock, claim)
    if (mine === undefined) return { status: 'lost' }
    mine.expiresAtMs = this.#until(claim.ttlMs)
    return { status: 'held', fence: mine.fence }
  }

  release(claim: Claim): boolean {
    const lock = this.#lock(claim.name)
    const released = this.#heldBy(lock, claim) !== undefined && lock.holders.delete(claim.owner)
    lock.queue = lock.queue.filter(entry => entry.claim.owner !== claim.owner)
    this.#advance(claim.name, lock, null)
    if (this.#idle(lock)) this.#locks.delete(claim.name)
    return released
  }

  inspect(name: string): LockState | null {
    const lock = this.#locks.get(name)
    if (lock === undefined) return null
    this.#expire(lock)
    if (this.#idle(lock)) return null
    return {
      name,
      holders: [...lock.holders.values()].map(held => ({
        ...held,
        expiresAtMs: held.expiresAtMs === Infinity ? null : held.expiresAtMs,
      })),
      waiting: lock.queue.length,
      waiters: lock.queue.slice(0, SHOWN_WAITERS).map(({ claim, ticket }) => ({
        owner: claim.owner,
        mode: claim.mode,
        waitingSinceMs: Math.floor(ticket / 1000),
        meta: claim.meta,
      })),
      limit: lock.limit ?? null,
      atMs: this.#clock.wallMs(),
    }
  }

  names(prefix: string): readonly string[] {
    return [...this.#locks.keys()].filter(name => name.startsWith(prefix))
  }

  /** The lock as it stands now, made when it is not there. Whoever looks first removes what has run out. */
  #lock(name: string): Lock {
    let lock = this.#locks.get(name)
    if (lock === undefined) {
      lock = { holders: new Map(), queue: [], seenAtMs: new Map(), limit: undefined }
      this.#locks.set(name, lock)
    }
    this.#expire(lock)
    return lock
  }

  #expire(lock: Lock): void {
    const now = this.#clock.wallMs()
    for (const held of lock.holders.values()) if (held.expiresAtMs <= now) lock.holders.delete(held.owner)
  }

  #idle(lock: Lock): boolean {
    return lock.holders.size === 0 && lock.queue.length === 0
  }

  #heldBy(lock: Lock, claim: Claim): Held | undefined {
    const held = lock.holders.get(claim.owner)
    return held?.mode === claim.mode ? held : undefined
  }

  /** The grant rule, apart from the queue. */
  #fits(lock: Lock, claim: Claim): boolean {
    if (lock.holders.size === 0) return true
    if (claim.mode === 'exclusive') return false
    for (const held of lock.holders.values()) if (held.mode === 'exclusive') return false
    return claim.limit === null || lock.holders.size < claim.limit
  }

  #hold(lock: Lock, claim: Claim, ttlMs: number | null): Held {
    const now = this.#clock.wallMs()
    // One counter for all locks: rising for the store is rising for each.
    this.#lastFence = Math.max(this.#lastFence + 1, Math.floor(now * 1000))
    const { owner, mode, meta } = claim
    const held = { owner, mode, meta, fence: this.#lastFence, acquiredAtMs: now, expiresAtMs: this.#until(ttlMs) }
    lock.holders.set(owner, held)
    if (mode === 'shared') lock.limit = claim.limit
    return held
  }

  #enqueue(lock: Lock, claim: Claim, wanted: 'new' | number): number {
    const last = lock.queue.at(-1)?.ticket ?? 0
    const ticket = wanted === 'new' ? Math.max(last + 1, Math.floor(this.#clock.wallMs() * 1000)) : wanted
    const after = lock.queue.findIndex(entry => entry.ticket > ticket)
    lock.queue.splice(after < 0 ? lock.queue.length : after, 0, { claim, ticket })
    if (claim.mode === 'shared') lock.limit = claim.limit
    return ticket
  }

  /** Grants what the head of the queue allows, and tells whom it was granted, except who is asking right now. */
  #advance(name: string, lock: Lock, asking: string | null): void {
    for (let head = lock.queue[0]; head !== undefined; head = lock.queue[0]) {
      const { claim } = head
      const listener = this.#listeners.get(claim.client)
      const seenAtMs = lock.seenAtMs.get(claim.client) ?? 0
      const alive = listener !== undefined && this.#clock.wallMs() - seenAtMs <= ALIVE_MS
      if (alive && !this.#fits(lock, claim)) return
      lock.queue.shift()
      if (!alive) continue
      const { fence } = this.#hold(lock, claim, GRANT_MS)
      if (claim.owner === asking) continue
      const { owner, mode, limit } = claim
      const event: PushedGrant = { type: 'granted', name, owner, fence, mode, limit }
      queueMicrotask(() => listener(event))
    }
    lock.seenAtMs.clear()
  }

  #hint(lock: Lock): { holder: string | null; retryAfterMs: number | null } {
    const [first] = lock.holders.values()
    const soonest = Math.min(...[...lock.holders.values()].map(held => held.expiresAtMs))
    const retryAfterMs = soonest === Infinity ? null : Math.max(soonest - this.#clock.wallMs(), 1)
    return { holder: first?.owner ?? null, retryAfterMs }
  }

  #until(ttlMs: number | null): number {
    return ttlMs === null ? Infinity : this.#clock.wallMs() + ttlMs
  }
}
