import type {
  AcquireAnswer,
  AcquireStep,
  Answer,
  Answers,
  BeginAnswer,
  BeginStep,
  Busy,
  Claim,
  ClaimId,
  ClaimMode,
  Granted,
  HandedGrant,
  LockState,
  ReleaseStep,
  RenewAnswer,
  RenewStep,
  Seen,
  SeenRun,
  Step,
  StoreEvent,
  TriggerAnswer,
  TriggerStep,
  WatchReply,
} from '../../backend.js'
import { type Clock, systemClock } from '../../internal/clock.js'
import { soon } from '../../internal/real-time.js'
import { TicketQueue } from '../../internal/ticket-queue.js'
import { PendingRuns } from './pending.js'
import { type Left, Results } from './results.js'

/** How long a pushed grant stands unconfirmed. */
const GRANT_MS = 5_000
/** A client that was silent for this long does not wait any more. */
const ALIVE_MS = 12_000
/** How many holders and how many waiters a `LockState` shows. */
const SHOWN = 100
/** Below this many locks nobody looks for those that ran out unnoticed. */
const SWEEP_FROM = 1_024

interface Held {
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
interface Waiting {
  readonly claim: Claim
  readonly client: string
  /** When it joined the queue. */
  readonly sinceMs: number
  /** Whether it becomes the pending run once it is at the head of the queue and none is. */
  readonly begins: boolean
}

interface Lock {
  /** In the order they were granted. */
  readonly holders: Map<string, Held>
  /** No holder runs out before this. */
  soonestExpiryMs: number
  readonly queue: TicketQueue<Waiting>
  /** When each client that waits here was last heard of. */
  readonly seenAtMs: Map<string, number>
  readonly runs: PendingRuns
}

/** Who makes a step, and the claims of theirs that it grants. */
interface Caller {
  readonly client: string
  readonly handed: HandedGrant[]
}

/**
 * The reference for what every backend does: one datastore in this process's memory. Several backends may share one,
 * as several clients share a server.
 */
export class MemoryStore {
  readonly #clock: Clock
  readonly #locks = new Map<string, Lock>()
  readonly #listeners = new Map<string, (event: StoreEvent) => void>()
  readonly #results: Results
  #lastFence = 0
  #sweepAt = SWEEP_FROM

  /** @param clock judges what has run out, by its wall time; default: the system's */
  constructor(clock: Clock = systemClock) {
    this.#clock = clock
    this.#results = new Results(clock, (client, claim) => this.#tell(client, { type: 'ended', ...claim }))
  }

  /** Whole milliseconds, also where a clock of the application's counts parts of them. */
  #nowMs(): number {
    return Math.floor(this.#clock.wallMs())
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): void {
    this.#listeners.set(client, listener)
  }

  unsubscribe(client: string): void {
    this.#listeners.delete(client)
  }

  /** Does the steps of one client, each atomic by itself, in their order. */
  run(client: string, steps: readonly Step[]): Answers {
    const caller: Caller = { client, handed: [] }
    return { steps: steps.map(step => this.#step(step, caller)), handed: caller.handed }
  }

  watch(client: string, claim: ClaimId): WatchReply {
    const left = this.#results.kept(claim)
    if (left !== null) return left
    const lock = this.#locks.get(claim.name)
    if (lock !== undefined) this.#catchUp(lock, null)
    if (lock?.holders.has(claim.owner) || lock?.queue.has(claim.owner)) {
      this.#results.watched(claim, client)
      return { status: 'live' }
    }
    this.#results.forget(claim)
    return { status: 'gone' }
  }

  inspect(name: string): LockState | null {
    const lock = this.#locks.get(name)
    if (lock === undefined) return null
    this.#expire(lock)
    this.#head(lock)
    if (isIdle(lock)) return null
    return {
      name,
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
      atMs: this.#nowMs(),
    }
  }

  names(prefix: string): readonly string[] {
    return [...this.#locks.keys()].filter(name => name.startsWith(prefix))
  }

  #step(step: Step, caller: Caller): Answer {
    switch (step.kind) {
      case 'acquire':
        return this.#acquire(step, caller)
      case 'renew':
        return this.#renew(step, caller)
      case 'release':
        return { status: 'released', held: this.#release(step, caller) }
      case 'trigger':
        return this.#trigger(step, caller)
      case 'begin':
        return this.#begin(step, caller)
    }
  }

  #acquire({ claim, ticket, replaces }: AcquireStep, caller: Caller): AcquireAnswer {
    const lock = this.#locks.get(claim.name) ?? this.#newLock(claim.name)
    if (ticket !== null) this.#heard(lock, caller.client)
    this.#catchUp(lock, caller, claim.owner)

    const mine = lock.holders.get(claim.owner)
    if (mine !== undefined) return this.#extended(lock, mine, claim.ttlMs)
    if (replaces !== null && lock.holders.get(replaces)?.mode === 'exclusive') {
      this.#remove(lock, { name: claim.name, owner: replaces })
      return this.#hold(lock, claim, claim.ttlMs)
    }
    if (lock.queue.size === 0 && fits(lock, claim)) return this.#hold(lock, claim, claim.ttlMs)
    if (ticket === null) return { status: 'busy', ...this.#hint(lock), ticket: null, requeued: false }

    const requeued = ticket !== 'new' && !lock.queue.has(claim.owner)
    const place = lock.queue.ticketOf(claim.owner) ?? this.#enqueue(lock, claim, caller, ticket, false)
    // An old ticket may stand before one that does not fit.
    this.#advance(lock, caller, claim.owner)
    const granted = lock.holders.get(claim.owner)
    if (granted !== undefined) return this.#extended(lock, granted, claim.ttlMs)
    return { status: 'busy', ...this.#hint(lock), ticket: place, requeued }
  }

  #renew({ name, owner, ttlMs }: RenewStep, caller: Caller): RenewAnswer {
    const lock = this.#locks.get(name)
    if (lock === undefined) return { status: 'lost' }
    this.#catchUp(lock, caller)
    const mine = lock.holders.get(owner)
    return mine === undefined ? { status: 'lost' } : { status: 'held', fence: this.#extended(lock, mine, ttlMs).fence }
  }

  /** @returns whether the owner held the lock until now */
  #release({ name, owner, result }: ReleaseStep, caller: Caller): boolean {
    const lock = this.#locks.get(name)
    if (lock === undefined) return false
    this.#expire(lock)
    const held = lock.holders.has(owner)
    if (held && result !== null) {
      this.#remove(lock, { name, owner }, { status: 'result', text: result.text }, result.keepMs)
    } else this.#remove(lock, { name, owner })
    this.#advance(lock, caller)
    if (isIdle(lock)) this.#locks.delete(name)
    return held
  }

  #trigger(step: TriggerStep, caller: Caller): TriggerAnswer {
    const { claim, note, begins, debounce, without } = step
    const { name, owner, ttlMs } = claim
    const lock = this.#locks.get(name) ?? this.#newLock(name)
    this.#heard(lock, caller.client)
    this.#expire(lock)
    if (without !== null) this.#remove(lock, { name, owner: without })
    this.#advance(lock, caller, owner)
    const seen = this.#seen(lock)

    const mine = lock.holders.get(owner)
    if (mine !== undefined) return { ...this.#extended(lock, mine, ttlMs), seen }
    const ticket = lock.queue.ticketOf(owner)
    if (ticket !== undefined) return this.#queued(lock, ticket, seen)
    const before = this.#results.kept({ name, owner })
    if (before?.status === 'displaced') return before
    const noted = lock.runs.notedWith(owner)
    if (noted !== null) return { status: 'met', seen, noted }

    const { runs } = lock
    const { pending } = runs
    const now = this.#nowMs()
    const free = lock.queue.size === 0 && fits(lock, claim)
    if (free && debounce === null) {
      const granted = this.#hold(lock, claim, ttlMs)
      if (begins && pending === null) runs.become(owner, note, null, now)
      return { ...granted, seen }
    }
    const action = pending !== null ? step.pending : free ? 'follow' : step.running
    if (action === 'meet') return { status: 'met', seen, noted: null }
    if (action === 'wait') {
      const place = this.#enqueue(lock, claim, caller, 'new', begins)
      this.#nextRun(lock)
      return this.#queued(lock, place, seen)
    }
    if (pending === null) {
      const place = this.#enqueue(lock, claim, caller, 'new', true)
      runs.become(owner, note, debounce, now)
      return this.#queued(lock, place, seen)
    }
    if (action === 'follow') {
      runs.add(owner, note, debounce, now)
      return { status: 'met', seen, noted: pending.owner }
    }
    const place = lock.queue.ticketOf(pending.owner)
    runs.displace(owner, note, debounce, now)
    lock.holders.delete(pending.owner)
    lock.queue.delete(pending.owner)
    this.#results.end({ name, owner: pending.owner }, { status: 'displaced', by: owner }, step.keepMs)
    if (place !== undefined) return this.#queued(lock, this.#enqueue(lock, claim, caller, place, true), seen)
    const granted = this.#hold(lock, claim, ttlMs)
    if (!begins) runs.begin(owner)
    return { ...granted, seen }
  }

  #begin({ name, owner }: BeginStep, caller: Caller): BeginAnswer {
    const lock = this.#locks.get(name)
    if (lock !== undefined) {
      this.#catchUp(lock, caller)
      if (lock.holders.has(owner)) {
        const notes = lock.runs.begin(owner)
        this.#nextRun(lock)
        return { status: 'begun', notes }
      }
    }
    const left = this.#results.kept({ name, owner })
    return left?.status === 'displaced' ? left : { status: 'lost' }
  }

  #queued(lock: Lock, ticket: number, seen: Seen): TriggerAnswer {
    return { status: 'busy', ...this.#hint(lock), ticket, requeued: false, seen }
  }

  #seen(lock: Lock): Seen {
    const now = this.#nowMs()
    const { pending } = lock.runs
    const held = (owner: string): SeenRun | null => {
      const since = lock.holders.get(owner)?.acquiredAtMs
      return since === undefined ? null : { owner, ageMs: now - since }
    }
    const waits = (owner: string): SeenRun | null => {
      const since = lock.queue.get(owner)?.sinceMs
      return since === undefined ? null : { owner, ageMs: now - since }
    }
    const [holder] = lock.holders.keys()
    const first = lock.queue.first()?.claim.owner
    return {
      running: holder === undefined || holder === pending?.owner ? null : held(holder),
      pending: pending === null ? null : (held(pending.owner) ?? waits(pending.owner)),
      waiting: first === undefined || first === pending?.owner ? null : waits(first),
    }
  }

  /** Where no run is pending, the first that waits may become it. */
  #nextRun(lock: Lock): void {
    if (lock.runs.pending !== null) return
    const next = lock.queue.first()
    if (next?.begins) lock.runs.become(next.claim.owner, null, null, this.#nowMs())
  }

  /** The claim neither holds nor waits any more. */
  #remove(lock: Lock, claim: ClaimId, left: Left | null = null, keepMs = 0): void {
    const held = lock.holders.delete(claim.owner)
    const waited = lock.queue.delete(claim.owner)
    if (!held && !waited) return
    this.#results.end(claim, left, keepMs)
    this.#over(lock, claim.owner)
  }

  #over(lock: Lock, owner: string): void {
    lock.runs.forget(owner)
    this.#nextRun(lock)
  }

  #newLock(name: string): Lock {
    if (this.#locks.size >= this.#sweepAt) this.#sweep()
    const lock: Lock = {
      holders: new Map(),
      soonestExpiryMs: Infinity,
      queue: new TicketQueue(),
      seenAtMs: new Map(),
      runs: new PendingRuns(),
    }
    this.#locks.set(name, lock)
    return lock
  }

  /** Forgets locks that ran out and were never asked for again. Done when the store has doubled since the last time. */
  #sweep(): void {
    for (const [name, lock] of this.#locks) {
      this.#catchUp(lock, null)
      if (isIdle(lock)) this.#locks.delete(name)
    }
    this.#sweepAt = Math.max(this.#locks.size * 2, SWEEP_FROM)
  }

  /** Removes what has run out and grants what that allows. */
  #catchUp(lock: Lock, caller: Caller | null, asking: string | null = null): void {
    this.#expire(lock)
    this.#advance(lock, caller, asking)
  }

  #expire(lock: Lock): void {
    const now = this.#nowMs()
    if (now < lock.soonestExpiryMs) return
    lock.soonestExpiryMs = Infinity
    for (const held of lock.holders.values()) {
      if (held.expiresAtMs <= now) {
        lock.holders.delete(held.owner)
        this.#over(lock, held.owner)
      } else lock.soonestExpiryMs = Math.min(lock.soonestExpiryMs, held.expiresAtMs)
    }
  }

  #hold(lock: Lock, claim: Claim, ttlMs: number | null): Granted {
    const now = this.#nowMs()
    // One counter for all locks: rising for the store is rising for each.
    this.#lastFence = Math.max(this.#lastFence + 1, now * 1000)
    const { owner, mode, limit, meta } = claim
    const held = { owner, mode, limit, meta, fence: this.#lastFence, acquiredAtMs: now, expiresAtMs: Infinity }
    lock.queue.delete(owner)
    lock.holders.set(owner, held)
    return this.#extended(lock, held, ttlMs)
  }

  /** Starts the holder's ttl again. */
  #extended(lock: Lock, held: Held, ttlMs: number | null): Granted {
    held.expiresAtMs = ttlMs === null ? Infinity : this.#nowMs() + ttlMs
    lock.soonestExpiryMs = Math.min(lock.soonestExpiryMs, held.expiresAtMs)
    return { status: 'granted', fence: held.fence }
  }

  #enqueue(lock: Lock, claim: Claim, { client }: Caller, wanted: 'new' | number, begins: boolean): number {
    const sinceMs = this.#nowMs()
    const ticket = wanted === 'new' ? Math.max(lock.queue.highest + 1, sinceMs * 1000) : wanted
    lock.queue.add(claim.owner, ticket, { claim, client, sinceMs, begins })
    return ticket
  }

  /**
   * Grants what the head of the queue allows. The caller's own claims and durable ones are told in its answer and have their
   * own ttl; others' are pushed, and have the grant lease. Who is asking right now is told in the answer to the step.
   */
  #advance(lock: Lock, caller: Caller | null, asking: string | null = null): void {
    for (let next = this.#head(lock); next !== undefined; next = this.#head(lock)) {
      const { claim, client } = next
      if (!fits(lock, claim) || this.#earlyMs(lock, claim.owner) > 0) return
      const { name, owner, ttlMs } = claim
      const own = client === caller?.client || claim.durable === true
      const { fence } = this.#hold(lock, claim, own ? ttlMs : Math.min(GRANT_MS, ttlMs ?? GRANT_MS))
      if (!own) this.#tell(client, { type: 'granted', name, owner, fence })
      else if (owner !== asking) caller?.handed.push({ name, owner, fence })
    }
  }

  /** The first claim that waits, without those before it whose clients have gone. */
  #head(lock: Lock): Waiting | undefined {
    for (let next = lock.queue.first(); next !== undefined; next = lock.queue.first()) {
      if (next.claim.durable || this.#waits(lock, next.client)) return next
      lock.queue.delete(next.claim.owner)
      this.#over(lock, next.claim.owner)
    }
    return undefined
  }

  /** How long a claim still has to wait, apart from others, in milliseconds. */
  #earlyMs(lock: Lock, owner: string): number {
    const { pending } = lock.runs
    return pending?.owner === owner ? (pending.notBeforeMs ?? 0) - this.#nowMs() : 0
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

  #tell(client: string, event: StoreEvent): void {
    soon(() => this.#listeners.get(client)?.(event))
  }

  #hint(lock: Lock): Pick<Busy, 'holder' | 'retryAfterMs'> {
    const [some] = lock.holders.values()
    let soonest = Infinity
    for (const { expiresAtMs } of lock.holders.values()) soonest = Math.min(soonest, expiresAtMs)
    const first = lock.queue.first()?.claim.owner
    const earlyMs = first === undefined ? 0 : this.#earlyMs(lock, first)
    if (earlyMs > 0) soonest = some === undefined ? this.#nowMs() + earlyMs : Math.max(soonest, this.#nowMs() + earlyMs)
    const retryAfterMs = soonest === Infinity ? null : Math.max(soonest - this.#nowMs(), 1)
    return { holder: some?.owner ?? null, retryAfterMs }
  }
}

function isIdle(lock: Lock): boolean {
  return lock.holders.size === 0 && lock.queue.size === 0
}

/** The grant rule, apart from the queue. An exclusive holder is the only one. */
function fits(lock: Lock, claim: Claim): boolean {
  const [some] = lock.holders.values()
  if (some === undefined) return true
  if (some.mode === 'exclusive' || claim.mode === 'exclusive') return false
  return claim.limit === null || lock.holders.size < claim.limit
}

/** The first `count` of these. */
function first<T>(values: Iterable<T>, count: number): readonly T[] {
  const taken: T[] = []
  for (const value of values) if (taken.push(value) >= count) break
  return taken
}
