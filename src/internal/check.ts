import { invalidArgument } from '../errors.js'
import { meantBy } from './other-names.js'

/** The longest ttl, wait or hold: 24 days, below what a timer can count. */
const LONGEST_MS = 24 * 24 * 60 * 60 * 1000
/** The longest name, prefix or `meta`, in bytes of UTF-8. */
const LONGEST_TEXT_BYTES = 1024
/** How much of an unknown option's name a message repeats. */
const LONGEST_SHOWN_NAME = 30
/** The largest limit of a semaphore. */
const LARGEST_LIMIT = 1_000_000

/** A lock name as every backend can store it: a non-empty, well-formed string of at most 1 KiB. */
export function checkName(name: unknown): string {
  if (name === '') throw invalidArgument('a lock name must not be empty')
  return checkText('a lock name', name)
}

/** The start of names, keys or rows: may be empty, otherwise as {@link checkName}. */
export function checkPrefix(prefix: unknown): string {
  return checkText('a prefix', prefix)
}

/** A well-formed string of at most 1 KiB. */
export function checkText(what: string, text: unknown): string {
  if (typeof text !== 'string') throw invalidArgument(`${what} must be a string, not ${typeName(text)}`)
  if (!text.isWellFormed()) throw invalidArgument(`${what} must not hold a lone surrogate`)
  const bytes = Buffer.byteLength(text)
  if (bytes > LONGEST_TEXT_BYTES) {
    throw invalidArgument(`${what} must not be longer than ${LONGEST_TEXT_BYTES} bytes; it has ${bytes}`)
  }
  return text
}

/** A semaphore's limit: a whole number from 1 to 1,000,000. */
export function checkLimit(limit: unknown): number {
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 1 || limit > LARGEST_LIMIT) {
    throw invalidArgument(`a limit must be a whole number from 1 to ${LARGEST_LIMIT}, not ${shown(limit)}`)
  }
  return limit
}

/** A duration in whole milliseconds, rounded up, from `least` to 24 days. `orElse` says what else the field may be. */
export function checkMs(field: string, value: unknown, least: number, orElse = ''): number {
  if (typeof value !== 'number' || !(value >= least && value <= LONGEST_MS)) {
    const range = `from ${least} to ${LONGEST_MS} (24 days)${orElse}`
    throw invalidArgument(`${field} must be a number of milliseconds ${range}, not ${shown(value)}`)
  }
  return Math.ceil(value)
}

/** By its members: an `AbortSignal` of another realm will do. */
export function checkSignal(signal: unknown): AbortSignal {
  const { aborted, addEventListener } = (signal ?? {}) as Partial<AbortSignal>
  if (typeof aborted !== 'boolean' || typeof addEventListener !== 'function') {
    throw invalidArgument(`signal must be an AbortSignal, not ${typeName(signal)}`)
  }
  return signal as AbortSignal
}

/** An object of options, whatever it holds. */
export function checkOptions(options: unknown): void {
  if (options === null || typeof options !== 'object') {
    throw invalidArgument(`the options must be an object, not ${typeName(options)}`)
  }
}

/** The names of all options of a kind, none left out. */
export type OptionNames<Options> = { readonly [name in keyof Required<Options>]: true }

/**
 * Refuses an option that there is not: a misspelt one would be ignored, and the call would wait longer or exclude less than
 * its author believes. The message names the option that was meant, where that can be told. `undefined` is no option.
 *
 * @param of what messages begin with
 */
export function checkOptionNames<Options>(options: object, names: OptionNames<Options>, of = ''): void {
  // Without a list of them, which every call for a lock would pay for.
  for (const name in options) {
    if (Object.hasOwn(names, name) || !Object.hasOwn(options, name)) continue
    if (options[name as keyof typeof options] === undefined) continue
    const known = Object.keys(names)
    const meant = meantBy(name, known)
    const hint = meant.length === 0 ? '; the' : `: did you mean ${meant.join(' or ')}? The`
    const shownName = JSON.stringify(name.slice(0, LONGEST_SHOWN_NAME))
    throw invalidArgument(`${of}there is no option ${shownName}${hint} options are ${known.join(', ')}`)
  }
}

/** For a function that takes no more arguments: what would be options elsewhere would be ignored. */
export function checkNoMore(what: string, more: readonly unknown[]): void {
  if (more.some(argument => argument !== undefined)) throw invalidArgument(what)
}

function typeName(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : typeName(value)
}
