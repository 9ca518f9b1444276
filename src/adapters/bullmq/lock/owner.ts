import { madeAtMs } from './ids.js'

/**
 * Who holds a lock on behalf of a BullMQ job: `bullmq:<prefix>:<queue>:<job id>`, so the part after `bullmq:` is the key of
 * the job's hash on Redis. With `untilExpired` the mark `#set` follows: the lock stands until it expires, whatever becomes of
 * the job.
 *
 * `%`, `:` and `#` in a job id are written `%25`, `%3A` and `%23`, so that an owner is read in one way only.
 */
const KIND = 'bullmq:'
const PERIOD_MARK = '#set'

export interface Owner {
  /** `<prefix>:<queue>`, as BullMQ calls a queue's qualified name. */
  readonly queue: string
  readonly jobId: string
  /** The lock is held for a period. */
  readonly period: boolean
}

export function ownerOf(queue: string, jobId: string, period: boolean): string {
  return `${KIND}${queue}:${jobId.replace(/[%:#]/g, encodeURIComponent)}${period ? PERIOD_MARK : ''}`
}

/** `null` when the owner is no BullMQ job. */
export function parseOwner(text: string): Owner | null {
  const colon = text.lastIndexOf(':')
  if (!text.startsWith(KIND) || colon < KIND.length) return null
  const period = text.endsWith(PERIOD_MARK)
  const id = text.slice(colon + 1, period ? -PERIOD_MARK.length : undefined)
  return { queue: text.slice(KIND.length, colon), jobId: id.replace(/%(25|3A|23)/g, decodeURIComponent), period }
}

/** When the job of an owner was added, by the clock of who added it, in epoch milliseconds; `null` where its id does not tell. */
export function addedAtMs(text: string): number | null {
  const owner = parseOwner(text)
  return owner === null ? null : madeAtMs(owner.jobId)
}
