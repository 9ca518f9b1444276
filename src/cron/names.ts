import { invalidArgument } from '../errors.js'
import { checkText } from '../internal/check.js'

/** The longest name of a cron job, in bytes of UTF-8, so that every lock name made of it can be stored. */
const LONGEST_NAME_BYTES = 900
/** What the names of the entries start with that {@link CronLocks.entry} is one of. */
export const ENTRY_PREFIX = 'cron:'
/** The first millisecond of the year 10,000, from which on a time takes more letters. */
const YEAR_10_000_MS = Date.UTC(10_000, 0)

/** The locks of one cron job, beside those of its ticks. */
export interface CronLocks {
  /** Holds what is known of the job, as its `meta`. */
  readonly entry: string
  /** Held by whoever changes that. */
  readonly note: string
  /** Held by a run, unless runs may overlap. */
  readonly run: string
  /** Held by the one tick that waits for the run before it. */
  readonly next: string
}

/** @throws SoloistError `INVALID_ARGUMENT` for a name that cannot be taken */
export function checkCronName(name: unknown): string {
  const text = checkText('the name of a cron job', name)
  const bytes = Buffer.byteLength(text)
  if (bytes === 0 || bytes > LONGEST_NAME_BYTES) {
    throw invalidArgument(`the name of a cron job must have 1 to ${LONGEST_NAME_BYTES} bytes; it has ${bytes}`)
  }
  return text
}

export function cronLocks(name: string): CronLocks {
  return {
    entry: `${ENTRY_PREFIX}${name}`,
    note: `cron-note:${name}`,
    run: `cron-run:${name}`,
    next: `cron-next:${name}`,
  }
}

/** The lock of one tick. A time always takes 24 letters, so two names and times never make one lock. */
export function tickLock(name: string, scheduledAtMs: number): string {
  return `tick:${name}@${new Date(scheduledAtMs).toISOString()}`
}

/** A scheduled time in epoch milliseconds. @throws SoloistError `INVALID_ARGUMENT` for what is no time from 1970 to 9999 */
export function checkScheduledAt(scheduledAt: unknown): number {
  const ms = scheduledAt instanceof Date ? scheduledAt.getTime() : scheduledAt
  if (typeof ms !== 'number' || !Number.isSafeInteger(ms) || ms < 0 || ms >= YEAR_10_000_MS) {
    throw invalidArgument('scheduledAt must be a valid Date, or whole epoch milliseconds, from 1970 to 9999')
  }
  return ms
}
