import type { Seen, SeenRun, TriggerAction } from '../backend.js'
import type { JobMode, JobStrategy } from './job-modes.js'

/** What a trigger is to do where it is not granted at once. */
export interface Decision {
  /** While a run is live and none is pending. */
  readonly running: TriggerAction
  /** While a run is pending. */
  readonly pending: TriggerAction
}

/** What a trigger came to. */
export type Course =
  /** Its own run has the lock. */
  | 'granted'
  /** Its own run waits. */
  | 'queued'
  /** It added to the pending run, or did nothing. */
  | 'met'

/** The live run that a trigger met. */
export interface MetRun extends SeenRun {
  readonly state: 'queued' | 'running'
}

/** What the caller of a trigger is told. */
export interface Verdict {
  readonly status: 'started' | 'duplicate' | 'replaced' | 'deferred'
  /** Whether the id that is told is that of the run that was met, and not that of the trigger's own. */
  readonly ofMet: boolean
  /** The run that was met, if any. */
  readonly met: MetRun | null
}

/** Whether only a run that waits is a duplicate, and not one that executes. */
export function isGated(mode: JobMode): boolean {
  return mode === 'untilExecuting' || mode === 'untilAndWhileExecuting'
}

/**
 * What a trigger does, by the mode and the strategy of its job.
 *
 * @param adds whether a `rerun` adds to the pending run, and does not take its place
 */
export function decide(mode: JobMode, strategy: JobStrategy, adds: boolean): Decision {
  switch (strategy) {
    case 'rerun':
      return adds ? { running: 'follow', pending: 'follow' } : { running: 'displace', pending: 'displace' }
    case 'replace':
      return { running: 'displace', pending: 'displace' }
    case 'delay':
      return { running: isGated(mode) ? 'displace' : 'wait', pending: 'wait' }
    case 'join':
    case 'reject':
    case 'skip':
      return { running: isGated(mode) ? 'displace' : 'meet', pending: 'meet' }
  }
}

/**
 * What a trigger does whose run vanished with its process. A run that is pending by now starts after it and has newer
 * arguments, so it is left as it is, unless the trigger adds to it.
 */
export function decideAnew(mode: JobMode, strategy: JobStrategy, adds: boolean): Decision {
  const decision = decide(mode, strategy, adds)
  return decision.pending === 'displace' ? { ...decision, pending: 'meet' } : decision
}

/** What the caller of a trigger is told, by what it saw and what came of it. */
export function verdict(mode: JobMode, strategy: JobStrategy, course: Course, seen: Seen): Verdict {
  if (course === 'granted') {
    // It may have taken the place of a pending run that had been granted the lock.
    const taken = seen.pending === null ? null : ({ ...seen.pending, state: 'queued' } as const)
    const replaced = strategy === 'replace' && taken !== null
    return { status: replaced ? 'replaced' : 'started', ofMet: false, met: taken }
  }
  const met = metOf(mode, seen)
  // Where only a run that waits is a duplicate, the first trigger during a run is none. Nor is one that found nothing live.
  const alone = met === null || (isGated(mode) && met.state === 'running')
  switch (strategy) {
    case 'join':
    case 'reject':
    case 'skip':
      return alone ? { status: 'deferred', ofMet: false, met } : { status: 'duplicate', ofMet: true, met }
    case 'rerun':
      return { status: 'deferred', ofMet: !alone, met }
    case 'replace':
      return { status: alone ? 'deferred' : 'replaced', ofMet: false, met }
    case 'delay':
      return { status: 'deferred', ofMet: false, met }
  }
}

/** The run that a trigger is a duplicate of, if there is one; else the one that executes. */
export function metOf(mode: JobMode, { running, pending, waiting }: Seen): MetRun | null {
  const queued = pending ?? waiting
  const [first, state] = isGated(mode)
    ? queued === null
      ? ([running, 'running'] as const)
      : ([queued, 'queued'] as const)
    : running === null
      ? ([queued, 'queued'] as const)
      : ([running, 'running'] as const)
  return first === null ? null : { ...first, state }
}
