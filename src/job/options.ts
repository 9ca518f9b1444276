import { invalidArgument, type JobState } from '../errors.js'
import { checkMs, checkOptionNames, checkOptions, type OptionNames } from '../internal/check.js'
import { checkKeyOptions, checkModes, type JobMode, type JobStrategy } from '../internal/job-modes.js'
import { checkTerms, type Debounce, type Terms } from '../internal/job-terms.js'
import type { Merge } from './merge.js'
import type { JobKeyOptions } from './naming/key.js'
import { checkJobName } from './naming/names.js'

const DEFAULT_TTL_MS = 30_000
const DEFAULT_RESULT_TTL_MS = 60_000
const DEFAULT_BACKOFF_MS = 1_000
const DEFAULT_RESULT_LIMIT_BYTES = 256 * 1024
const LARGEST_RESULT_LIMIT_BYTES = 1024 * 1024
const MOST_ATTEMPTS = 1_000

/** A trigger that met the same job live, as a function that decides on it sees it. */
export interface DuplicateTrigger<A> {
  /** The arguments of the trigger. */
  readonly args: A
  /** The live job's id. */
  readonly id: string
  /** How far the live job is. */
  readonly state: JobState
  /** How long it has been live, in milliseconds; `null` where the backend does not know. */
  readonly ageMs: number | null
}

/** Decides on each duplicate by itself. */
export type DecideStrategy<A> = (duplicate: DuplicateTrigger<A>) => JobStrategy | Promise<JobStrategy>

/** What a handler gets beside the arguments. */
export interface JobRun {
  /** The run's id: what holds its lock in the backend. */
  readonly id: string
  /**
   * Aborts when the run must stop: its lease was lost, a newer one asked it to stop, `maxRunMs` has passed, or the
   * Soloist object was closed. Its reason is a `SoloistError`.
   */
  readonly signal: AbortSignal
  /**
   * Returns if the run may go on, judged by the clock at this moment: also right after the process was paused or its event
   * loop was blocked.
   *
   * @throws SoloistError what the signal's reason is, or would be
   */
  assertValid(): void
  /** A number greater than that of every earlier run of the same job; send it along with each write. */
  readonly fence: number
  /** The how-manieth attempt of this run it is, from 1. */
  readonly attempt: number
}

/** What a job does. */
export type JobHandler<A, R> = (args: A, run: JobRun) => R | Promise<R>

/** How a job behaves. Every field is optional. */
export interface JobOptions<A> extends JobKeyOptions<A> {
  /** Default: `untilExecuted`. */
  readonly mode?: JobMode | undefined
  /** Default: `join`. */
  readonly onDuplicate?: JobStrategy | DecideStrategy<A> | undefined
  /** With `untilExpired` only, and needed there: for how long a trigger takes its place, in milliseconds. */
  readonly expiryMs?: number | undefined
  /**
   * With `rerun` only: makes the arguments of the one pending run of those it had and those of a further trigger;
   * default: the newest. Arguments must be JSON data then, of at most 16 KiB. It must be pure and return at once: it is
   * called once more at each trigger, to check that it can be, and the process that runs the job calls it.
   */
  readonly merge?: Merge<A> | undefined
  /**
   * With `replace` only: whether a run that executes already is asked to stop, by its signal, or left to end. The new
   * one starts after it either way. Default: `follow`.
   */
  readonly onRunning?: 'stop' | 'follow' | undefined
  /**
   * How long the run's lease lasts unless it is renewed, in milliseconds; default 30,000. Others wait at most about this
   * long after the process that runs the job died.
   */
  readonly ttlMs?: number | undefined
  /** How long a result is kept for those who joined, in milliseconds; default 60,000. */
  readonly resultTtlMs?: number | undefined
  /** The longest result, as JSON in bytes, that others can join; default 262,144 (256 KiB), at most 1 MiB. */
  readonly resultLimitBytes?: number | undefined
  /** How often the handler is called before its error counts; default 1. */
  readonly attempts?: number | undefined
  /** How long to wait before the second attempt, in milliseconds, doubled before each further one; default 1,000. */
  readonly backoffMs?: number | undefined
  /** How many runs of one key may execute at once; default 1. Not with `untilExpired`. */
  readonly limit?: number | undefined
  /**
   * A run starts `waitMs` after the last trigger, and at most `maxWaitMs` after the first, with the newest arguments or the
   * merged ones. The strategy is `rerun` then. Not with `untilExpired`.
   */
  readonly debounce?: Debounce | undefined
  /**
   * How long a run may take, in milliseconds, all its attempts together; default: any time. Then it fails with
   * `RUN_TIMEOUT`, its signal aborts, and its key is free, whether or not its handler has ended.
   */
  readonly maxRunMs?: number | undefined
  /** With `untilExpired` only: a run that fails ends its period; default `false`. */
  readonly releaseOnFailure?: boolean | undefined
  /** A short text about the arguments for operators, of which 200 characters are kept; default: none. */
  readonly describe?: ((args: A) => string) | undefined
}

const OPTION_NAMES: OptionNames<JobOptions<unknown>> = {
  ...{ uniqueOn: true, serialize: true, mode: true, onDuplicate: true, expiryMs: true, merge: true, onRunning: true },
  ...{ ttlMs: true, resultTtlMs: true, resultLimitBytes: true, attempts: true, backoffMs: true },
  ...{ limit: true, debounce: true, maxRunMs: true, releaseOnFailure: true, describe: true },
}

/** A job after validation. */
export interface JobDefinition<A, R> extends Terms<A> {
  readonly name: string
  readonly handler: JobHandler<A, R>
  readonly key: JobKeyOptions<A>
  readonly mode: JobMode
  readonly onDuplicate: JobStrategy | DecideStrategy<A>
  /** `0` without `untilExpired`. */
  readonly expiryMs: number
  readonly merge: Merge<A> | null
  readonly stops: boolean
  readonly ttlMs: number
  readonly resultTtlMs: number
  readonly resultLimitBytes: number
  readonly attempts: number
  readonly backoffMs: number
}

/** Checks what a job is to be. @throws SoloistError `INVALID_ARGUMENT` */
export function jobDefinition<A, R>(
  name: string,
  options: JobOptions<A>,
  handler: JobHandler<A, R>,
): JobDefinition<A, R> {
  checkJobName(name)
  checkOptions(options)
  if ((options as { scope?: unknown }).scope !== undefined) {
    throw invalidArgument(
      'scope is for jobs of BullMQ: those of functions have the same key wherever they share a store',
    )
  }
  checkOptionNames(options, OPTION_NAMES)
  checkKeyOptions(options)
  if (typeof handler !== 'function') throw invalidArgument('a job needs a function to run')
  const debounced = options.debounce === undefined ? {} : { onDuplicate: options.onDuplicate ?? 'rerun' }
  const modes = checkModes({ ...options, ...debounced })
  const { mode, onDuplicate, expiryMs, merge, stops } = modes
  const { uniqueOn, serialize, ttlMs, resultTtlMs, resultLimitBytes, attempts, backoffMs } = options
  if (backoffMs !== undefined && (attempts ?? 1) === 1) throw invalidArgument('backoffMs needs attempts of 2 or more')
  return {
    ...checkTerms(options, modes),
    name,
    handler,
    key: { uniqueOn, serialize },
    mode,
    onDuplicate,
    expiryMs: expiryMs ?? 0,
    merge,
    stops,
    ttlMs: ttlMs === undefined ? DEFAULT_TTL_MS : checkMs('ttlMs', ttlMs, 1),
    resultTtlMs: resultTtlMs === undefined ? DEFAULT_RESULT_TTL_MS : checkMs('resultTtlMs', resultTtlMs, 1),
    resultLimitBytes: checkWhole(
      'resultLimitBytes',
      resultLimitBytes ?? DEFAULT_RESULT_LIMIT_BYTES,
      0,
      LARGEST_RESULT_LIMIT_BYTES,
    ),
    attempts: checkWhole('attempts', attempts ?? 1, 1, MOST_ATTEMPTS),
    backoffMs: backoffMs === undefined ? DEFAULT_BACKOFF_MS : checkMs('backoffMs', backoffMs, 0),
  }
}

function checkWhole(field: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most) {
    throw invalidArgument(`${field} must be a whole number from ${least} to ${most}`)
  }
  return value
}
