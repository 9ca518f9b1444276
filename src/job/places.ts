import { onAbort } from '../internal/abort.js'
import { type JobMode, PERIOD_META } from '../internal/job-modes.js'
import type { HeldLease } from '../lock/holding/lease.js'
import type { Locker } from '../lock/locker.js'
import { exclusive, type LockRequest, shared, type Target } from '../lock/request.js'
import type { JobLockNames } from './names.js'
import type { JobDefinition } from './options.js'

/** What a run has while it executes. */
export interface Hold {
  /** Shows that the run is live, and is what its result is left with. */
  readonly lease: HeldLease
  readonly fence: number
  /** Gives it up unused. Never rejects. */
  giveBack(): Promise<void>
}

/** A place in the queue for a {@link Hold}. */
export interface Place {
  /** Rejects when the place was left or the wait failed. */
  readonly held: Promise<Hold>
  /** Whether it was granted at once: settles as soon as that is known. */
  readonly atOnce: Promise<boolean>
  /** Whether it was granted. */
  readonly granted: boolean
  /** Gives up the place, or what was granted already. */
  leave(): void
}

/**
 * Where the runs of one job stand, by its mode.
 *
 * | mode | `gate`: whose holder a trigger is a duplicate of | `live`: held while executing | `slot`: of the one pending run |
 * |---|---|---|---|
 * | `untilExecuted` | trigger | trigger | next |
 * | `whileExecuting` | run | run | next |
 * | `untilExecuting`, `untilAndWhileExecuting` | trigger | run | trigger: who holds it waits to run |
 * | `untilExpired` | trigger, for its period | run, shared: the period alone keeps others away | next |
 */
export class Places {
  readonly gate: string
  readonly live: Target
  readonly slot: string
  /** Whether the gate is the slot. */
  readonly gated: boolean
  /** Whether the gate is kept for a period and not for as long as a run lasts. */
  readonly periodic: boolean
  readonly #locker: Locker
  readonly #ttlMs: number
  readonly #expiryMs: number

  constructor(locker: Locker, names: JobLockNames, definition: Pick<JobDefinition<never, never>, PlaceOptions>) {
    const { mode } = definition
    this.#locker = locker
    this.#ttlMs = definition.ttlMs
    this.#expiryMs = definition.expiryMs
    this.periodic = mode === 'untilExpired'
    this.gated = isGated(mode)
    this.gate = mode === 'whileExecuting' ? names.run : names.trigger
    this.live = this.periodic ? shared(names.run) : exclusive(this.gated ? names.run : this.gate)
    this.slot = this.gated ? names.trigger : names.next
  }

  /** What the run `id` needs, if the gate is open now; else `null`. Not for a mode whose gate is the slot. */
  async enter(id: string): Promise<Hold | null> {
    if (this.periodic) return await this.#takePeriod(id)
    const lease = await this.#locker.tryAcquire(this.#request(id))
    return lease === null ? null : holdOf(lease)
  }

  /** Takes the period from the dead run `from`. */
  async takeOver(id: string, from: string): Promise<Hold | null> {
    return await this.#takePeriod(id, from)
  }

  /** A place in the queue of what {@link Places.live} needs. */
  queue(id: string): Place {
    return this.periodic ? this.#queueForPeriod(id) : new QueuePlace(this.#locker, this.#request(id))
  }

  /** A place behind the run `from` and whoever comes after it, which does not wait for the period to end. */
  queueBehind(id: string, from: string): Place {
    return this.periodic ? this.#queueForTakeOver(id, from) : this.queue(id)
  }

  /** Takes the slot of the one pending run if it is free. */
  async takeSlot(id: string, meta: string | null): Promise<HeldLease | null> {
    return await this.#locker.tryAcquire(this.#slotRequest(id, meta))
  }

  /** Waits for the slot. */
  queueForSlot(id: string, meta: string | null): Place {
    return new QueuePlace(this.#locker, this.#slotRequest(id, meta))
  }

  #slotRequest(id: string, meta: string | null): LockRequest {
    return { ...this.#request(id), ...exclusive(this.slot), meta }
  }

  #request(id: string): LockRequest {
    const ttlMs = this.#ttlMs
    return { ...this.live, ttlMs, waitMs: Infinity, holdForMs: 0, meta: null, noted: true, signal: null, owner: id }
  }

  #periodRequest(id: string): LockRequest {
    const expiryMs = this.#expiryMs
    return { ...this.#request(id), ...exclusive(this.gate), ttlMs: expiryMs, holdForMs: expiryMs, meta: PERIOD_META }
  }

  /**
   * Takes the lock of the run before that of the period: a trigger that finds the period taken then finds the run
   * alive.
   */
  async #takePeriod(id: string, from?: string): Promise<Hold | null> {
    const lease = await this.#locker.acquire(this.#request(id))
    try {
      const replacing = from === undefined ? {} : { replaces: from }
      const period = await this.#locker.tryAcquire({ ...this.#periodRequest(id), ...replacing })
      if (period !== null) return await this.#periodHold(period, lease)
    } catch (error) {
      await lease[Symbol.asyncDispose]()
      throw error
    }
    await lease[Symbol.asyncDispose]()
    return null
  }

  #queueForPeriod(id: string): Place {
    return new ComposedPlace(async (left, onQueued) => {
      const lease = await this.#locker.acquire(this.#request(id))
      try {
        const sinceMs = this.#locker.clock.monotonicMs()
        const period = await this.#locker.acquire(this.#periodRequest(id), { sinceMs, unless: left, onQueued })
        return await this.#periodHold(period, lease)
      } catch (error) {
        await lease[Symbol.asyncDispose]()
        throw error
      }
    })
  }

  #queueForTakeOver(id: string, from: string): Place {
    return new ComposedPlace(async (left, onQueued) => {
      const lease = await this.#locker.acquire(this.#request(id))
      try {
        onQueued()
        let before: string | undefined = from
        for (;;) {
          left.throwIfAborted()
          if (before !== undefined) await orAborted(this.#ended(before), left)
          const replacing = before === undefined ? {} : { replaces: before }
          const period = await this.#locker.tryAcquire({ ...this.#periodRequest(id), ...replacing })
          if (period !== null) return await this.#periodHold(period, lease)
          const state = await this.#locker.inspect(this.gate)
          before = state?.holders[0]?.owner
        }
      } catch (error) {
        await lease[Symbol.asyncDispose]()
        throw error
      }
    })
  }

  /** The period's lock is left to run out, also after the run. It is given back only if the run does not begin. */
  async #periodHold(period: HeldLease, lease: HeldLease): Promise<Hold> {
    await period[Symbol.asyncDispose]()
    const giveBack = async () => {
      await lease[Symbol.asyncDispose]()
      try {
        await this.#locker.releaseUnused(period)
      } catch (error) {
        this.#locker.onReleaseFault(period, error)
      }
    }
    return { lease, fence: period.fence, giveBack }
  }

  async #ended(id: string): Promise<void> {
    await this.#locker.watching.until(this.live.name, id, this.#ttlMs)
  }
}

type PlaceOptions = 'mode' | 'ttlMs' | 'expiryMs'

function isGated(mode: JobMode): boolean {
  return mode === 'untilExecuting' || mode === 'untilAndWhileExecuting'
}

function holdOf(lease: HeldLease): Hold {
  return { lease, fence: lease.fence, giveBack: () => lease[Symbol.asyncDispose]() }
}

/** Settles with the work, unless the signal fires before. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = onAbort(signal, () => reject(signal.reason))
    work.then(resolve, reject).finally(stop)
  })
}

/** A place in the queue whose hold is made by a function. */
class ComposedPlace implements Place {
  readonly held: Promise<Hold>
  readonly atOnce: Promise<boolean>
  granted = false
  readonly #left = new AbortController()

  /** @param wait resolves with the hold; rejects when `left` fires; calls `onQueued` if it was not granted at once */
  constructor(wait: (left: AbortSignal, onQueued: () => void) => Promise<Hold>) {
    let queued = () => {}
    const onceQueued = new Promise<boolean>(resolve => {
      queued = () => resolve(false)
    })
    const left = this.#left.signal
    this.held = wait(left, queued).then(async hold => {
      if (left.aborted) {
        await hold.giveBack()
        throw left.reason
      }
      this.granted = true
      return hold
    })
    this.atOnce = Promise.race([onceQueued, this.held.then(() => true)])
    // Callers await one of the two promises. If the other one rejects, too, that must not be an unhandled rejection.
    this.held.catch(ignore)
    this.atOnce.catch(ignore)
  }

  leave(): void {
    this.#left.abort()
    this.held.then(hold => hold.giveBack(), ignore)
  }
}

/** A place in the queue of one lock. */
class QueuePlace extends ComposedPlace {
  constructor(locker: Locker, request: LockRequest) {
    super(async (unless, onQueued) => {
      const lease = await locker.acquire(request, { sinceMs: locker.clock.monotonicMs(), unless, onQueued })
      return holdOf(lease)
    })
  }
}

/** For a rejection that somebody else handles. */
function ignore(): void {}
