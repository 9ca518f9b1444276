import type { JobLocks } from '../../../index.js'

/** How long it is kept that a run is none of ours, in milliseconds: longer than a trigger waits to see whether it is. */
const KEPT_MS = 15_000
const MOST_AT_ONCE = 1_000

// Where the steps of locks are calls of their own, a run that a worker has in hand which knows nothing of locks is never begun by
// it. Before others say that it has begun, or give its lock up, they note it here: who left something with that run finds out
// that it is lost.

/** Notes that the owner's run is by a worker that knows nothing of locks. */
export async function noteStranger(locks: JobLocks, lock: string, owner: string): Promise<void> {
  await locks.queue(`${lock}:run`, owner, { limit: MOST_AT_ONCE, ttlMs: KEPT_MS })
}

/** Whether that was noted. */
export async function isStranger(locks: JobLocks, lock: string, owner: string): Promise<boolean> {
  const state = await locks.inspect(`${lock}:run`)
  return state?.holders.some(holder => holder.owner === owner) ?? false
}
