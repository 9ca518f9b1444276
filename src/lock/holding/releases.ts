import type { AcquireAnswer, Claim, ClaimId, ClaimMode, KeptResult, ReleaseAnswer, RenewAnswer } from '../../backend.js'
import type { SoloistError } from '../../errors.js'
import type { Clock } from '../../internal/clock.js'
import type { StepCollector } from '../calls/collector.js'
import type { Done, PendingStep, StepListener } from '../calls/steps.js'
import { Expiring, type LocalLock, type LocalLocks } from '../local-locks.js'
import type { HeldLease } from './lease.js'

/** What giving up claims needs from the client it belongs to. */
export interface ReleasesHost {
  readonly clock: Clock
  readonly collector: StepCollector
  readonly locks: LocalLocks
  /** Its owner gave the lease up. */
  onReleased(lease: HeldLease): void
  /** A grant of this lock may have been missed. */
  onMissed(name: string): void
  onFault(claim: ClaimId, mode: ClaimMode | null, error: unknown): void
}

/**
 * Every way in which this client gives up a claim: a lease that is released or left to run out, a claim that nobody here
 * stands for, and somebody else's. Each is sent once more when it failed.
 */
export class Releases {
  readonly #host: ReleasesHost
  /** How many were answered. */
  answered = 0
  #unfinished = 0
  #onFinished: (() => void)[] = []

  constructor(host: ReleasesHost) {
    this.#host = host
  }

  /** Gives a lease up, and tells it what came of it. */
  release(lease: HeldLease, result: KeptResult | null): void {
    const { name, owner } = lease
    // Where an earlier release failed, its lock may not be known any more.
    const lock = lease.lock.find(owner) === lease ? lease.lock : this.#host.locks.at(name)
    const keepForMs = lease.keptForMs
    if (lease.successor !== null) this.#pass(lease, lease.successor, lock)
    else if (keepForMs > 0) this.#letExpire(lease, keepForMs)
    else {
      this.#host.collector.add({ kind: 'release', name, owner, result }, lock, true, new LeaseRelease(this, lease))
      lock.remove(lease)
    }
    this.#unfinished += 1
  }

  /** Gives up a claim for somebody else. @returns whether its owner held the lock until now */
  releaseOf({ name, owner }: ClaimId, result: KeptResult | null): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const listener: StepListener<ReleaseAnswer> = {
        answered: ({ held }) => {
          resolve(held)
          this.#answered()
        },
        failed: error => {
          reject(error)
          this.#finish()
        },
      }
      const step = { kind: 'release', name, owner, result } as const
      this.#host.collector.add(step, this.#host.locks.at(name), true, listener)
      this.#unfinished += 1
    })
  }

  /** Takes back, in the background, what the backend noted or may have noted of a claim that nobody here stands for. */
  releaseOrphan({ name, owner }: ClaimId, mode: ClaimMode | null): PendingStep | null {
    if (this.#host.locks.find(name, owner) !== undefined) return null
    const listener: StepListener<ReleaseAnswer> = {
      answered: () => this.#answered(),
      failed: error => {
        this.#host.onFault({ name, owner }, mode, error)
        this.#finish()
      },
    }
    const step = { kind: 'release', name, owner, result: null } as const
    try {
      const pending = this.#host.collector.add(step, this.#host.locks.at(name), true, listener)
      this.#unfinished += 1
      return pending
    } catch (error) {
      this.#host.onFault({ name, owner }, mode, error)
      return null
    }
  }

  /** Resolves when nothing is on its way any more. */
  finished(): Promise<void> {
    if (this.#unfinished === 0) return Promise.resolve()
    return new Promise(resolve => this.#onFinished.push(resolve))
  }

  /** A lease's release was answered. */
  released(lease: HeldLease, held: boolean): void {
    this.#host.onReleased(lease)
    // It was released before: then that answer was lost, and perhaps a grant told in it.
    if (!held) this.#host.onMissed(lease.name)
    lease.endRelease(held, null)
    this.#answered()
  }

  /** A lease's release failed. */
  failed(lease: HeldLease, error: SoloistError): void {
    if (!lease.endRelease(false, error)) this.#host.onFault(lease, lease.claim.mode, error)
    this.#finish()
  }

  /** Another claim takes the place of this one. If somebody else holds the lock by now, they keep it. */
  #pass(lease: HeldLease, claim: Claim, lock: LocalLock): void {
    const step = { kind: 'acquire', claim, ticket: null, replaces: lease.owner } as const
    this.#host.collector.add<AcquireAnswer>(step, lock, true, {
      answered: ({ status }) => {
        this.#host.onReleased(lease)
        lease.endRelease(status === 'granted', null)
        this.#answered()
      },
      failed: error => this.failed(lease, error),
    })
    lock.remove(lease)
  }

  /** Left to run out instead of being released: so it is kept even if this process ends now. */
  #letExpire(lease: HeldLease, ttlMs: number): void {
    const { clock, collector, locks } = this.#host
    const { name, owner, fence } = lease
    const lock = locks.at(name)
    const timer = clock.setTimer(ttlMs, () => lock.remove(expiring), { background: true })
    const expiring = new Expiring(owner, timer)
    lock.put(expiring)
    collector.add<RenewAnswer>({ kind: 'renew', name, owner, ttlMs, fence }, lock, true, {
      answered: () => {
        this.#host.onReleased(lease)
        lease.endRelease(true, null)
        this.#answered()
      },
      failed: error => this.failed(lease, error),
    })
  }

  #answered(): void {
    this.answered += 1
    this.#finish()
  }

  #finish(): void {
    this.#unfinished -= 1
    if (this.#unfinished > 0) return
    for (const resolve of this.#onFinished.splice(0)) resolve()
  }
}

class LeaseRelease implements StepListener<ReleaseAnswer> {
  readonly #releases: Releases
  readonly #lease: HeldLease

  constructor(releases: Releases, lease: HeldLease) {
    this.#releases = releases
    this.#lease = lease
  }

  answered({ held }: Done<ReleaseAnswer>): void {
    this.#releases.released(this.#lease, held)
  }

  failed(error: SoloistError): void {
    this.#releases.failed(this.#lease, error)
  }
}
