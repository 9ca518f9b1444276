import type { Job } from 'bullmq'

/** For how long a job that waits for its lock is delayed: it is woken. */
export const PARKED_MS: number = 365 * 24 * 60 * 60 * 1000

/** Whether a job waits for its lock. One with a delay of its own, or between two attempts, does not. */
export function isParked(job: Job): boolean {
  return job.delay >= PARKED_MS / 2
}

/** Lets a job that was parked go on. @returns whether it was */
export async function wake(job: Job): Promise<boolean> {
  if (!isParked(job)) return false
  try {
    await job.promote()
    return true
  } catch {
    // It is not delayed any more, or the queue does not answer: then this call fails as well.
    await job.getState()
    return false
  }
}
