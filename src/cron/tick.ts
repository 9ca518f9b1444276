import type { Claim } from '../backend.js'
import { LockTimeoutError } from '../errors.js'
import type { HeldLease } from '../lock/holding/lease.js'
import type { Locker } from '../lock/locker.js'
import { exclusive } from '../lock/request.js'
import { tickLock } from './names.js'
import { markOwner, parseOwner, type TickOutcome, type TickResult } from './outcome.js'

/** A tick that nobody holds, but somebody waits for, is asked for again after this long. */
const CROWDED_MS = 50

/** A tick, as one instance comes to it. */
export interface Tick {
  readonly name: string
  readonly scheduledAtMs: number
  /** How long the tick is kept after it ended, in milliseconds. */
  readonly keepForMs: number
  /** The lease while it runs, where another instance is to notice its end. */
  readonly ttlMs: number
  /** Whether another instance runs it when the one that did died. */
  readonly recovers: boolean
  /** Who asks. The same for every attempt, so that a grant whose answer was lost is found again. */
  readonly owner: string
  /** Told by how much the store's clock is ahead of this instance's, in milliseconds. */
  readonly onClock?: (offsetMs: number) => void
}

/** What a claim of a tick came to, where it is not this instance's. */
export type NotMine = Extract<TickOutcome<never>, { status: 'elsewhere' | 'refused' }>

/** A tick that is this instance's to run. */
export class TickHold {
  readonly lease: HeldLease
  /** When it was granted, by the store's clock. */
  readonly startedMs: number
  /** Whether the instance that ran it before has died. */
  readonly recovered: boolean
  readonly #keepForMs: number

  constructor(lease: HeldLease, startedMs: number, recovered: boolean, keepForMs: number) {
    this.lease = lease
    this.startedMs = startedMs
    this.recovered = recovered
    this.#keepForMs = keepForMs
  }

  /** Whatever ends it from now on: the tick is kept, marked so. */
  mark(result: TickResult): void {
    const { name, owner } = this.lease
    const claim: Claim = {
      name,
      owner: markOwner(owner, result),
      mode: 'exclusive',
      limit: null,
      ttlMs: this.#keepForMs,
      meta: null,
    }
    this.lease.successor = claim
  }

  /** Ends it. @returns whether it was held until then */
  async end(): Promise<boolean> {
    return await this.lease.releaseWith(null)
  }

  /** Gives it back as if it had never been asked for. */
  async giveBack(): Promise<void> {
    this.lease.successor = null
    await this.lease.release()
  }
}

/**
 * Asks for a tick once, and with `recovers` until it is known that it ran: it waits for the end of a run elsewhere, and
 * asks again when that left no mark.
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE`, after which the same owner may ask again; `ABORTED`; `CLOSED`
 */
export async function claimTick(locker: Locker, tick: Tick, signal: AbortSignal | null): Promise<TickHold | NotMine> {
  const lock = tickLock(tick.name, tick.scheduledAtMs)
  let recovering = false
  for (;;) {
    const held = await claimOnce(locker, tick, lock)
    if (typeof held !== 'string') return await judged(locker, tick, held, recovering)
    const { by, result } = parseOwner(held)
    if (result !== null || !tick.recovers) return { status: 'elsewhere', by, result }
    await locker.watching.until(lock, held, tick.ttlMs, signal)
    // Nobody marked it since it was held, or the mark would be found now: so its age says nothing.
    recovering = true
  }
}

/** The lease, or who holds the tick. */
async function claimOnce(locker: Locker, tick: Tick, lock: string): Promise<HeldLease | string> {
  const { owner, recovers, ttlMs, keepForMs } = tick
  const aheadMs = Math.max(tick.scheduledAtMs - locker.clock.wallMs(), 0)
  const how = recovers ? { ttlMs } : { ttlMs: Math.ceil(keepForMs + aheadMs), outlives: true }
  const request = { ...exclusive(lock), ...how, waitMs: 0, holdForMs: 0, meta: null, signal: null, owner }
  for (;;) {
    try {
      return await locker.acquire(request)
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error
      if (error.holder !== null) return error.holder
      // Somebody waits for the lock of a tick, which nobody here does, and is about to be granted it.
      await locker.pause(CROWDED_MS, null)
    }
  }
}

/**
 * The store's clock has the last word. A tick that is older than marks are kept may have run before, and one that lies
 * ahead by more would be forgotten before its time.
 */
async function judged(locker: Locker, tick: Tick, lease: HeldLease, recovering: boolean): Promise<TickHold | NotMine> {
  const { keepForMs, scheduledAtMs, recovers } = tick
  const storeMs = await storeTime(locker, lease, tick)
  const offMs = Math.round(storeMs - scheduledAtMs)
  const hold = new TickHold(lease, storeMs, recovering, Math.ceil(keepForMs + Math.max(-offMs, 0)))
  if (-offMs > keepForMs || (offMs > keepForMs && !recovering)) {
    await hold.giveBack()
    return { status: 'refused', why: offMs > 0 ? 'late' : 'early', offMs }
  }
  // Whoever closes its client in the middle of a run has begun it. With `recovers` another one runs it.
  if (!recovers) hold.mark('interrupted')
  return hold
}

/** The store's time. Not that of the fence, which is ahead of a clock that was set back. */
async function storeTime(locker: Locker, lease: HeldLease, { onClock }: Tick): Promise<number> {
  try {
    const askedMs = locker.clock.wallMs()
    const state = await locker.inspect(lease.name)
    if (state === null) return lease.fence / 1_000
    onClock?.(clockOffsetMs(state.atMs, askedMs, locker.clock.wallMs()))
    return state.atMs
  } catch (error) {
    await lease[Symbol.asyncDispose]()
    throw error
  }
}

/**
 * By how much the store's clock is ahead of this instance's, or behind when negative, at the least. The store told its time
 * somewhere between the question and the moment at which the answer was read, which is late where the event loop was blocked.
 */
export function clockOffsetMs(storeMs: number, askedMs: number, readMs: number): number {
  if (storeMs < askedMs) return storeMs - askedMs
  return Math.max(storeMs - readMs, 0)
}
