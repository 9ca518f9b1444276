import type { LockState, Soloist } from '../../index.js'
import { LONGEST_JOB_NAME_BYTES } from '../arguments.js'
import { batches } from '../output/batches.js'
import type { Notices } from '../output/notices.js'
import { quoted, visible } from '../output/text.js'
import { locksOfKeys } from './find.js'
import { type LiveJob, liveJobs } from './live.js'

/** How many jobs are named. */
const NAMED = 5
/** How long may be looked for them, in milliseconds: of a lock that is free, only a person wants to know more. */
const PATIENCE_MS = 2_000
/** What a shell takes as it is, and this command for no option. */
const PLAIN = /^[\w.:/@][\w.:/@-]*$/

/** For who names a job where a lock is meant: says which jobs of exactly this name are live, and how to look at them. */
export async function noticeJobsNamed(solo: Soloist, name: string, notices: Notices): Promise<void> {
  if (Buffer.byteLength(name) > LONGEST_JOB_NAME_BYTES) return
  const live = await soon(firstJobs(locksOfKeys(solo, `${name}:`, (_, job) => job === name)))
  if (live === null || live.length === 0) return
  const word = PLAIN.test(name) && name !== 'release' ? ` ${name}` : ''
  notices.info('jobs', `jobs named ${quoted(name)} are live; their locks have other names (see soloist jobs${word}):`)
  for (const { job, key, state, holds } of live.slice(0, NAMED)) {
    const [lock] = holds.length === 0 ? [`job:${job}:${key}`] : holds.map(hold => hold.name)
    notices.info('job', `  '${visible(lock as string)}' (${state})`)
  }
  if (live.length > NAMED) notices.info('job', '  … and more')
}

/** The jobs of the first locks that are listed. */
async function firstJobs(source: AsyncIterable<LockState>): Promise<readonly LiveJob[]> {
  for await (const { items } of batches(source)) return await liveJobs(items)
  return []
}

/** What the work comes to, or `null` when it takes too long; then it ends with the store. */
async function soon<T>(work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>(resolve => {
    timer = setTimeout(resolve, PATIENCE_MS, null)
  })
  work.catch(() => {})
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
