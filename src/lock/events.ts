import { channel } from 'node:diagnostics_channel'
import type { EventEmitter } from 'node:events'
import type { Claim, ClaimId, ClaimMode } from '../backend.js'
import type { SoloistError } from '../errors.js'
import type { Clock } from '../internal/clock.js'
import { soon } from '../internal/real-time.js'
import { outsideBlocks } from './holding/blocks.js'
import type { HeldLease } from './holding/lease.js'

/** What every event tells about the claim it is about. Durations are whole milliseconds. */
export interface ClaimEvent {
  readonly name: string
  readonly owner: string
  readonly mode: ClaimMode
}

/** The events of a {@link Soloist}; the same objects go to `node:diagnostics_channel` as `soloist:<event>`. */
export interface SoloistEvents {
  /** A lock was granted, after `waitedMs`. */
  acquired: [ClaimEvent & { readonly fence: number; readonly waitedMs: number }]
  /** The lock is taken and the claim was queued. `holder` is one of those before it, where the backend said. */
  waiting: [ClaimEvent & { readonly holder: string | null }]
  /** A lease was given up by its owner after `heldMs`. */
  released: [ClaimEvent & { readonly fence: number; readonly heldMs: number }]
  /** A lease was handed on by `detach()`, after `heldMs`. */
  detached: [ClaimEvent & { readonly fence: number; readonly heldMs: number }]
  /** A lease was made by `attach` of what somebody handed on. */
  attached: [ClaimEvent & { readonly fence: number }]
  /** A lease that ran out was taken again (`onLost: 'retake'`): its fence is another now, and was `fenceBefore`. */
  retaken: [ClaimEvent & { readonly fence: number; readonly fenceBefore: number }]
  /** A lease ended although its owner did not release it; `reason` is what its signal was aborted with. */
  lost: [ClaimEvent & { readonly fence: number; readonly heldMs: number; readonly reason: SoloistError }]
  /** The backend failed where no caller could be told. */
  fault: [FaultEvent]
  /** A job's run failed in this process, after its last attempt, or lost its lease; also when nobody awaits its result. */
  jobFailed: [JobFailure]
}

/**
 * What failed where no caller could be told, by `during`:
 *
 * | | |
 * |---|---|
 * | `renew` | a renewal in the background; it is tried again |
 * | `wait` | a question for a claim that waits; it is asked again, or the claim has its turn later |
 * | `release` | giving up a lock in the background; it expires by itself. `mode` is `null` for a grant that nobody waited for |
 * | `store` | something on the way to the datastore, not one claim: what and whether it was mended says the error |
 */
export type FaultEvent =
  | {
      readonly name: string
      readonly owner: string
      readonly mode: ClaimMode | null
      readonly during: 'renew' | 'wait' | 'release'
      readonly error: unknown
    }
  | {
      readonly name: null
      readonly owner: null
      readonly mode: null
      readonly during: 'store'
      readonly error: unknown
    }

/** A run of a job that failed. */
export interface JobFailure {
  /** The job's name. */
  readonly job: string
  /** The unique key of its arguments. */
  readonly key: string
  /** The run's id. */
  readonly id: string
  /** What its handler threw, or `LEASE_LOST`. */
  readonly error: unknown
}

export type SoloistEventName = keyof SoloistEvents

const channels = {
  acquired: channel('soloist:acquired'),
  waiting: channel('soloist:waiting'),
  released: channel('soloist:released'),
  detached: channel('soloist:detached'),
  attached: channel('soloist:attached'),
  retaken: channel('soloist:retaken'),
  lost: channel('soloist:lost'),
  fault: channel('soloist:fault'),
  jobFailed: channel('soloist:jobFailed'),
}

/**
 * Tells what happens to one client's claims, to its emitter's listeners and to the diagnostics channels. Listeners run in a
 * microtask of their own: one that throws is an uncaught exception of the application, and never a lock that is held by
 * nobody. Where nobody listens, nothing is made.
 */
export class News {
  readonly #emitter: EventEmitter
  readonly #clock: Clock

  constructor(emitter: EventEmitter, clock: Clock) {
    this.#emitter = emitter
    this.#clock = clock
  }

  tell<E extends SoloistEventName>(event: E, detail: SoloistEvents[E][0]): void {
    if (this.#emitter.listenerCount(event) > 0) {
      soon(() => outsideBlocks(() => this.#emitter.emit(event, detail)))
    }
    if (channels[event].hasSubscribers) outsideBlocks(() => channels[event].publish(detail))
  }

  /** @param sinceMs when the caller began to wait, on the monotonic clock */
  acquired({ claim, fence }: HeldLease, sinceMs: number): void {
    if (!this.#isHeard('acquired')) return
    this.tell('acquired', { ...subject(claim), fence, waitedMs: Math.round(this.#clock.monotonicMs() - sinceMs) })
  }

  waiting(claim: Claim, holder: string | null): void {
    if (this.#isHeard('waiting')) this.tell('waiting', { ...subject(claim), holder })
  }

  released({ claim, fence, heldMs }: HeldLease): void {
    if (this.#isHeard('released')) this.tell('released', { ...subject(claim), fence, heldMs: Math.round(heldMs) })
  }

  detached({ claim, fence, heldMs }: HeldLease): void {
    if (this.#isHeard('detached')) this.tell('detached', { ...subject(claim), fence, heldMs: Math.round(heldMs) })
  }

  attached({ claim, fence }: HeldLease): void {
    if (this.#isHeard('attached')) this.tell('attached', { ...subject(claim), fence })
  }

  retaken({ claim, fence }: HeldLease, fenceBefore: number): void {
    if (this.#isHeard('retaken')) this.tell('retaken', { ...subject(claim), fence, fenceBefore })
  }

  lost({ claim, fence, heldMs }: HeldLease, reason: SoloistError): void {
    if (this.#isHeard('lost')) this.tell('lost', { ...subject(claim), fence, heldMs: Math.round(heldMs), reason })
  }

  fault({ name, owner }: ClaimId, mode: ClaimMode | null, during: 'renew' | 'wait' | 'release', error: unknown): void {
    this.tell('fault', { name, owner, mode, during, error })
  }

  /** Something is wrong that is no claim's. */
  storeFault(error: unknown): void {
    this.tell('fault', { name: null, owner: null, mode: null, during: 'store', error })
  }

  #isHeard(event: SoloistEventName): boolean {
    return channels[event].hasSubscribers || this.#emitter.listenerCount(event) > 0
  }
}

function subject({ name, owner, mode }: Claim): ClaimEvent {
  return { name, owner, mode }
}
