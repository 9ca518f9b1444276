import type { RenewAnswer } from '../../backend.js'
import { SoloistError } from '../../errors.js'
import type { StepCollector } from '../calls/collector.js'
import type { CallTimes, Done, StepListener } from '../calls/steps.js'
import type { LocalLock, Standing } from '../local-locks.js'
import { driftMs, HeldLease, type LeaseHost } from './lease.js'
import type { Holding } from './token.js'

/** A renewal whose answer comes too late to be used is sent again this often before the backend counts as too slow. */
const LATE_ANSWERS = 3

/** What attaching needs from the client it belongs to. */
export interface AttachmentHost extends LeaseHost {
  readonly collector: StepCollector
  /** The backend's word for itself. */
  readonly kind: string
  /** From now on the lease stands for the claim. */
  hold(lease: HeldLease, nowMs: number): void
  onAttached(lease: HeldLease): void
}

/** One call that takes a holding over: it renews it, and the answer is the lease or that it is not held any more. */
export class Attachment implements Standing, StepListener<RenewAnswer> {
  readonly owner: string
  /** Whether it was made in a block of its client. */
  readonly inside: boolean
  readonly result: Promise<HeldLease>
  readonly #host: AttachmentHost
  readonly #lock: LocalLock
  readonly #holding: Holding
  #resolve!: (lease: HeldLease) => void
  #reject!: (error: unknown) => void
  #late = 0
  #over = false

  constructor(host: AttachmentHost, lock: LocalLock, holding: Holding, inside: boolean) {
    this.#host = host
    this.#lock = lock
    this.#holding = holding
    this.owner = holding.owner
    this.inside = inside
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  start(): void {
    const { name, owner, ttlMs, fence, holdForMs } = this.#holding
    const endsWithProcess = holdForMs === 0
    this.#host.collector.add<RenewAnswer>(
      { kind: 'renew', name, owner, ttlMs, fence, endsWithProcess },
      this.#lock,
      true,
      this,
    )
  }

  answered(answer: Done<RenewAnswer>, call: CallTimes): void {
    if (this.#over) return
    const { name, fence, ttlMs } = this.#holding
    const what = `the lock ${JSON.stringify(name)}`
    if (answer.status === 'lost') return this.fail(new SoloistError('LEASE_LOST', `${what} is not held by this token`))
    if (answer.fence !== null && answer.fence !== fence) {
      return this.fail(new SoloistError('LEASE_LOST', `${what} was granted anew since this token was made`))
    }
    if (call.tookMs < ttlMs - driftMs(ttlMs)) return this.#attach(call)
    this.#late += 1
    if (this.#late < LATE_ANSWERS) return this.start()
    const message = `the ${this.#host.kind} backend's answers take longer than the token's ttl of ${ttlMs} ms`
    this.fail(new SoloistError('BACKEND_UNAVAILABLE', message))
  }

  failed(error: SoloistError): void {
    this.fail(error)
  }

  /** Ends the call without a lease. What is held stays held, for whoever attaches in time. */
  fail(error: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#lock.remove(this)
    this.#reject(error)
  }

  #attach(call: CallTimes): void {
    const { name, owner, mode, limit, ttlMs, fence, holdForMs } = this.#holding
    const claim = { name, owner, mode, limit, ttlMs, meta: null, endsWithProcess: holdForMs === 0 }
    let lease: HeldLease
    try {
      lease = new HeldLease(this.#host, this.#lock, claim, this.#holding, fence, call)
      this.#host.hold(lease, call.answeredAtMs)
    } catch (error) {
      return this.fail(error)
    }
    this.#over = true
    this.#host.onAttached(lease)
    this.#resolve(lease)
  }
}
