import type { JobState } from '../errors.js'

export type { JobState }

/**
 * What a trigger came to.
 *
 * | status | what happened |
 * |---|---|
 * | `started` | nothing like it was live: this trigger's job was queued or started |
 * | `duplicate` | it was live already, and nothing was added |
 * | `replaced` | this trigger's job stands in the place of a live one, which it removed, stopped or follows |
 * | `deferred` | this trigger is covered by a run that starts after the live one |
 * | `recovered` | this trigger's job was started in the place of one that had died |
 */
export type TriggerStatus = 'started' | 'duplicate' | 'replaced' | 'deferred' | 'recovered'

/** What a trigger is answered with: whether it was a duplicate, and of what. */
export interface TriggerOutcome {
  readonly status: TriggerStatus
  /** The job that covers this trigger: its own, or with `duplicate` the live one. */
  readonly id: string
  /** Who held the lock before, or holds it, as `inspect` shows it; absent when nobody did. */
  readonly owner?: string
  /** How far the one that was met is. */
  readonly state?: JobState
  /** How long it has been live, in milliseconds, where the backend knows. */
  readonly ageMs?: number
}

/** What is counted: every outcome, and `lapsed`, runs that ended without holding their lease any more. */
export type JobCount = TriggerStatus | 'lapsed'

/** How often each happened in this process, of one job or of all. */
export type JobCounts = { readonly [count in JobCount]: number }

/** Counts by job name. */
export class JobCounter {
  readonly #byJob = new Map<string, { [count in JobCount]: number }>()

  add(job: string, count: JobCount): void {
    let counts = this.#byJob.get(job)
    if (counts === undefined) {
      counts = none()
      this.#byJob.set(job, counts)
    }
    counts[count] += 1
  }

  /** The counts of one job; of all together when none is named. */
  read(job?: string): JobCounts {
    if (job !== undefined) return { ...(this.#byJob.get(job) ?? none()) }
    const sum = none()
    for (const counts of this.#byJob.values()) {
      for (const count of Object.keys(sum) as JobCount[]) sum[count] += counts[count]
    }
    return sum
  }
}

function none(): { [count in JobCount]: number } {
  return { started: 0, duplicate: 0, replaced: 0, deferred: 0, recovered: 0, lapsed: 0 }
}
