import type { JobLocks } from '../../../index.js'

/**
 * Starts the period of who holds the lock without an end. A follow-up is granted so, and whoever makes what was left with it its data
 * starts its period then: what is left with a run whose lease ends before it began would be lost.
 */
export async function startPeriod(locks: JobLocks, lock: string, owner: string, expiryMs: number): Promise<void> {
  const state = await locks.inspect(lock)
  const holder = state?.holders.find(one => one.owner === owner)
  if (holder?.expiresAtMs === null) await locks.renew(lock, owner, expiryMs)
}
