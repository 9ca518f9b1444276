import { jobLockNames, type LockState, parseJobLock, type Soloist } from '../../index.js'

/** The locks in use of the one job of this name and key. */
export async function* locksOfJob(solo: Soloist, job: string, key: string): AsyncGenerator<LockState, void, undefined> {
  const { trigger, run, next } = jobLockNames(job, key)
  for (const name of [trigger, run, next]) {
    const state = await solo.jobs.inspect(name)
    if (state !== null) yield state
  }
}

/** The job locks in use whose key is wanted, of jobs whose name starts with `prefix`. */
export async function* locksOfKeys(
  solo: Soloist,
  prefix: string,
  wanted: (key: string, job: string) => boolean,
): AsyncGenerator<LockState, void, undefined> {
  for await (const state of solo.jobs.list(prefix)) {
    const parsed = parseJobLock(state.name)
    if (parsed !== null && wanted(parsed.key, parsed.job)) yield state
  }
}
