import { randomBytes } from 'node:crypto'

const RANDOM_BYTES = 6
const START_MS = Date.now()
/** How many ids may be made in a millisecond before they run ahead of the clock. */
const IDS_A_MS = 32
const OF_PROCESS = `${randomBytes(RANDOM_BYTES).toString('base64url')}${START_MS.toString(36)}-`

let last = -1

/**
 * The id of a new job, unique in the fleet: 48 random bits of this process, when it started, and how much later the id was
 * made. BullMQ's own ids are counted by Redis, but a call whose answer was lost is repeated, and must not add a second job; and
 * Redis keeps each id in several places, which makes a UUID cost more.
 */
export function newJobId(): string {
  last = Math.max(last + 1, (Date.now() - START_MS) * IDS_A_MS)
  return OF_PROCESS + last.toString(36)
}

/** Whether an id is one of {@link newJobId} in this process. */
export function isMadeHere(jobId: string): boolean {
  return jobId.startsWith(OF_PROCESS)
}

const FORM = /^[\w-]{8}([0-9a-z]{8})-([0-9a-z]+)$/

/** When an id of {@link newJobId} was made, by the clock of who made it, in epoch milliseconds; `null` for another id. */
export function madeAtMs(jobId: string): number | null {
  const [, start, later] = FORM.exec(jobId) ?? []
  if (start === undefined || later === undefined) return null
  return Number.parseInt(start, 36) + Math.floor(Number.parseInt(later, 36) / IDS_A_MS)
}
