import { EventEmitter } from 'node:events'
import type { JobCount, JobCounts, Soloist } from '../../../index.js'

/** What {@link Singleton} tells of one job. */
export interface SingletonEvent {
  /** The job's name. */
  readonly name: string
  readonly id: string
  /** The name of its trigger lock. */
  readonly lock: string
}

export interface SingletonEvents {
  /**
   * A job did not hold the lock it should: it came into its queue after its place was taken, or it ended without its lease; or
   * it is run, was ended or was removed by somebody who knows nothing of locks. `action` says what was done about it.
   */
  lapsed: [event: SingletonEvent & { readonly action: 'waits' | 'fails' | 'dropped' | 'runs' | 'ended' }]
  /** A job of a scheduler met a live one and was ended without being run, as its strategy says. */
  duplicate: [event: SingletonEvent & { readonly owner: string }]
  /** A job was not run since a newer one took its place. */
  replaced: [event: SingletonEvent & { readonly owner: string }]
  /** Something that is tried again, or that others will tidy, failed in the background. */
  fault: [event: { readonly during: string; readonly error: unknown; readonly id?: string | undefined }]
}

/** What a queue or a worker of this adapter shows of its singleton jobs: events, counters, and the locks' store. */
export class Singleton extends EventEmitter<SingletonEvents> {
  /** Where the locks are. */
  readonly solo: Soloist

  constructor(solo: Soloist) {
    super()
    this.solo = solo
  }

  /** How often each outcome happened with {@link Singleton.solo}, of one job name or of all. */
  counts(name?: string): JobCounts {
    return this.solo.jobs.counts(name)
  }

  /** For the adapter's own use. */
  count(name: string, what: JobCount): void {
    this.solo.jobs.count(name, what)
  }
}
