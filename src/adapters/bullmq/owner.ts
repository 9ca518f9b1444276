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

/** `null` when the owner is no BullMQ job. */
export function parseOwner(text: string): Owner | null {
  const colon = text.lastIndexOf(':')
  if (!text.startsWith(KIND) || colon < KIND.length) return null
  const tail = text.slice(colon + 1)
  const hash = tail.indexOf('#')
  const id = hash === -1 ? tail : tail.slice(0, hash)
  return {
    text,
    queue: text.slice(KIND.length, colon),
    jobId: id.replace(/%(25|3A|23)/g, decodeURIComponent),
    mark: hash === -1 ? null : tail.slice(hash + 1),
  }
}
