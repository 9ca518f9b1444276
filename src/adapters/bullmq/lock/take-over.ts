import type { JobLocks } from '../../../index.js'
import { wake } from '../running/waking.js'
import { newJobId } from './ids.js'
import type { Life, Lives } from './lives.js'
import { type Owner, ownerOf } from './owner.js'
import { termsOf } from './terms.js'

export interface TakeOverHost {
  readonly locks: JobLocks
  readonly lives: Lives
}

/** Whether nobody will run a job that is not to come any more. */
export function hasEnded({ job, over, state }: Life): boolean {
  return job === null || over || state === 'finished'
}

/**
 * Gives up the claim of a job that has ended, or is gone and not to come any more. After the look that said so others may leave
 * something with its run, and the job may come after all, and be taken up. So the run is closed to others and its job looked at
 * again. Then its lock is taken over, and the job is looked at for the last time: docs/decisions/fused-with-bullmq.md says why.
 *
 * @param life what was seen of it
 * @returns `false`: its job has come, and has its claim
 */
export async function takeOver({ locks, lives }: TakeOverHost, lock: string, life: Life): Promise<boolean> {
  const { owner, parsed, ageMs } = life
  const look = async () => await lives.of(lock, owner, ageMs)
  // To all who see it a claim whose job is about to come: they wait for it, and take it over in turn where this process dies.
  const keeper = ownerOf((parsed as Owner).queue, newJobId(), false)
  await locks.takeBack(lock, owner, keeper)
  if (!hasEnded(await look())) return false
  const state = await locks.inspect(lock)
  const holds = state?.holders.find(holder => holder.owner === owner)
  // Mostly it was given up by itself meanwhile. Of many claims not all are shown.
  const hidden = state !== null && (state.waiting > 0 || state.holding > state.holders.length)
  if (holds === undefined && !hidden) return true
  // It waits, or is one of several that have the lock.
  const alone = holds?.mode === 'exclusive'
  const kept = alone && (await locks.take(lock, keeper, { replaces: owner })).status === 'granted'
  if (!kept) await locks.release(lock, owner)
  let late: Life | null = null
  try {
    late = await look()
  } finally {
    // Where the queue does not answer it is as before.
    if (kept && (late === null || !hasEnded(late))) await locks.take(lock, owner, { replaces: keeper })
  }
  if (hasEnded(late)) {
    if (kept) await locks.release(lock, keeper)
    return true
  }
  const { job } = late
  if (job === null) return true
  const has = kept || (await locks.queue(lock, owner, { limit: termsOf(job)?.limit })).status === 'granted'
  if (has) await lives.bounded(() => wake(job), job.queueQualifiedName)
  return false
}
