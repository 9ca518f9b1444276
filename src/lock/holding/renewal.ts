import type { RenewAnswer, RenewStep } from '../../backend.js'
import { SoloistError } from '../../errors.js'
import type { Clock } from '../../internal/clock.js'
import type { StepCollector } from '../calls/collector.js'
import type { CallTimes, Done, StepListener } from '../calls/steps.js'
import { otherGrant } from './contradiction.js'
import type { HeldLease } from './lease.js'
import { Wheel } from './wheel.js'

/** A lease is renewed after this part of its ttl, so that two attempts may fail before it runs out. */
const RENEW_AFTER = 1 / 3
/** Renewal times are spread by this part either way, so that leases taken together do not stay together. */
const JITTER = 0.1
/** A lease is renewed together with others when its own renewal is due within this part of its ttl. */
const JOIN = 0.1
/** After a failed renewal the next one follows after this part of the ttl. */
const RETRY_AFTER = 1 / 12

/** What the renewer needs from the client it belongs to. */
export interface RenewalHost {
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  readonly collector: StepCollector
  /** A renewal in the background failed; it is tried again. */
  onRenewFault(lease: HeldLease, error: unknown): void
}

/** Renews every held lease of one client, and ends those that ran out: all deadlines and renewals wait in one wheel. */
export class Renewer {
  readonly #host: RenewalHost
  readonly #wheel: Wheel<HeldLease>

  constructor(host: RenewalHost) {
    this.#host = host
    this.#wheel = new Wheel(host.clock, due => this.#due(due))
  }

  /** From now on the lease is renewed. */
  add(lease: HeldLease, nowMs: number): void {
    this.#planNext(lease, lease.grantedAt.monotonicMs, nowMs)
  }

  remove(lease: HeldLease): void {
    this.#wheel.remove(lease)
  }

  /** No lease is renewed any more. */
  stop(): void {
    this.#wheel.stop()
  }

  /** Renews now. Rejects when there was no answer; what the answer was, the lease says. */
  renew(lease: HeldLease): Promise<void> {
    return new Promise((resolve, reject) => this.#send(lease, { resolve, reject }))
  }

  /** Each may be due for its renewal, or have run out. */
  #due(leases: readonly HeldLease[]): void {
    const now = this.#host.clock.monotonicMs()
    for (const lease of leases) {
      if (!lease.valid) continue
      if (lease.renewalDueMs <= now + lease.termMs * JOIN) this.#send(lease, null)
      else this.#plan(lease, lease.renewalDueMs, now)
    }
  }

  /** An answer that is slow does not stop the next renewal from being sent in time, and still counts when it comes. */
  #send(lease: HeldLease, asker: Asker | null): void {
    const { name, owner, ttlMs } = lease.claim
    const endsWithProcess = lease.endsWithProcess
    const now = this.#host.clock.monotonicMs()
    this.#planNext(lease, now, now)
    const step: RenewStep = { kind: 'renew', name, owner, ttlMs, fence: lease.fence, endsWithProcess }
    this.#host.collector.add(step, null, false, new Renewal(this, lease, asker))
  }

  /** The renewal was not answered. */
  failed(lease: HeldLease, error: SoloistError, asker: Asker | null): void {
    if (lease.held) {
      const now = this.#host.clock.monotonicMs()
      this.#plan(lease, Math.min(lease.renewalDueMs, now + lease.termMs * RETRY_AFTER), now)
      if (asker === null) this.#host.onRenewFault(lease, error)
    }
    asker?.reject(error)
  }

  /** The owner holds the lock by another grant, so somebody else may have held it in between. */
  regranted(lease: HeldLease, fence: number): void {
    const error = otherGrant(lease, fence)
    this.#host.onRenewFault(lease, error)
    lease.lose(new SoloistError('LEASE_LOST', error.message, { cause: error }))
  }

  #planNext(lease: HeldLease, sinceMs: number, nowMs: number): void {
    const spread = 1 + JITTER * (2 * this.#host.random() - 1)
    this.#plan(lease, sinceMs + lease.termMs * RENEW_AFTER * spread, nowMs)
  }

  #plan(lease: HeldLease, renewalDueMs: number, nowMs: number): void {
    lease.renewalDueMs = renewalDueMs
    const dueMs = Math.min(renewalDueMs, lease.endsAtMs)
    this.#wheel.plan(lease, dueMs, renewalDueMs - lease.termMs * JOIN, nowMs)
  }
}

/** Who asked for a renewal and waits for it. */
interface Asker {
  resolve(): void
  reject(error: unknown): void
}

/** One renewal on its way. */
class Renewal implements StepListener<RenewAnswer> {
  readonly #renewer: Renewer
  readonly #lease: HeldLease
  readonly #asker: Asker | null
  /** What it renews: not what was granted later. */
  readonly #fence: number

  constructor(renewer: Renewer, lease: HeldLease, asker: Asker | null) {
    this.#renewer = renewer
    this.#lease = lease
    this.#asker = asker
    this.#fence = lease.fence
  }

  answered(answer: Done<RenewAnswer>, call: CallTimes): void {
    this.late(answer, call)
    this.#asker?.resolve()
  }

  failed(error: SoloistError): void {
    this.#renewer.failed(this.#lease, error, this.#asker)
  }

  late(answer: Done<RenewAnswer> | null, call: CallTimes): void {
    if (answer?.status === 'held') {
      const { fence } = answer
      if (fence === null || fence === this.#fence || this.#lease.fence !== this.#fence) this.#lease.extend(call)
      else this.#renewer.regranted(this.#lease, fence)
    } else if (answer?.status === 'lost') this.#lease.denied(this.#fence)
  }
}
