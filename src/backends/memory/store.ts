import type {
  AcquireAnswer,
  AcquireStep,
  Answer,
  Answers,
  Claim,
  ClaimId,
  LockState,
  ReleaseStep,
  RenewAnswer,
  RenewStep,
  Step,
  StoreEvent,
  WatchReply,
} from '../../backend.js'
import { type Clock, systemClock } from '../../internal/clock.js'
import { type Caller, fits, isIdle, type Lock, shown } from './lock.js'
import { Locks } from './locks.js'
import { begin, trigger } from './triggers.js'

/**
 * The reference for what every backend does: one datastore in this process's memory. Several backends may share one,
 * as several clients share a server.
 */
export class MemoryStore {
  readonly #locks: Locks

  /** @param clock judges what has run out, by its wall time; default: the system's */
  constructor(clock: Clock = systemClock) {
    this.#locks = new Locks(clock)
  }

  subscribe(client: string, listener: (event: StoreEvent) => void): void {
    this.#locks.subscribe(client, listener)
  }

  unsubscribe(client: string): void {
    this.#locks.unsubscribe(client)
  }

  /** Does the steps of one client, each atomic by itself, in their order. */
  run(client: string, steps: readonly Step[]): Answers {
    const caller: Caller = { client, handed: [] }
    return { steps: steps.map(step => this.#step(step, caller)), handed: caller.handed }
  }

  watch(client: string, claim: ClaimId): WatchReply {
    const { results } = this.#locks
    const left = results.kept(claim)
    if (left !== null && left.status !== 'unbegun') return left
    const lock = this.#locks.get(claim.name)
    if (lock !== undefined) {
      // Perhaps nobody asks about this lock but who watches.
      this.#locks.dropSilent(lock, claim.owner, client)
      this.#locks.catchUp(lock, null)
    }
    if (lock?.holders.has(claim.owner) || lock?.queue.has(claim.owner)) {
      results.watched(claim, client)
      return { status: 'live' }
    }
    if (left === null) results.forget(claim)
    return { status: 'gone' }
  }

  inspect(name: string): LockState | null {
    const lock = this.#locks.get(name)
    if (lock === undefined) return null
    this.#locks.expire(lock)
    this.#locks.head(lock)
    return isIdle(lock) ? null : shown(lock, this.#locks.nowMs())
  }

  names(prefix: string): readonly string[] {
    return [...this.#locks.names()].filter(name => name.startsWith(prefix))
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
        return trigger(this.#locks, step, caller)
      case 'begin':
        return begin(this.#locks, step, caller)
    }
  }

  #acquire({ claim, ticket, replaces }: AcquireStep, caller: Caller): AcquireAnswer {
    const locks = this.#locks
    const { owner, ttlMs } = claim
    const lock = locks.open(claim.name)
    if (ticket !== null) locks.heard(lock, caller.client)
    locks.catchUp(lock, caller, owner)

    const mine = lock.holders.get(owner)
    if (mine !== undefined) return locks.extended(lock, mine, ttlMs)
    const refused = { status: 'busy', ticket: null, requeued: false } as const
    if (typeof ticket === 'number' && locks.displacedBy(lock, owner) !== null)
      return { ...refused, ...locks.hint(lock) }
    if (replaces !== null && lock.holders.get(replaces)?.mode === claim.mode) {
      locks.remove(lock, replaces)
      const granted = locks.hold(lock, claim, ttlMs)
      locks.nextRun(lock)
      return granted
    }
    const other = replaces === null || ticket === null ? undefined : lock.queue.ticketOf(replaces)
    if (replaces !== null && other !== undefined && other < (lock.queue.ticketOf(owner) ?? Infinity)) {
      locks.enqueue(lock, lock.queue.get(owner) ?? { claim, client: caller.client, begins: false, note: null }, other)
      locks.remove(lock, replaces)
      return this.#queued(lock, claim, caller, other, false)
    }
    if (lock.queue.size === 0 && fits(lock, claim)) return locks.hold(lock, claim, ttlMs)
    if (ticket === null) return { ...refused, ...locks.hint(lock) }

    const requeued = ticket !== 'new' && !lock.queue.has(owner)
    const waiting = { claim, client: caller.client, begins: false, note: null }
    const place = lock.queue.ticketOf(owner) ?? locks.enqueue(lock, waiting, ticket)
    return this.#queued(lock, claim, caller, place, requeued)
  }

  /** The answer to a claim that has a place now: that may be an old one, before a claim that does not fit. */
  #queued(lock: Lock, { owner, ttlMs }: Claim, caller: Caller, ticket: number, requeued: boolean): AcquireAnswer {
    this.#locks.advance(lock, caller, owner)
    const granted = lock.holders.get(owner)
    if (granted !== undefined) return this.#locks.extended(lock, granted, ttlMs)
    return { status: 'busy', ...this.#locks.hint(lock), ticket, requeued }
  }

  #renew({ name, owner, ttlMs }: RenewStep, caller: Caller): RenewAnswer {
    const lock = this.#locks.get(name)
    if (lock === undefined) return { status: 'lost' }
    this.#locks.catchUp(lock, caller)
    const mine = lock.holders.get(owner)
    return mine === undefined
      ? { status: 'lost' }
      : { status: 'held', fence: this.#locks.extended(lock, mine, ttlMs).fence }
  }

  /** @returns whether the owner held the lock until now */
  #release({ name, owner, result }: ReleaseStep, caller: Caller): boolean {
    const lock = this.#locks.get(name)
    if (lock === undefined) return false
    this.#locks.expire(lock)
    const held = lock.holders.has(owner)
    if (held && result !== null) {
      this.#locks.remove(lock, owner, { status: 'result', text: result.text }, result.keepMs)
    } else this.#locks.remove(lock, owner)
    this.#locks.advance(lock, caller)
    this.#locks.tidy(lock)
    return held
  }
}
