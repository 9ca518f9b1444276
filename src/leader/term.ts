import { SoloistError } from '../errors.js'
import { onAbort } from '../internal/abort.js'
import { closedError } from '../lock/closing.js'
import { outsideBlocks } from '../lock/holding/blocks.js'
import type { HeldLease } from '../lock/holding/lease.js'
import type { Locker } from '../lock/locker.js'
import { shared } from '../lock/request.js'

/** The time in which one candidate leads. */
export interface Term {
  /** The name of the leadership. */
  readonly name: string
  /** The string that stands for this term in the store. */
  readonly owner: string
  /** Greater than that of every term before. Send it with each write, and let the resource refuse a lower one. */
  readonly fence: number
  /** What this candidate shows to others, such as its address; `null`: nothing. */
  readonly value: string | null
  /** When the request that was granted was sent, on this process's clock. */
  readonly electedAt: Date
  /**
   * Aborts when the term is over: also on `resign()`, and then before others are told. By a local timer when the lease
   * cannot be renewed, so on time also when the store does not answer.
   */
  readonly signal: AbortSignal
  /** Whether the term is valid at this moment, judged by the clock: also right after the event loop was blocked. */
  readonly isValid: boolean
  /** Returns if the term is valid at this moment. @throws SoloistError `LEASE_LOST`, or `CLOSED` */
  assertValid(): void
}

/** After a question for the lock `stop` that failed the next one follows within this long, and not before half of it. */
const RETRY_MS = 500

/** Why a term is over, where its holder gave it up. */
export type Resignation = 'resigned' | 'asked'

/** A term as the client that leads sees it. */
export class HeldTerm implements Term, AsyncDisposable {
  readonly name: string
  readonly value: string | null
  readonly lease: HeldLease
  /** Resolves when it is over, with why; `null`: its holder resigned. */
  readonly over: Promise<SoloistError | null>
  readonly #locker: Locker
  readonly #stop: string
  readonly #controller = new AbortController()
  #end!: (reason: SoloistError | null) => void
  #reason: SoloistError | null = null
  readonly #stops: (() => void)[] = []
  #asked: HeldLease | null = null

  constructor(locker: Locker, name: string, stop: string, lease: HeldLease) {
    this.#locker = locker
    this.#stop = stop
    this.name = name
    this.lease = lease
    this.value = lease.claim.meta
    this.over = new Promise(resolve => {
      this.#end = resolve
    })
    this.#stops.push(onAbort(lease.signal, () => this.#finish(lease.signal.reason, lease.signal.reason)))
    this.#stops.push(locker.onClose(() => this.#close()))
    if (this.#reason === null) void this.#hear()
  }

  get owner(): string {
    return this.lease.owner
  }

  get fence(): number {
    return this.lease.fence
  }

  get electedAt(): Date {
    return this.lease.acquiredAt
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get isValid(): boolean {
    return this.#reason === null && this.lease.valid
  }

  assertValid(): void {
    if (this.#reason !== null) throw new SoloistError(this.#reason.code, this.#reason.message)
    this.lease.assertValid()
  }

  /** Ends the term, then hands the lock over. Without effect when it is over. */
  async resign(how: Resignation): Promise<void> {
    this.#giveUp(how)
    await this.lease.release()
  }

  /** As `resign('resigned')`, but reports a failure as a `fault` event. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#giveUp('resigned')
    await this.lease[Symbol.asyncDispose]()
  }

  #giveUp(how: Resignation): void {
    const why = how === 'asked' ? 'the leader was asked to resign' : 'the leader resigned'
    this.#finish(new SoloistError('LEASE_LOST', `${why}: ${JSON.stringify(this.name)}`), null)
  }

  /** Its client begins to close, and no candidate is to wait until it has. */
  #close(): void {
    const reason = closedError()
    this.#finish(reason, reason)
    this.lease.release().catch((error: unknown) => this.#locker.onReleaseFault(this.lease, error))
  }

  #finish(reason: SoloistError, told: SoloistError | null): void {
    if (this.#reason !== null) return
    this.#reason = reason
    for (const stop of this.#stops) stop()
    outsideBlocks(() => this.#controller.abort(reason))
    void this.#asked?.[Symbol.asyncDispose]()
    this.#end(told)
  }

  /**
   * Holds the lock `stop` in the name of this term. Whoever wants it to resign releases that, and the store pushes it to
   * here. If the push is lost, the next renewal finds it. A store that does not grant it is asked again.
   */
  async #hear(): Promise<void> {
    const { lease } = this
    const { owner, termMs: ttlMs } = lease
    const { signal } = this.#controller
    const request = { ...shared(this.#stop), ttlMs, waitMs: Infinity, holdForMs: 0, meta: null, owner, signal }
    for (let told = false; this.#reason === null; told = true) {
      try {
        if (told) await this.#locker.pause(RETRY_MS * (0.5 + this.#locker.random() / 2), signal)
        if (this.#reason === null) return await this.#heard(await this.#locker.acquire(request))
      } catch (error) {
        if (this.#reason !== null) return
        // Closing began after the grant was answered, and before this term heard of its beginning.
        if (error instanceof SoloistError && error.code === 'CLOSED') return this.#close()
        if (!told) this.#locker.news.fault(lease, 'shared', 'wait', error)
      }
    }
  }

  async #heard(stop: HeldLease): Promise<void> {
    this.#asked = stop
    if (this.#reason !== null) return await stop[Symbol.asyncDispose]()
    this.#locker.watching.until(this.#stop, stop.owner).then(
      () => this.#resignOnRequest(),
      // The store is away, or this client ends: the lease of `stop` tells the rest.
      () => {},
    )
    onAbort(stop.signal, () => {
      if (stop.signal.reason.code === 'LEASE_LOST') this.#resignOnRequest()
    })
  }

  #resignOnRequest(): void {
    if (this.#reason !== null) return
    this.resign('asked').catch((error: unknown) => this.#locker.onReleaseFault(this.lease, error))
  }
}
