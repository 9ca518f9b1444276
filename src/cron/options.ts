import { invalidArgument } from '../errors.js'
import { checkMs, checkOptionNames, checkOptions, checkSignal, checkText, type OptionNames } from '../internal/check.js'

/** How long a tick is kept when the caller does not say. */
const DEFAULT_KEEP_FOR_MS = 600_000
/** The lease of a run when the caller names none. */
const DEFAULT_TTL_MS = 30_000
/** How late an instance may come to a tick when the caller does not say. */
const DEFAULT_LATE_MS = 60_000

/** How a tick is run. Every field is optional. */
export interface TickOptions {
  /**
   * How long a tick is kept after its run, so that an instance that comes late does not run it again, in milliseconds;
   * default 600,000, from 1,000 to 24 days. Also how far the scheduled time and the store's clock may be apart. More than
   * any clock of yours is off, and than any event loop is blocked.
   */
  readonly keepForMs?: number | undefined
  /**
   * Whether another instance runs the tick when the one that did died; default `false`: a tick is run at most once. With it
   * a tick is run at least once, with a higher fence, and two runs overlap only when the first has lost its lease. The
   * call then waits until a run elsewhere has ended.
   */
  readonly recover?: boolean | undefined
  /** With `recover`: the lease of a run, in milliseconds; default 30,000. It is renewed at a third of this. */
  readonly ttlMs?: number | undefined
  /**
   * How long a run may take, in milliseconds; default: no bound. Then its signal fires with `RUN_TIMEOUT`, and it has failed.
   * A run that does not end then is waited for for one more `ttlMs`.
   */
  readonly maxRunMs?: number | undefined
}

/** How {@link TickOptions} apply to one call. */
export interface OncePerTickOptions extends TickOptions {
  /** Ends the wait for a run elsewhere, with `ABORTED`; a run here is not affected. */
  readonly signal?: AbortSignal | undefined
}

/** What becomes of a tick that is due while an earlier one still runs, on whatever instance. */
export type CronOverlap = 'skip' | 'queue' | 'allow'

/** How a cron job is run. Every field is optional. */
export interface CronOptions extends TickOptions {
  /** The time zone of the pattern, as `Europe/Berlin`; default: that of the process. */
  readonly timezone?: string | undefined
  /**
   * What becomes of a tick that is due while an earlier one still runs; default `skip`. `queue`: one waits for it, and others
   * that come meanwhile are skipped. `allow`: they run beside each other.
   */
  readonly overlap?: CronOverlap | undefined
  /**
   * Whether the last tick that was missed while no instance was up, or while the store was away, is run when one is up
   * again; default `false`.
   */
  readonly catchUp?: boolean | undefined
  /** Each instance waits a random time up to this before it asks for a tick, in milliseconds; default 0. */
  readonly jitterMs?: number | undefined
  /**
   * How late an instance may come to a tick, since its event loop was blocked or the store was away, in milliseconds; default
   * 60,000, at most `keepForMs`. A tick that is older was missed.
   */
  readonly lateMs?: number | undefined
  /**
   * The lease of a run, in milliseconds; default 30,000: how long ticks are skipped or wait after the process of a run died,
   * and with `recover` when the tick is run again.
   */
  readonly ttlMs?: number | undefined
}

export interface CheckedTick {
  readonly keepForMs: number
  readonly recovers: boolean
  readonly ttlMs: number
  readonly maxRunMs: number | null
}

export interface CheckedCron extends CheckedTick {
  readonly timezone: string | undefined
  readonly overlap: CronOverlap
  readonly catchUp: boolean
  readonly jitterMs: number
  readonly lateMs: number
}

const KEEP_NAMES: OptionNames<Pick<TickOptions, 'keepForMs'>> = { keepForMs: true }
const TICK_NAMES: OptionNames<TickOptions> = { ...KEEP_NAMES, recover: true, ttlMs: true, maxRunMs: true }
const ONCE_NAMES: OptionNames<OncePerTickOptions> = { ...TICK_NAMES, signal: true }
const CRON_NAMES: OptionNames<CronOptions> = {
  ...TICK_NAMES,
  timezone: true,
  overlap: true,
  catchUp: true,
  jitterMs: true,
  lateMs: true,
}
const OVERLAPS: readonly unknown[] = ['skip', 'queue', 'allow'] satisfies CronOverlap[]

/** @throws SoloistError `INVALID_ARGUMENT` */
export function checkKeep(options: Pick<TickOptions, 'keepForMs'>): number {
  checkOptions(options)
  checkOptionNames(options, KEEP_NAMES)
  return keepFor(options)
}

/** @throws SoloistError `INVALID_ARGUMENT` */
export function checkOnce(options: OncePerTickOptions): CheckedTick & { readonly signal: AbortSignal | null } {
  checkOptions(options)
  checkOptionNames(options, ONCE_NAMES)
  const { signal } = options
  return { ...checkTick(options), signal: signal === undefined ? null : checkSignal(signal) }
}

/** @throws SoloistError `INVALID_ARGUMENT` */
export function checkCron(options: CronOptions): CheckedCron {
  checkOptions(options)
  checkOptionNames(options, CRON_NAMES)
  const { timezone, overlap = 'skip', jitterMs, lateMs } = options
  if (!OVERLAPS.includes(overlap)) throw invalidArgument('overlap must be skip, queue or allow')
  const tick = checkTick(options)
  const late = lateMs === undefined ? Math.min(DEFAULT_LATE_MS, tick.keepForMs) : checkMs('lateMs', lateMs, 0)
  if (late > tick.keepForMs) throw invalidArgument('lateMs must not be more than keepForMs')
  const jitter = jitterMs === undefined ? 0 : checkMs('jitterMs', jitterMs, 0)
  if (jitter > late) throw invalidArgument('jitterMs must not be more than lateMs')
  return {
    ...tick,
    timezone: timezone === undefined ? undefined : checkText('timezone', timezone),
    overlap,
    catchUp: checkBoolean('catchUp', options.catchUp),
    jitterMs: jitter,
    lateMs: late,
  }
}

function checkTick(options: TickOptions): CheckedTick {
  const { ttlMs, maxRunMs } = options
  const keepForMs = keepFor(options)
  const ttl = ttlMs === undefined ? Math.min(DEFAULT_TTL_MS, keepForMs) : checkMs('ttlMs', ttlMs, 1)
  if (ttl > keepForMs) throw invalidArgument('ttlMs must not be more than keepForMs')
  return {
    keepForMs,
    recovers: checkBoolean('recover', options.recover),
    ttlMs: ttl,
    maxRunMs: maxRunMs === undefined ? null : checkMs('maxRunMs', maxRunMs, 1),
  }
}

function keepFor({ keepForMs }: Pick<TickOptions, 'keepForMs'>): number {
  return keepForMs === undefined ? DEFAULT_KEEP_FOR_MS : checkMs('keepForMs', keepForMs, 1_000)
}

function checkBoolean(what: string, value: unknown): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw invalidArgument(`${what} must be true or false`)
  return value === true
}
