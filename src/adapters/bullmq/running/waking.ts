import type { Job } from 'bullmq'
import type { ClaimId, Soloist } from '../../../index.js'
import type { Lives } from '../lock/lives.js'
import { parseOwner } from '../lock/owner.js'

/** For how long a job that waits for its lock is delayed: it is woken. */
export const PARKED_MS: number = 365 * 24 * 60 * 60 * 1000

/** Wakes the jobs that were granted their locks by steps of this client. */
export class Waking {
  readonly #lives: Lives
  readonly #onFault: (error: unknown, jobId: string) => void
  readonly #stop: () => void
  readonly #underWay = new Set<Promise<void>>()

  constructor(solo: Soloist, lives: Lives, onFault: (error: unknown, jobId: string) => void) {
    this.#lives = lives
    this.#onFault = onFault
    this.#stop = solo.jobs.hearGranted(claim => this.#granted(claim))
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#stop()
    await Promise.all(this.#underWay)
  }

  #granted({ owner }: ClaimId): void {
    const parsed = parseOwner(owner)
    if (parsed === null) return
    const waking = this.#lives.find(parsed).then(
      job => (job === null ? undefined : this.#wake(job)),
      error => this.#onFault(error, parsed.jobId),
    )
    this.#underWay.add(waking)
    waking.finally(() => this.#underWay.delete(waking))
  }

  async #wake(job: Job): Promise<void> {
    try {
      await wake(job)
    } catch (error) {
      // A sweep finds it.
      this.#onFault(error, job.id as string)
    }
  }
}

/** Lets a job that was parked go on. @returns whether it was */
export async function wake(job: Job): Promise<boolean> {
  // One with a delay of its own, or between two attempts, is not parked.
  if (job.delay < PARKED_MS / 2) return false
  try {
    await job.promote()
    return true
  } catch {
    // It is not delayed any more, or the queue does not answer: then this call fails as well.
    await job.getState()
    return false
  }
}
