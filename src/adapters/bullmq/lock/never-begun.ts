import type { JobLocks } from '../../../index.js'

// Where the steps of locks are calls of their own, a job that a worker has run which knows nothing of locks has the lock still, and
// its run has never begun. Whoever gives its lock up leaves word of that, for those who left something with that run: it is lost.

const NEVER_BEGUN = { text: 'never begun', keepMs: 60_000 } as const

/** Gives up the lock of a job that has ended, and whose run is pending still. @returns whether it had it */
export async function releaseNeverBegun(locks: JobLocks, lock: string, owner: string): Promise<boolean> {
  return await locks.release(lock, owner, NEVER_BEGUN)
}

/** Whether a run that is not pending any more has never begun. */
export async function neverBegan(locks: JobLocks, lock: string, owner: string): Promise<boolean> {
  return (await locks.left(lock, owner)) === NEVER_BEGUN.text
}
