import type { SoloistError } from '../../errors.js'
import type { Clock } from '../../internal/clock.js'
import type { StepCollector } from '../calls/collector.js'
import type { PendingStep } from '../calls/steps.js'
import type { HeldLease, LeaseHost } from '../holding/lease.js'
import type { WaitingRoom } from './room.js'

/** What an attempt (`A`) needs from the client it belongs to. */
export interface HostOf<A> extends LeaseHost {
  readonly clock: Clock
  readonly collector: StepCollector
  readonly waiting: WaitingRoom
  /** As the backend says it. */
  readonly beatMs: number
  /** The backend's word for itself. */
  readonly kind: string
  /** From now on the lease stands for the attempt's claim. */
  hold(lease: HeldLease, nowMs: number): void
  /** The caller began to wait at this moment of the monotonic clock. */
  onHeld(lease: HeldLease, sinceMs: number): void
  /** The attempt ended without a lease. */
  forget(attempt: A): void
  onQueued(attempt: A, holder: string | null): void
  /** What was granted cannot be, by what this client knows. */
  onContradiction(attempt: A, error: SoloistError): void
  /** Takes back what the backend may have noted of the claim: nobody here stands for it any more. */
  dequeue(attempt: A): PendingStep | null
}
