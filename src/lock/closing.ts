import { SoloistError } from '../errors.js'
import type { Clock, Timer } from '../internal/clock.js'
import type { Failures } from './calls/failures.js'
import { Attachment } from './holding/attachment.js'
import type { Blocks } from './holding/blocks.js'
import { HeldLease } from './holding/lease.js'
import type { Releases } from './holding/releases.js'
import type { LocalLocks, Standing } from './local-locks.js'
import { Attempt } from './waiting/attempt.js'

/** How many leases are given up before it is looked whether the backend still answers. */
const AT_ONCE = 1_024
/** How long blocks may take to end after their signals were aborted, so that their locks are given back. */
const BLOCKS_END_MS = 1_000

/** What closing needs from the client it ends. */
export interface ClosingHost {
  readonly clock: Clock
  readonly locks: LocalLocks
  readonly releases: Releases
  readonly failures: Failures
  readonly blocks: Blocks<HeldLease>
  /** How many leases this client holds. */
  readonly held: number
  /** Everything is aborted now: nobody watches any claim any more. */
  endWatching(reason: SoloistError): void
  /** A lease could not be given back. */
  onReleaseFault(lease: HeldLease, error: unknown): void
}

/**
 * The end of a client. First nothing new is taken and what waits ends, while what is held may end by itself; then what is
 * left is aborted and given back. A lock whose block does not end is not given back: it runs out by itself.
 */
export class Closing {
  /** What is held may still end by itself. */
  draining = true
  readonly #host: ClosingHost
  /** Leases of the blocks that close was called in: those cannot end before it does. */
  readonly #own: readonly HeldLease[]
  /** Leases that were aborted and not given up yet. */
  #ended: HeldLease[] = []
  /** Leases that were aborted and whose blocks have not ended yet. */
  readonly #inBlocks = new Set<HeldLease>()
  #timer: Timer | null = null
  /** When draining ends, on the monotonic clock. */
  #untilMs = Infinity
  #goOn = () => {}

  constructor(host: ClosingHost) {
    this.#host = host
    this.#own = [...host.blocks.around()].flatMap(({ leases }) => leases)
  }

  /** Ends what waits, apart from what a block waits for that holds something, and lets what is held end. */
  async drain(drainMs: number): Promise<void> {
    for (const standing of this.#host.locks.standing()) {
      if (isCall(standing) && !standing.inside) standing.fail(closedError())
    }
    if (this.#isDrained()) return
    await new Promise<void>(resolve => {
      this.#goOn = resolve
      this.hurry(drainMs)
    })
    this.#timer?.cancel()
  }

  /** Lets what is held end for so long from now on, or for as long as was said before if that is shorter. */
  hurry(drainMs: number): void {
    const { clock } = this.#host
    const untilMs = clock.monotonicMs() + drainMs
    if (!this.draining || untilMs >= this.#untilMs) return
    this.#untilMs = untilMs
    this.#timer?.cancel()
    this.#timer = null
    if (drainMs <= 0) this.#goOn()
    else this.#timer = clock.setTimer(drainMs, () => this.#goOn())
  }

  /** A lease came to its end. */
  leaseEnded(): void {
    if (this.draining && this.#isDrained()) this.#goOn()
  }

  /** Aborts what is left, and sends for all of it that it is given up. Resolves when no block is waited for any more. */
  async abort(): Promise<void> {
    const { locks, clock } = this.#host
    this.draining = false
    for (const standing of locks.standing()) {
      if (standing instanceof HeldLease) standing.lose(closedError())
      else if (isCall(standing)) standing.fail(closedError())
    }
    this.#host.endWatching(closedError())
    const blocksEnded = new Promise<void>(resolve => {
      this.#goOn = resolve
      if (this.#inBlocks.size === 0) return resolve()
      this.#timer = clock.setTimer(BLOCKS_END_MS, resolve)
    })
    await this.#giveUpEnded()
    await blocksEnded
    this.#timer?.cancel()
    const left = [...this.#inBlocks]
    this.#inBlocks.clear()
    for (const lease of left) {
      lease.lock.remove(lease)
      this.#host.onReleaseFault(lease, closedError('its block still runs, so the lock is not given back but runs out'))
    }
  }

  /** A lease was aborted. */
  aborted(lease: HeldLease): void {
    if (lease.inBlock && !this.#own.includes(lease)) this.#inBlocks.add(lease)
    else this.#ended.push(lease)
  }

  blockEnded(lease: HeldLease): void {
    if (!this.#inBlocks.delete(lease)) return
    this.#host.releases.release(lease, null)
    if (this.#inBlocks.size === 0) this.#goOn()
  }

  #isDrained(): boolean {
    return this.#host.held <= this.#own.filter(({ held }) => held).length
  }

  /** Some at a time, so that each has its time to be answered; as long as any is answered. */
  async #giveUpEnded(): Promise<void> {
    const { releases, failures } = this.#host
    let answers = true
    for (let leases = this.#ended.splice(0, AT_ONCE); leases.length > 0; ) {
      const before = releases.answered
      for (const lease of leases) {
        if (answers) releases.release(lease, null)
        else {
          const error = failures.unavailable('release', 'gave no answer for a while', failures.last)
          this.#host.onReleaseFault(lease, error)
        }
      }
      leases = this.#ended.splice(0, AT_ONCE)
      if (!answers || leases.length === 0) continue
      await releases.finished()
      answers = releases.answered > before
    }
  }
}

/** Whether it is a call that has not ended. */
function isCall(standing: Standing): standing is Attempt | Attachment {
  return standing instanceof Attempt || standing instanceof Attachment
}

/** What everything is answered with from then on. */
export function closedError(why = ''): SoloistError {
  return new SoloistError('CLOSED', `this Soloist object was closed${why === '' ? '' : `: ${why}`}`)
}
