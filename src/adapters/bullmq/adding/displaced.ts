import type { Job } from 'bullmq'
import type { JobLocks } from '../../../index.js'
import { monotonicMs } from '../../../internal/real-time.js'
import type { Answer } from '../fused/answer.js'
import type { Singleton } from '../lock/events.js'
import type { Lives } from '../lock/lives.js'
import { removed } from '../lock/removing.js'
import type { Trigger } from './trigger.js'

export interface DisplacedHost {
  readonly locks: JobLocks
  readonly lives: Lives
  readonly singleton: Singleton
}

/**
 * Removes a job that has come into the queue where lock and job are two steps, if another had taken its place before: who did that
 * could not remove it yet, and the store tells its worker of it for a minute only. Who takes its place from now on finds it.
 * Never rejects.
 */
export async function removeIfDisplaced(
  { locks, lives, singleton }: DisplacedHost,
  trigger: Trigger,
  answer: Answer | null,
  job: Job,
): Promise<void> {
  if (!mayBeDisplaced(trigger, answer)) return
  const { lock, owner, jobId } = trigger
  try {
    const state = await locks.inspect(lock)
    const { holders = [], waiters = [], waiting = 0 } = state ?? {}
    if ([...holders, ...waiters].some(claim => claim.owner === owner)) return
    // Of many that wait not all are shown. A worker finds it then.
    if (waiting > waiters.length) return
    const told = await locks.takeBack(lock, owner, owner)
    const isDisplaced = told.status === 'displaced' && told.by !== ''
    // One that a parent waits for stays, unless another job has its place.
    const isInWay = !trigger.hasParent && holders.length > 0 && isInPeriod(trigger)
    if (isDisplaced || (isInWay && (await isUntouched(lives, trigger)))) await lives.bounded(() => removed(job))
  } catch (error) {
    // It is there. A worker that takes it up within a minute finds that its place was taken.
    singleton.emit('fault', { during: 'add', error, id: jobId })
  }
}

function mayBeDisplaced({ definition: { strategy, mode } }: Trigger, answer: Answer | null): boolean {
  // Where only runs exclude each other, what is not queued has claimed nothing.
  const claims = answer?.course === 'queued' || (answer?.course === 'granted' && mode !== 'whileExecuting')
  return claims && (strategy === 'replace' || typeof strategy === 'function')
}

/** Of a period no word is kept. But as long as it lasts only who took the place of its job can have the lock. */
function isInPeriod({ definition: { expiryMs }, sinceMs }: Trigger): boolean {
  return expiryMs !== null && monotonicMs() - sinceMs < expiryMs
}

async function isUntouched(lives: Lives, { jobId }: Trigger): Promise<boolean> {
  return !(await lives.own(jobId))?.processedOn
}
