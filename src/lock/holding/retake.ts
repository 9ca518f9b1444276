import type { AcquireAnswer } from '../../backend.js'
import type { SoloistError } from '../../errors.js'
import type { Clock, Timer } from '../../internal/clock.js'
import type { StepCollector } from '../calls/collector.js'
import type { CallTimes, Done, StepListener } from '../calls/steps.js'
import { RETRY_MS } from '../waiting/outage.js'
import { otherGrant } from './contradiction.js'
import { driftMs, type HeldLease } from './lease.js'

/** What taking a lease again needs from the client it belongs to. */
export interface RetakeHost {
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  readonly collector: StepCollector
  /** The lease is held again. `fenceBefore` is the same where nobody else can have held it. */
  onRetaken(lease: HeldLease, fenceBefore: number): void
  /** A question failed; it is asked again. */
  onRenewFault(lease: HeldLease, error: unknown): void
  /** The backend may have granted what nobody wants any more. */
  onUnwanted(lease: HeldLease): void
}

/**
 * Takes the lock of a lease that ran out again, if it is free: asks for one more ttl until there is an answer. While it
 * asks, the lease is neither valid nor lost.
 */
export class Retake implements StepListener<AcquireAnswer> {
  readonly #host: RetakeHost
  readonly #lease: HeldLease
  /** With what the lease is lost if the lock is not free. */
  readonly #reason: SoloistError
  /** No question is asked later, on the monotonic clock. */
  readonly #untilMs: number
  #timer: Timer | null = null
  #over = false

  constructor(host: RetakeHost, lease: HeldLease, reason: SoloistError) {
    this.#host = host
    this.#lease = lease
    this.#reason = reason
    this.#untilMs = host.clock.monotonicMs() + lease.termMs
  }

  ask(): void {
    const { claim, lock } = this.#lease
    this.#host.collector.add<AcquireAnswer>({ kind: 'acquire', claim, ticket: null, replaces: null }, lock, true, this)
  }

  answered(answer: Done<AcquireAnswer>, call: CallTimes): void {
    const { termMs, fence: before } = this.#lease
    if (this.#over) return this.late(answer)
    if (answer.status === 'busy') return this.#lease.lose(this.#reason)
    // Granted, but what it was granted for is over by now.
    if (call.tookMs >= termMs - driftMs(termMs)) return this.#again()
    this.#over = true
    if (answer.fence < before) {
      const error = otherGrant(this.#lease, answer.fence)
      this.#host.onRenewFault(this.#lease, error)
      return this.#lease.lose(this.#reason)
    }
    this.#lease.retaken(answer.fence, call)
    this.#host.onRetaken(this.#lease, before)
  }

  failed(error: SoloistError): void {
    if (this.#over) return this.late(null)
    this.#host.onRenewFault(this.#lease, error)
    this.#again()
  }

  late(answer: Done<AcquireAnswer> | null): void {
    if (this.#over && !this.#lease.held && answer?.status !== 'busy') this.#host.onUnwanted(this.#lease)
  }

  /** The lease ended otherwise. */
  cancel(): void {
    this.#over = true
    this.#timer?.cancel()
  }

  #again(): void {
    const { clock, random } = this.#host
    const delayMs = RETRY_MS * (0.5 + random() / 2)
    if (clock.monotonicMs() + delayMs > this.#untilMs) return this.#lease.lose(this.#reason)
    this.#timer = clock.setTimer(delayMs, () => this.ask(), { background: true })
  }
}
