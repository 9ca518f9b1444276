import type { RenewReply } from '../backend.js'
import { SoloistError } from '../errors.js'
import { type Clock, instant, type Timer } from '../internal/clock.js'
import type { Calls } from './calls.js'
import type { HeldLease } from './lease.js'

/** A lease is renewed after this part of its ttl, so that two attempts may fail before it runs out. */
const RENEW_AFTER = 1 / 3
/** Renewal times are spread by this part either way, so that leases taken together do not stay together. */
const JITTER = 0.1
/** After a failed renewal the next one follows after this part of the ttl. */
const RETRY_AFTER = 1 / 12

/** Renews every held lease of one backend: all that are due, or soon will be, in one call. */
export class Renewer {
  readonly #calls: Calls
  readonly #clock: Clock
  readonly #random: () => number
  readonly #onFault: (lease: HeldLease, error: unknown) => void
  /** By owner. */
  readonly #leases = new Map<string, HeldLease>()
  #timer: Timer | null = null
  #timerDueMs = Infinity

  constructor(calls: Calls, clock: Clock, random: () => number, onFault: (lease: HeldLease, error: unknown) => void) {
    this.#calls = calls
    this.#clock = clock
    this.#random = random
    this.#onFault = onFault
  }

  get leases(): ReadonlyMap<string, HeldLease> {
    return this.#leases
  }

  add(lease: HeldLease): void {
    this.#leases.set(lease.owner, lease)
    this.#plan(lease, RENEW_AFTER)
  }

  remove(lease: HeldLease): void {
    this.#leases.delete(lease.owner)
    if (this.#leases.size === 0) this.stop()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#timerDueMs = Infinity
  }

  /** Renews these leases in one call and tells each what came of it. Never rejects. */
  async renew(leases: readonly HeldLease[]): Promise<readonly RenewReply[]> {
    const sentAt = instant(this.#clock)
    // No answer within a third of the shortest lease: leave it time to be asked again.
    const patienceMs = Math.min(...leases.map(lease => lease.claim.ttlMs)) * RENEW_AFTER
    for (const lease of leases) lease.renewing = true
    const replies = await this.#calls.renew(
      leases.map(lease => lease.claim),
      patienceMs,
    )
    leases.forEach((lease, i) => {
      lease.renewing = false
      this.#settle(lease, replies[i] as RenewReply, sentAt)
    })
    return replies
  }

  #settle(lease: HeldLease, reply: RenewReply, sentAt: ReturnType<typeof instant>): void {
    if (!lease.held) return
    if (reply.status === 'held') {
      lease.extend(sentAt)
      this.#plan(lease, RENEW_AFTER)
    } else if (reply.status === 'lost') {
      const name = JSON.stringify(lease.name)
      lease.lose(new SoloistError('LEASE_LOST', `the lock ${name} is not held by this lease any more`))
    } else {
      this.#onFault(lease, reply.error)
      this.#plan(lease, RETRY_AFTER)
    }
  }

  #plan(lease: HeldLease, part: number): void {
    const spread = 1 + JITTER * (2 * this.#random() - 1)
    lease.renewalDueMs = this.#clock.monotonicMs() + lease.claim.ttlMs * part * spread
    this.#arm(lease.renewalDueMs)
  }

  #arm(dueMs: number): void {
    if (dueMs >= this.#timerDueMs) return
    this.#timer?.cancel()
    this.#timerDueMs = dueMs
    this.#timer = this.#clock.setTimer(dueMs - this.#clock.monotonicMs(), () => this.#fire(), { background: true })
  }

  #fire(): void {
    this.stop()
    const now = this.#clock.monotonicMs()
    const due: HeldLease[] = []
    for (const lease of this.#leases.values()) {
      if (lease.renewing) continue
      if (lease.renewalDueMs <= now + lease.claim.ttlMs * JITTER) due.push(lease)
      else this.#arm(lease.renewalDueMs)
    }
    if (due.length > 0) void this.renew(due)
  }
}
