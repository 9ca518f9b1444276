import { parseJobLock, type Soloist } from '../../index.js'
import type { Lives } from './life.js'
import { parseOwner, RUN_MARK } from './owner.js'

export interface SweepOptions {
  /** Only of job names that start with it. */
  readonly prefix?: string | undefined
  /** Whether a job that is not there will not come any more, however young its lock is. */
  readonly vanished?: boolean | undefined
}

/** Gives up the locks of one queue's jobs that are over. @returns how many */
export async function sweep(solo: Soloist, lives: Lives, queue: string, options: SweepOptions): Promise<number> {
  const { prefix, vanished = false } = options
  let released = 0
  for await (const { name, holders } of solo.jobs.list(prefix)) {
    const parsed = parseJobLock(name)
    // A run lock is a lease, and ends by itself.
    if (parsed === null || parsed.part === 'run') continue
    for (const { owner } of holders) {
      const { queue: of, mark, jobId } = parseOwner(owner) ?? {}
      if (of !== queue || (mark !== null && mark !== RUN_MARK)) continue
      let over = (await lives.of(name, owner)).state === 'over'
      if (!over) {
        const job = await lives.own(jobId as string)
        // In none of BullMQ's lists: nobody will ever run it.
        over = job === undefined ? vanished : (await job.getState()) === 'unknown'
      }
      if (over && (await solo.jobs.release(name, owner))) released += 1
    }
  }
  return released
}
