import { randomBytes } from 'node:crypto'

const PROCESS = randomBytes(9).toString('base64url')
let made = 0

/**
 * The id of a new job, unique in the fleet: 72 random bits of this process and a count. BullMQ's own ids are counted by
 * Redis, but a lock's owner has to be known before the job is added; and Redis keeps each id in several places, which
 * makes a UUID cost more.
 */
export function newJobId(): string {
  made += 1
  return `${PROCESS}-${made.toString(36)}`
}
