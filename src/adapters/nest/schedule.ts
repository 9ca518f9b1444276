import { tickOf } from '../../cron/index.js'
import { SoloistError } from '../../errors.js'
import { wallMs } from '../../internal/real-time.js'
import { refused, type Site } from './method.js'

/** What `@nestjs/schedule` notes of a method with `@Cron`, under this key. */
const CRON_KEY = 'SCHEDULE_CRON_OPTIONS'

interface CronMetadata {
  /** A pattern, a date, or a `DateTime` of luxon. */
  readonly cronTime?: unknown
  readonly timeZone?: string | null
  /** In minutes. */
  readonly utcOffset?: number | string | null
}

/** Tells the tick that is due at a moment, in epoch milliseconds. */
export type TickAt = (atMs: number) => number

/** What the package `cron` calls some patterns; croner knows not all of these. */
const PRESETS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 0 1 1 *',
  '@monthly': '0 0 0 1 * *',
  '@weekly': '0 0 0 * * 0',
  '@daily': '0 0 0 * * *',
  '@hourly': '0 0 * * * *',
  '@minutely': '0 * * * * *',
  '@secondly': '* * * * * *',
  '@weekdays': '0 0 0 * * 1-5',
  '@weekends': '0 0 0 * * 0,6',
}

const MINUTE_MS = 60_000

const known = new WeakMap<object, Map<string | symbol, TickAt>>()

/**
 * How the ticks of a method are told, by what its `@Cron` says.
 *
 * @param prototype that of the instance, whose class may have a `@Cron` of its own
 * @throws SoloistError `INVALID_ARGUMENT` where there is no `@Cron`, or its pattern or time zone cannot be taken;
 *   `BACKEND_UNAVAILABLE` when croner, which a pattern needs, is not installed
 */
export function tickAtOf(prototype: object, { key, what }: Site): TickAt {
  const ofClass = known.get(prototype) ?? new Map<string | symbol, TickAt>()
  known.set(prototype, ofClass)
  let tickAt = ofClass.get(key)
  if (tickAt === undefined) {
    const metadata = cronMetadata((prototype as Record<string | symbol, unknown>)[key])
    if (metadata === null) throw refused(`${what} has no @Cron of @nestjs/schedule`)
    tickAt = tickAtBy(metadata, what)
    // What cannot be taken is told now, and of which method.
    try {
      tickAt(wallMs())
    } catch (error) {
      if (!(error instanceof SoloistError) || error.code !== 'INVALID_ARGUMENT') throw error
      throw new SoloistError('INVALID_ARGUMENT', `${what}: ${error.message}`, { cause: error.cause ?? error })
    }
    ofClass.set(key, tickAt)
  }
  return tickAt
}

function cronMetadata(method: unknown): CronMetadata | null {
  if (typeof method !== 'function') return null
  const { getMetadata } = Reflect as unknown as { getMetadata(key: string, target: object): CronMetadata | undefined }
  return getMetadata(CRON_KEY, method) ?? null
}

function tickAtBy({ cronTime, timeZone, utcOffset }: CronMetadata, what: string): TickAt {
  if (typeof cronTime !== 'string') {
    const onceMs = Number(cronTime)
    if (!Number.isFinite(onceMs)) throw refused(`${what}: its @Cron has neither a pattern nor a date`)
    return () => onceMs
  }
  const pattern = PRESETS[cronTime] ?? cronTime
  if (utcOffset === undefined || utcOffset === null) {
    const timezone = timeZone ?? undefined
    return atMs => tickOf(pattern, { timezone, at: atMs }).getTime()
  }
  // An offset is that of no zone with a name: the pattern is asked in UTC, for a moment that is moved by as much.
  const offsetMs = Number(utcOffset) * MINUTE_MS
  if (!Number.isSafeInteger(offsetMs)) throw refused(`${what}: the utcOffset of its @Cron must be a number of minutes`)
  return atMs => tickOf(pattern, { timezone: 'UTC', at: atMs + offsetMs }).getTime() - offsetMs
}
