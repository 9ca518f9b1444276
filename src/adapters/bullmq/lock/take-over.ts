import type { JobLocks } from '../../../index.js'
import { newJobId } from './ids.js'
import type { Life, Lives } from './lives.js'
import { type Owner, ownerOf } from './owner.js'
import { wake } from './parked.js'

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
 * again. Then its lock, or its place in the line, is taken over, and the job is looked at for the last time:
 * docs/decisions/fused-with-bullmq.md says why.
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
  const { holders = [], waiters = [], holding = 0, waiting = 0 } = (await locks.inspect(lock)) ?? {}
  const shown = [...holders, ...waiters]
  // Of many claims not all are shown: those of one lock are alike.
  const [like] = holding + waiting > shown.length ? shown : []
  const claim = shown.find(one => one.owner === owner) ?? like
  // Mostly it was given up by itself meanwhile.
  if (claim === undefined) return true
  const { limit } = claim
  // Of many that take one over, those that come late wait for nothing: a line of them would be granted the lock, one by one.
  if (holders.some(one => one.owner === owner && one.mode === 'exclusive')) {
    await locks.take(lock, keeper, { replaces: owner })
  } else await locks.queue(lock, keeper, { limit, replaces: owner })
  const giveBack = async () => {
    const told = await locks.queue(lock, owner, { limit, replaces: keeper })
    // With a limit it may have got another place meanwhile.
    await locks.release(lock, keeper)
    return told
  }
  let late: Life
  try {
    late = await look()
  } catch (error) {
    // The queue does not answer: it is as before.
    await giveBack()
    throw error
  }
  if (late.job === null || hasEnded(late)) {
    await locks.release(lock, keeper)
    return true
  }
  const { job } = late
  if ((await giveBack()).status === 'granted') await lives.bounded(() => wake(job), job.queueQualifiedName)
  return false
}
