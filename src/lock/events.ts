import { channel } from 'node:diagnostics_channel'
import type { EventEmitter } from 'node:events'
import type { ClaimMode } from '../backend.js'
import type { SoloistError } from '../errors.js'
import { soon } from '../internal/real-time.js'

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
  /** A lease ended although its owner did not release it; `reason` is what its signal was aborted with. */
  lost: [ClaimEvent & { readonly fence: number; readonly heldMs: number; readonly reason: SoloistError }]
  /**
   * The backend failed where no caller could be told: renewing in the background or asking for a queued claim (both are
   * tried again), or giving up a lock in the background (it expires by itself).
   */
  fault: [ClaimEvent & { readonly during: 'renew' | 'wait' | 'release'; readonly error: unknown }]
  /** A job's run failed in this process, after its last attempt, or lost its lease; also when nobody awaits its result. */
  jobFailed: [JobFailure]
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
  lost: channel('soloist:lost'),
  fault: channel('soloist:fault'),
  jobFailed: channel('soloist:jobFailed'),
}

/**
 * Tells an event to the emitter's listeners and to the diagnostics channel; `detail` is called when there is one of them.
 * Listeners run in a microtask of their own: one that throws is an uncaught exception of the application, and never a lock
 * that is held by nobody.
 */
export function publish<E extends SoloistEventName>(
  emitter: EventEmitter,
  event: E,
  detail: () => SoloistEvents[E][0],
): void {
  const listened = emitter.listenerCount(event) > 0
  const diagnostics = channels[event]
  if (!listened && !diagnostics.hasSubscribers) return
  const told = detail()
  if (listened) soon(() => emitter.emit(event, told))
  if (diagnostics.hasSubscribers) diagnostics.publish(told)
}
