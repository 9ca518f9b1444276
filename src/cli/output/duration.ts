import { UsageError } from '../failure.js'
import { quoted } from './text.js'

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/
/** The longest duration the library takes, in milliseconds: 24 days. */
export const LONGEST_DURATION_MS: number = 24 * UNIT_MS.d

/**
 * Reads a duration with a unit (`250ms`, `1.5s`, `5m`, `2h`, `1d`), from `leastMs` to 24 days, as whole milliseconds.
 *
 * @throws UsageError that begins with `what`
 */
export function parseDuration(what: string, text: string, leastMs: number): number {
  const [, digits, unit] = DURATION.exec(text) ?? []
  if (digits === undefined || unit === undefined) {
    const number = /^\d+(\.\d+)?$/.test(text)
    throw new UsageError(
      number
        ? `${what}: ${quoted(text)} has no unit; write ms, s, m, h or d behind it, as in ${quoted(`${text}s`)}`
        : `${what}: ${quoted(text)} is no duration; write one like 250ms, 1.5s, 5m, 2h or 1d`,
    )
  }
  const ms = Math.round(Number(digits) * UNIT_MS[unit as keyof typeof UNIT_MS])
  if (ms < leastMs || ms > LONGEST_DURATION_MS) {
    throw new UsageError(`${what}: ${quoted(text)} is out of range; it may be from ${leastMs}ms to 24d`)
  }
  return ms
}

/** A duration for people, in its two largest units: `40ms`, `0.4s`, `42s`, `3m12s`, `2h05m`, `4d07h`. Not below zero. */
export function formatDuration(durationMs: number): string {
  const ms = Math.max(durationMs, 0)
  if (ms < 99.5) return `${Math.round(ms)}ms`
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)}s`
  const seconds = Math.round(ms / 1_000)
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`
  const hours = Math.floor(minutes / 60)
  return `${Math.floor(hours / 24)}d${two(hours % 24)}h`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
