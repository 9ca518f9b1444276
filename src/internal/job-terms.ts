import { invalidArgument } from '../errors.js'
import { checkLimit, checkMs, checkOptionNames, checkOptions, type OptionNames } from './check.js'
import type { JobMode, JobStrategy } from './job-modes.js'
import { called } from './json.js'

/** How long the triggers of a job are gathered before it runs. */
export interface Debounce {
  /** The run starts this long after the last trigger, in milliseconds. */
  readonly waitMs: number
  /** The run does not wait longer than this after the first trigger, in milliseconds; default: as long as triggers come. */
  readonly maxWaitMs?: number | undefined
}

/** How many runs of a job there may be, how long, and what is shown of them, as users say it. */
export interface TermOptions<A> {
  readonly limit?: number | undefined
  readonly debounce?: Debounce | undefined
  readonly maxRunMs?: number | undefined
  readonly releaseOnFailure?: boolean | undefined
  readonly describe?: ((args: A) => string) | undefined
}

/** The same after validation. */
export interface Terms<A> {
  /** `null`: one run at a time. */
  readonly limit: number | null
  readonly debounce: { readonly waitMs: number; readonly maxWaitMs: number } | null
  readonly maxRunMs: number | null
  readonly releaseOnFailure: boolean
  readonly describe: ((args: A) => string) | null
}

/** What these options are used with. */
interface Beside {
  readonly mode: JobMode
  readonly onDuplicate: JobStrategy | ((...args: never[]) => unknown)
}

/** The longest description, in characters. */
const LONGEST_DESCRIPTION = 200
/** As long as triggers come: more than any wait. */
const NO_BOUND_MS = 2 ** 31
const DEBOUNCE_NAMES: OptionNames<Debounce> = { waitMs: true, maxWaitMs: true }

/**
 * Checks each of these options, and whether they contradict others.
 *
 * @param of what messages begin with
 * @throws SoloistError `INVALID_ARGUMENT`
 */
export function checkTerms<A>(options: TermOptions<A>, { mode, onDuplicate }: Beside, of: string = ''): Terms<A> {
  const { limit, debounce, maxRunMs, releaseOnFailure, describe } = options
  const refuse = (why: string) => invalidArgument(of + why)
  if (limit !== undefined && mode === 'untilExpired')
    throw refuse('limit contradicts untilExpired: a period has one run')
  if (debounce !== undefined) {
    if (onDuplicate !== 'rerun') throw refuse('debounce needs the strategy rerun')
    if (mode === 'untilExpired')
      throw refuse('debounce contradicts untilExpired: a period begins with its first trigger')
  }
  if (releaseOnFailure !== undefined) {
    if (typeof releaseOnFailure !== 'boolean') throw refuse('releaseOnFailure must be true or false')
    if (mode !== 'untilExpired') throw refuse('releaseOnFailure needs the mode untilExpired')
  }
  if (describe !== undefined && typeof describe !== 'function') throw refuse('describe must be a function')
  return {
    limit: limit === undefined || checkLimit(limit) === 1 ? null : limit,
    debounce: debounce === undefined ? null : checkDebounce(debounce, of),
    maxRunMs: maxRunMs === undefined ? null : checkMs(`${of}maxRunMs`, maxRunMs, 1),
    releaseOnFailure: releaseOnFailure === true,
    describe: describe ?? null,
  }
}

function checkDebounce(debounce: Debounce, of: string): Terms<unknown>['debounce'] {
  checkOptions(debounce)
  checkOptionNames(debounce, DEBOUNCE_NAMES, `${of}debounce: `)
  const waitMs = checkMs(`${of}debounce.waitMs`, debounce.waitMs, 1)
  if (debounce.maxWaitMs === undefined) return { waitMs, maxWaitMs: NO_BOUND_MS }
  return { waitMs, maxWaitMs: checkMs(`${of}debounce.maxWaitMs`, debounce.maxWaitMs, waitMs) }
}

/**
 * The short text for operators, cut to 200 characters.
 *
 * @throws SoloistError `INVALID_ARGUMENT` when `describe` threw or returned no string
 */
export function described<A>(describe: (args: A) => string, args: A): string {
  const text = called('describe', describe, args)
  if (typeof text !== 'string') throw invalidArgument('describe must return a string')
  return text.slice(0, LONGEST_DESCRIPTION).toWellFormed()
}
