import { checkMs, checkOptionNames, checkOptions, checkText, type OptionNames } from '../internal/check.js'
import { wallMs } from '../internal/real-time.js'
import { checkScheduledAt } from './names.js'
import { Pattern } from './pattern.js'

/** A timer may fire this much before its time. */
const EARLY_MS = 50

/** Of which moment {@link tickOf} tells the tick. */
export interface TickOfOptions {
  /** The time zone of the pattern; default: that of the process. */
  readonly timezone?: string | undefined
  /** The moment at which the timer fired; default: now. */
  readonly at?: Date | number | undefined
}

const NAMES: OptionNames<TickOfOptions> = { timezone: true, at: true }
/** Reading a pattern takes longer than asking it. */
const patterns = new Map<string, Pattern>()
const MOST_PATTERNS = 100

/**
 * The tick that a timer has just fired for, for schedulers that do not tell: the last time of a cron pattern, or the last
 * multiple of an interval in milliseconds since 1970. A timer that fires late by more than the time between two ticks is
 * taken for that of a later tick.
 *
 * @throws SoloistError `INVALID_ARGUMENT`; `BACKEND_UNAVAILABLE` when croner, which a pattern needs, is not installed
 */
export function tickOf(schedule: string | number, options: TickOfOptions = {}): Date {
  checkOptions(options)
  checkOptionNames(options, NAMES)
  const atMs = (options.at === undefined ? wallMs() : checkScheduledAt(options.at)) + EARLY_MS
  if (typeof schedule !== 'string') {
    const intervalMs = checkMs('an interval', schedule, 1)
    return new Date(Math.floor(atMs / intervalMs) * intervalMs)
  }
  const timezone = options.timezone === undefined ? undefined : checkText('timezone', options.timezone)
  const pattern = patternOf(schedule, timezone)
  return new Date(pattern.latest(atMs) ?? atMs)
}

function patternOf(text: string, timezone: string | undefined): Pattern {
  const key = JSON.stringify([text, timezone])
  const known = patterns.get(key)
  if (known !== undefined) return known
  const pattern = new Pattern(text, timezone)
  if (patterns.size >= MOST_PATTERNS) patterns.clear()
  patterns.set(key, pattern)
  return pattern
}
