import { madeAtMs } from './ids.js'

/**
 * Who holds a lock on behalf of a BullMQ job: `bullmq:<prefix>:<queue>:<job id>`, so the part after `bullmq:` is the key
 * of the job's hash on Redis. While the job waits in its queue that is all; afterwards a mark follows:
 *
 * | mark | on | means |
 * |---|---|---|
 * | `#run` | the trigger lock | the job has started; further triggers are not merged into it |
 * | `#set` | the trigger lock, `untilExpired` | the job was queued; the lock stands until it expires, whatever the job does |
 * | `#<token>` | the run lock | one run of the job |
 *
 * `%`, `:` and `#` in a job id are written `%25`, `%3A` and `%23`, so that an owner is read in one way only.
 */
const KIND = 'bullmq:'

export const RUN_MARK = 'run'
export const SET_MARK = 'set'

export interface Owner {
  /** The whole text, mark included. */
  readonly text: string
  /** `<prefix>:<queue>`, as BullMQ calls a queue's qualified name. */
  readonly queue: string
  readonly jobId: string
  /** What follows `#`, or `null`. */
  readonly mark: string | null
}

/** The owner while the job is queued. */
export function queuedOwner(queue: string, jobId: string): string {
  return `${KIND}${queue}:${jobId.replace(/[%:#]/g, encodeURIComponent)}`
}

export function marked(owner: string, mark: string): string {
  return `${owner}#${mark}`
}

/** When the job of an owner was added, by the clock of who added it, in epoch milliseconds; `null` where its id does not tell. */
export function addedAtMs(text: string): number | null {
  const owner = parseOwner(text)
  return owner === null || owner.mark !== null ? null : madeAtMs(owner.jobId)
}

/** The mark on an owner, or `null`, and the owner without it. */
export function splitMark(text: string): { readonly unmarked: string; readonly mark: string | null } {
  const hash = text.indexOf('#', text.lastIndexOf(':') + 1)
  if (hash === -1) return { unmarked: text, mark: null }
  return { unmarked: text.slice(0, hash), mark: text.slice(hash + 1) }
}

/** `null` when the owner is no BullMQ job. */
export function parseOwner(text: string): Owner | null {
  const { unmarked, mark } = splitMark(text)
  const colon = unmarked.lastIndexOf(':')
  if (!text.startsWith(KIND) || colon < KIND.length) return null
  return {
    text,
    queue: unmarked.slice(KIND.length, colon),
    jobId: unmarked.slice(colon + 1).replace(/%(25|3A|23)/g, decodeURIComponent),
    mark,
  }
}
