import { invalidArgument } from '../errors.js'
import { checkText } from '../internal/check.js'

/** The longest name of a leadership, in bytes of UTF-8, so that every lock name made of it can be stored. */
const LONGEST_NAME_BYTES = 900

/** The locks of one leadership. */
export interface LeaderLocks {
  /** Whoever leads holds it, and candidates wait for it. */
  readonly term: string
  /** A leader holds it beside `term`, until somebody asks it to resign by releasing it. */
  readonly stop: string
}

/** @throws SoloistError `INVALID_ARGUMENT` for a name that cannot be taken */
export function leaderLocks(name: unknown): LeaderLocks {
  const text = checkText('the name of a leadership', name)
  const bytes = Buffer.byteLength(text)
  if (bytes === 0 || bytes > LONGEST_NAME_BYTES) {
    throw invalidArgument(`the name of a leadership must have 1 to ${LONGEST_NAME_BYTES} bytes; it has ${bytes}`)
  }
  return { term: `leader:${text}`, stop: `leader-stop:${text}` }
}
