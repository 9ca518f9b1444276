import { SoloistError } from '../errors.js'
import { type Clock, type Instant, instant, type Timer } from '../internal/clock.js'
import { type Calls, claimKey, type Renewal } from './calls.js'
import type { HeldLease } from './lease.js'

/** A lease is renewed after this part of its ttl, so that two attempts may fail before it runs out. */
const RENEW_AFTER = 1 / 3
/** Renewal times are spread by this part either way, so that leases taken together do not stay together. */
const JITTER = 0.1
/** A lease joins a call made for others when its own renewal is due within this part of its ttl. */
const JOIN = 0.1
/** After a failed renewal the next one follows after this part of the ttl. */
const RETRY_AFTER = 1 / 12

/** What the renewer needs from the client it belongs to. */
export interface RenewalHost {
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  readonly calls: Calls
  /** A renewal in the background failed; it is tried again. */
  onRenewFault(lease: HeldLease, error: unknown): void
}

/** Renews every held lease of one client: all that are due, or soon will be, in one call. */
export class Renewer {
  readonly #host: RenewalHost
  /** By claim. */
  readonly #leases = new Map<string, HeldLease>()
  #timer: Timer | null = null
  #timerDueMs = Infinity

  constructor(host: RenewalHost) {
    this.#host = host
  }

  get leases(): ReadonlyMap<string, HeldLease> {
    return this.#leases
  }

  add(lease: HeldLease): void {
    this.#leases.set(claimKey(lease.claim), lease)
    this.#planNext(lease, lease.grantedAt, lease.termMs)
  }

  remove(lease: HeldLease): void {
    this.#leases.delete(claimKey(lease.claim))
    if (this.#leases.size === 0) this.#disarm()
  }

  /**
   * Renews these leases in one call and tells each what came of it. An answer that is slow does not stop the next
   * renewal from being sent in time, and still counts when it comes. Never rejects.
   */
  async renew(leases: readonly HeldLease[]): Promise<readonly Renewal[]> {
    const sentAt = instant(this.#host.clock)
    for (const lease of leases) this.#planNext(lease, sentAt, lease.claim.ttlMs)
    const replies = await this.#host.calls.renew(leases.map(lease => lease.claim))
    leases.forEach((lease, i) => {
      this.#settle(lease, replies[i] as Renewal, sentAt)
    })
    return replies
  }

  #settle(lease: HeldLease, reply: Renewal, sentAt: Instant): void {
    if (!lease.held) return
    if (reply.status === 'held') {
      lease.extend(sentAt)
    } else if (reply.status === 'lost') {
      const name = JSON.stringify(lease.name)
      lease.lose(new SoloistError('LEASE_LOST', `the lock ${name} is not held by this lease any more`))
    } else {
      const retryMs = this.#host.clock.monotonicMs() + lease.termMs * RETRY_AFTER
      this.#plan(lease, Math.min(lease.renewalDueMs, retryMs))
    }
  }

  #planNext(lease: HeldLease, since: Instant, termMs: number): void {
    const spread = 1 + JITTER * (2 * this.#host.random() - 1)
    this.#plan(lease, since.monotonicMs + termMs * RENEW_AFTER * spread)
  }

  #plan(lease: HeldLease, dueMs: number): void {
    lease.renewalDueMs = dueMs
    this.#arm(dueMs)
  }

  #arm(dueMs: number): void {
    if (dueMs >= this.#timerDueMs) return
    this.#timer?.cancel()
    this.#timerDueMs = dueMs
    const { clock } = this.#host
    this.#timer = clock.setTimer(dueMs - clock.monotonicMs(), () => this.#fire(), { background: true })
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#timerDueMs = Infinity
  }

  #fire(): void {
    this.#disarm()
    const now = this.#host.clock.monotonicMs()
    const due: HeldLease[] = []
    for (const lease of this.#leases.values()) {
      if (lease.renewalDueMs <= now + lease.termMs * JOIN) due.push(lease)
      else this.#arm(lease.renewalDueMs)
    }
    if (due.length > 0) void this.#renewInBackground(due)
  }

  async #renewInBackground(leases: readonly HeldLease[]): Promise<void> {
    const replies = await this.renew(leases)
    replies.forEach((reply, i) => {
      if (reply.status === 'fault') this.#host.onRenewFault(leases[i] as HeldLease, reply.error)
    })
  }
}
