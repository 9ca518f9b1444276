import { jobKey } from '../index.js'
import { UsageError } from './failure.js'
import { parseDuration } from './output/duration.js'
import { quoted } from './output/text.js'

/** The longest name, prefix and meta the library takes, in bytes of UTF-8. */
export const LONGEST_TEXT_BYTES = 1024
/** The longest job name the library takes, in bytes of UTF-8. */
export const LONGEST_JOB_NAME_BYTES = 900

// Checked here as well as in the library, so that a mistake is told before a store is opened or announced.

export function lockName(text: string): string {
  if (text === '') throw new UsageError('the name must not be empty')
  return checked('the name', text)
}

/** The name of a leadership or a cron job: shorter, since it is the end of the names of its locks. */
export function leaderName(text: string): string {
  if (text === '') throw new UsageError('the name must not be empty')
  return checked('the name', text, LONGEST_JOB_NAME_BYTES)
}

export function prefix(text: string): string {
  return checked('the prefix', text)
}

/** The start of a job name: shorter, since the names of job locks start with `job:`. */
export function jobPrefix(text: string): string {
  return checked('the prefix', text, LONGEST_TEXT_BYTES - 'job:'.length)
}

/** What the keys and rows of the store start with; `what` names where it came from. May be empty. */
export function keyPrefix(what: string): (text: string) => string {
  return text => checked(what, text)
}

/** The key of a job's arguments, which are given as JSON. */
export function jobArguments(text: string): string {
  try {
    return jobKey(JSON.parse(wellFormed('--args', text)))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new UsageError(`--args: ${quoted(text)} is not JSON: ${error.message}`)
  }
}

export function meta(text: string): string {
  return checked('--meta', text)
}

export function onLost(text: string): 'end' | 'retake' {
  if (text === 'end' || text === 'retake') return text
  throw new UsageError(`--on-lost: ${quoted(text)} is neither end nor retake`)
}

export function exitCode(text: string): number {
  const code = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN
  if (!(code <= 255)) throw new UsageError(`--busy-exit-code: ${quoted(text)} is no whole number from 0 to 255`)
  return code
}

/** The parser of a duration option: at least `leastMs`, at most 24 days. */
export function duration(option: string, leastMs: number): (text: string) => number {
  return text => parseDuration(option, text, leastMs)
}

function checked(what: string, text: string, longest: number = LONGEST_TEXT_BYTES): string {
  const bytes = Buffer.byteLength(wellFormed(what, text))
  if (bytes > longest) {
    throw new UsageError(`${what} must not be longer than ${longest} bytes; it has ${bytes}`)
  }
  return text
}

function wellFormed(what: string, text: string): string {
  // Arguments that are no UTF-8 arrive with this character in place of the broken bytes, so two of them would be one.
  if (text.includes('\ufffd')) throw new UsageError(`${what} is not valid UTF-8`)
  return text
}
