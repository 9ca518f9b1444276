import type { Job } from 'bullmq'

/** Whether a job has a parent, or children it waits for. */
export async function isBound(job: Job): Promise<boolean> {
  return job.parentKey !== undefined || (await job.isWaitingChildren())
}

/**
 * Removes a job that has not started. One that was taken up meanwhile finds that its place was taken.
 *
 * @returns whether it is gone; `false`: a worker has it in hand
 */
export async function removed(job: Job): Promise<boolean> {
  try {
    await job.remove()
    return true
  } catch {
    // Either the job cannot be removed now, or the queue does not answer: then this call fails as well.
    return (await job.getState()) === 'unknown'
  }
}
