import { type Decision, isGated } from '../../internal/job-decision.js'
import type { HeldLease } from '../../lock/holding/lease.js'
import type { Locker } from '../../lock/locker.js'
import {
  counted,
  exclusive,
  type LockRequest,
  NOTHING_SEEN,
  shared,
  type TriggerTerms,
  type TriggerTold,
} from '../../lock/request.js'
import type { Attempt } from '../../lock/waiting/attempt.js'
import { jobMeta } from '../naming/meta.js'
import type { JobLockNames } from '../naming/names.js'
import type { JobDefinition } from '../options.js'

/** How long it is told at least by whom a run was displaced, in milliseconds: longer than an outage may last. */
const DISPLACED_KEPT_MS = 60_000

type ClaimTerms = Pick<
  JobDefinition<unknown, unknown>,
  'mode' | 'ttlMs' | 'limit' | 'resultTtlMs' | 'debounce' | 'expiryMs'
>

/** What a run has while it executes. */
export interface Hold {
  /** Shows that the run is live, and is what its result is left with. */
  readonly lease: HeldLease
  readonly fence: number
  /** Gives it up unused. Never rejects. */
  giveBack(): Promise<void>
}

/** What a run is claimed with. */
export interface ClaimOrder {
  readonly id: string
  readonly decision: Decision
  /** What is left with the pending run, this one or another; `null`: nothing. */
  readonly note: string | null
  /** As in a trigger step. */
  readonly begins: boolean
  /** As in a trigger step. */
  readonly without: string | null
  readonly description: string | null
}

/** Claims what the runs of one job need, by its mode: one lock, or with `untilExpired` a period and a lock of the run. */
export class Claims {
  readonly periodic: boolean
  readonly gated: boolean
  readonly #locker: Locker
  readonly #definition: ClaimTerms

  constructor(locker: Locker, definition: ClaimTerms) {
    this.#locker = locker
    this.#definition = definition
    this.periodic = definition.mode === 'untilExpired'
    this.gated = isGated(definition.mode)
  }

  /** The lock that shows whether a run is live, and that its result is left with. */
  liveLock(names: JobLockNames): string {
    return this.periodic ? names.run : names.trigger
  }

  /** Asks for a run. */
  claim(names: JobLockNames, order: ClaimOrder): RunClaim {
    const { ttlMs, limit, resultTtlMs, debounce } = this.#definition
    const { id, decision, note, begins, without, description } = order
    const base = { ttlMs, waitMs: Infinity, holdForMs: 0, noted: true, signal: null, owner: id }
    const keepMs = Math.max(resultTtlMs, DISPLACED_KEPT_MS)
    const terms = { ...decision, note, begins, debounce, without, keepMs }
    if (!this.periodic) {
      const target = limit === null ? exclusive(names.trigger) : counted(names.trigger, limit)
      return new RunClaim(this.#locker, { ...base, ...target, meta: jobMeta(description, false) }, terms, null)
    }
    const { expiryMs } = this.#definition
    const gate = { ...base, ...exclusive(names.trigger), ttlMs: expiryMs, holdForMs: expiryMs }
    const live = { ...base, ...shared(names.run), meta: jobMeta(description, false) }
    return new RunClaim(this.#locker, { ...gate, meta: jobMeta(description, true) }, terms, live)
  }
}

/** One run's claim: from its trigger until it has what it needs, or has no place any more. */
export class RunClaim {
  readonly id: string
  /** The lock whose queue it waits in. */
  readonly lock: string
  /** What its trigger came to. Rejects when that is not known. */
  readonly told: Promise<TriggerTold>
  /**
   * `null`: it claims nothing (any more), since it only met another, or {@link RunClaim.displacedBy | was displaced}, or its
   * place was lost. Rejects after an outage, and with `CLOSED`.
   */
  readonly held: Promise<Hold | null>
  #attempt: Attempt | null = null
  #tell!: (told: TriggerTold) => void

  /** @param live what the run holds beside, and before: the claim is for its period then */
  constructor(locker: Locker, request: LockRequest, terms: Omit<TriggerTerms, 'onTold'>, live: LockRequest | null) {
    this.id = request.owner as string
    this.lock = request.name
    let refuse!: (error: unknown) => void
    this.told = new Promise((resolve, reject) => {
      this.#tell = resolve
      refuse = reject
    })
    const whole = { ...request, trigger: { ...terms, onTold: this.#tell } }
    this.held = live === null ? this.#claim(locker, whole) : this.#claimPeriod(locker, whole, live)
    this.held.then(null, refuse)
    // Whoever asked awaits one of the two. If the other one rejects too, that must not be an unhandled rejection.
    this.told.then(null, ignore)
  }

  get displacedBy(): string | null {
    return this.#attempt?.displacedBy ?? null
  }

  /** Another run of this process took its place. */
  displaced(by: string): void {
    this.#attempt?.displaced(by)
  }

  /** It has no place any more. */
  placeLost(): void {
    this.#attempt?.placeLost()
  }

  /** As that of an attempt. */
  async takeFrom(owner: string): Promise<string | null> {
    return (await this.#attempt?.takeFrom(owner)) ?? null
  }

  async #claim(locker: Locker, request: LockRequest & { readonly trigger: TriggerTerms }): Promise<Hold | null> {
    const lease = await this.#granted(locker, request)
    return lease === null ? null : { lease, fence: lease.fence, giveBack: () => lease[Symbol.asyncDispose]() }
  }

  /** The run's own lock comes before the period: whoever finds the period taken then finds the run alive. */
  async #claimPeriod(
    locker: Locker,
    request: LockRequest & { readonly trigger: TriggerTerms },
    live: LockRequest,
  ): Promise<Hold | null> {
    const lease = await locker.acquire(live)
    let period: HeldLease | null = null
    try {
      period = await this.#granted(locker, request)
      // Left to run out, also after the run.
      await period?.[Symbol.asyncDispose]()
    } finally {
      if (period === null) await lease[Symbol.asyncDispose]()
    }
    if (period === null) return null
    const { name, owner, fence } = period
    const giveBack = async () => {
      await lease[Symbol.asyncDispose]()
      await endPeriod(locker, name, owner)
    }
    return { lease, fence, giveBack }
  }

  async #granted(locker: Locker, request: LockRequest & { readonly trigger: TriggerTerms }): Promise<HeldLease | null> {
    const attempt = locker.trigger(request)
    this.#attempt = attempt
    const lease = await attempt.result
    // Where the answer to its first step was lost, the next one tells only that it was displaced.
    if (lease === null) this.#tell({ course: 'queued', seen: NOTHING_SEEN, noted: null, pending: false })
    return lease
  }
}

/** Ends a period before its time. Never rejects. */
export async function endPeriod(locker: Locker, name: string, owner: string): Promise<void> {
  try {
    await locker.releaseUnused({ name, owner })
  } catch (error) {
    locker.onFault({ name, owner }, 'exclusive', error)
  }
}

/** For a rejection that somebody else handles. */
function ignore(): void {}
