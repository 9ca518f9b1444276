import type { Busy, Claim, Granted, StoreEvent } from '../../backend.js'
import type { Clock } from '../../internal/clock.js'
import { soon } from '../../internal/real-time.js'
import { type Caller, fits, type Held, isIdle, type Lock, newLock, type Waiting } from './lock.js'
import { type Left, Results } from './results.js'

/** How long a pushed grant stands unconfirmed. */
const GRANT_MS = 5_000
/** A client that was silent for this long does not wait any more. */
const ALIVE_MS = 12_000
/** For how long it is kept that a run ended and never began. */
const UNBEGUN_KEPT_MS = 60_000
/** Below this many locks nobody looks for those that ran out unnoticed. */
const SWEEP_FROM = 1_024

/** The locks of a store, and the parts that its steps are made of. */
export class Locks {
  readonly results: Results
  readonly #clock: Clock
  readonly #locks = new Map<string, Lock>()
  readonly #listeners = new Map<string, (event: StoreEvent) => void>()
  #lastFence = 0
  #sweepAt = SWEEP_FROM

  constructor(clock: Clock) {
    this.#clock = clock
    this.results = new Results(clock, (client, claim) => this.#tell(client, { type: 'ended', ...claim }))
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): void {
    this.#listeners.set(client, listener)
  }

  unsubscribe(client: string): void {
    this.#listeners.delete(client)
  }

  /** Whole milliseconds, also where a clock of the application's counts parts of them. */
  nowMs(): number {
    return Math.floor(this.#clock.wallMs())
  }

  get(name: string): Lock | undefined {
    return this.#locks.get(name)
  }

  names(): Iterable<string> {
    return this.#locks.keys()
  }

  /** The lock, which is made where it is not in use. */
  open(name: string): Lock {
    const there = this.#locks.get(name)
    if (there !== undefined) return there
    if (this.#locks.size >= this.#sweepAt) this.#sweep()
    const lock = newLock(name)
    this.#locks.set(name, lock)
    return lock
  }

  /** Forgets the lock unless it is in use. */
  tidy(lock: Lock): void {
    if (isIdle(lock)) this.#locks.delete(lock.name)
  }

  /** Forgets locks that ran out and were never asked for again. Done when the store has doubled since the last time. */
  #sweep(): void {
    for (const lock of this.#locks.values()) {
      this.catchUp(lock, null)
      this.tidy(lock)
    }
    this.#sweepAt = Math.max(this.#locks.size * 2, SWEEP_FROM)
  }

  /** Removes what has run out and grants what that allows. */
  catchUp(lock: Lock, caller: Caller | null, asking: string | null = null): void {
    this.expire(lock)
    this.advance(lock, caller, asking)
  }

  /** Removes holders whose time is up, and a pending run whose client fell silent, wherever it waits. */
  expire(lock: Lock): void {
    const { pending } = lock.runs
    if (pending !== null) this.dropSilent(lock, pending.owner)
    const now = this.nowMs()
    if (now < lock.soonestExpiryMs) return
    lock.soonestExpiryMs = Infinity
    for (const held of lock.holders.values()) {
      if (held.expiresAtMs <= now) {
        lock.holders.delete(held.owner)
        this.#over(lock, held.owner)
      } else lock.soonestExpiryMs = Math.min(lock.soonestExpiryMs, held.expiresAtMs)
    }
  }

  /** Removes a claim whose client fell silent, wherever it waits. `asking`: a client that is there, whatever it waits for. */
  dropSilent(lock: Lock, owner: string, asking: string | null = null): void {
    const waiting = lock.queue.get(owner)
    if (waiting !== undefined && waiting.client !== asking && !this.#stays(lock, waiting)) this.#dequeue(lock, owner)
  }

  hold(lock: Lock, claim: Claim, ttlMs: number | null): Granted {
    const now = this.nowMs()
    // One counter for all locks: rising for the store is rising for each.
    this.#lastFence = Math.max(this.#lastFence + 1, now * 1000)
    const { owner, mode, limit, meta } = claim
    const held = { owner, mode, limit, meta, fence: this.#lastFence, acquiredAtMs: now, expiresAtMs: Infinity }
    lock.queue.delete(owner)
    lock.holders.set(owner, held)
    lock.runs.granted(owner)
    return this.extended(lock, held, ttlMs)
  }

  /** Starts the holder's ttl again. */
  extended(lock: Lock, held: Held, ttlMs: number | null): Granted {
    held.expiresAtMs = ttlMs === null ? Infinity : this.nowMs() + ttlMs
    lock.soonestExpiryMs = Math.min(lock.soonestExpiryMs, held.expiresAtMs)
    return { status: 'granted', fence: held.fence }
  }

  /** @returns its ticket, which is the wanted one unless it is `'new'` */
  enqueue(lock: Lock, waiting: Omit<Waiting, 'sinceMs'>, wanted: 'new' | number): number {
    const sinceMs = this.nowMs()
    const ticket = wanted === 'new' ? Math.max(lock.queue.highest + 1, sinceMs * 1000) : wanted
    lock.queue.add(waiting.claim.owner, ticket, { ...waiting, sinceMs })
    return ticket
  }

  /** A ticket before everybody who waits. */
  ticketInFront(lock: Lock): number {
    const [first] = lock.queue.head(1)
    return Math.min(first === undefined ? Infinity : first.ticket - 1, this.nowMs() * 1000)
  }

  /**
   * Grants what the head of the queue allows. The caller's own claims and durable ones are told in its answer and have their
   * own ttl; others' are pushed, and have the grant lease. Who is asking right now is told in the answer to the step. A
   * durable claim is not granted where there is nobody to tell.
   */
  advance(lock: Lock, caller: Caller | null, asking: string | null = null): void {
    for (let next = this.head(lock); next !== undefined; next = this.head(lock)) {
      this.nextRun(lock)
      const { claim, client, begins, note } = next
      const { name, owner, ttlMs } = claim
      const durable = claim.durable === true
      if (!fits(lock, claim) || this.#earlyMs(lock, owner) > 0 || (durable && caller === null)) return
      const isNext = lock.runs.pending?.owner === owner
      if (begins && !isNext && !lock.runs.isClosed(owner)) lock.runs.beginAlone(owner, note)
      const own = client === caller?.client || durable
      const { fence } = this.hold(lock, claim, own ? ttlMs : Math.min(GRANT_MS, ttlMs ?? GRANT_MS))
      if (!own) this.#tell(client, { type: 'granted', name, owner, fence })
      else if (owner !== asking) caller?.handed.push({ name, owner, fence })
    }
  }

  /** The first claim that waits, without those before it whose clients have gone. */
  head(lock: Lock): Waiting | undefined {
    for (let next = lock.queue.first(); next !== undefined; next = lock.queue.first()) {
      if (this.#stays(lock, next)) return next
      this.#dequeue(lock, next.claim.owner)
    }
    return undefined
  }

  /** Where no run is pending, the first that waits may become it. */
  nextRun(lock: Lock): void {
    if (lock.runs.pending !== null) return
    const next = lock.queue.first()
    if (next?.begins && !lock.runs.isClosed(next.claim.owner))
      lock.runs.become(next.claim.owner, next.note, null, this.nowMs())
  }

  /** The claim neither holds nor waits any more. */
  remove(lock: Lock, owner: string, left: Left | null = null, keepMs = 0): void {
    const held = lock.holders.delete(owner)
    const waited = lock.queue.delete(owner)
    if (!held && !waited) return
    this.results.end({ name: lock.name, owner }, left, keepMs)
    this.#over(lock, owner)
  }

  #dequeue(lock: Lock, owner: string): void {
    lock.queue.delete(owner)
    this.#over(lock, owner)
  }

  #over(lock: Lock, owner: string): void {
    const claim = { name: lock.name, owner }
    const word = lock.runs.forget(owner) && this.results.kept(claim) === null
    if (word) this.results.keepUnbegun(claim, UNBEGUN_KEPT_MS)
    this.nextRun(lock)
  }

  /** By whom a claim was displaced that neither holds nor waits; `null`: by nobody, or it was kept long enough. */
  displacedBy(lock: Lock, owner: string): string | null {
    if (lock.holders.has(owner) || lock.queue.has(owner)) return null
    const left = this.results.kept({ name: lock.name, owner })
    return left?.status === 'displaced' ? left.by : null
  }

  /** How long a claim still has to wait, apart from others, in milliseconds. */
  #earlyMs(lock: Lock, owner: string): number {
    const { pending } = lock.runs
    return pending?.owner === owner ? (pending.notBeforeMs ?? 0) - this.nowMs() : 0
  }

  /** The client waits for this lock and is alive. */
  heard(lock: Lock, client: string): void {
    if (lock.queue.size === 0) lock.seenAtMs.clear()
    lock.seenAtMs.set(client, this.nowMs())
  }

  /** Whether a claim goes on waiting: it is durable, or its client is there and was heard of lately. */
  #stays(lock: Lock, { claim, client }: Waiting): boolean {
    if (claim.durable === true) return true
    const silentMs = this.nowMs() - (lock.seenAtMs.get(client) ?? -Infinity)
    return this.#listeners.has(client) && silentMs <= ALIVE_MS
  }

  #tell(client: string, event: StoreEvent): void {
    soon(() => this.#listeners.get(client)?.(event))
  }

  hint(lock: Lock): Pick<Busy, 'holder' | 'retryAfterMs'> {
    const now = this.nowMs()
    let soonestMs = Infinity
    for (const { expiresAtMs } of lock.holders.values()) soonestMs = Math.min(soonestMs, expiresAtMs)
    const head = lock.queue.first()
    const earlyMs = head === undefined ? 0 : this.#earlyMs(lock, head.claim.owner)
    // Nothing is granted before the head's time has come, nor before it fits.
    if (head !== undefined && earlyMs > 0) {
      soonestMs = fits(lock, head.claim) ? now + earlyMs : Math.max(soonestMs, now + earlyMs)
    }
    const [some] = lock.holders.keys()
    return { holder: some ?? null, retryAfterMs: soonestMs === Infinity ? null : Math.max(soonestMs - now, 1) }
  }
}
