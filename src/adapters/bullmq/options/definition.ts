import {
  type JobKeyOptions,
  type JobMode,
  type JobState,
  type JobStrategy,
  jobLockNaming,
  SoloistError,
  type UniqueOn,
} from '../../../index.js'
import { checkMs, checkOptionNames, type OptionNames } from '../../../internal/check.js'
import { checkKeyOptions, checkModes } from '../../../internal/job-modes.js'
import { checkTerms, type Debounce, type Terms } from '../../../internal/job-terms.js'
import { isPlain } from '../lock/terms.js'

/** From when to when a job's name and key are taken: the modes of function jobs. */
export type SingletonMode = JobMode

/** What a trigger does when it meets a live job: the strategies of function jobs. */
export type SingletonStrategy = JobStrategy

/** The live job a trigger met, for a strategy that is a function. */
export interface Duplicate<Data = unknown> {
  readonly name: string
  /** The live job's id. */
  readonly id: string
  readonly state: JobState
  /** How long ago it was added, in milliseconds, where that is known. */
  readonly ageMs: number | null
  /** The data of this trigger. */
  readonly data: Data
}

/**
 * How the jobs of one name are unique. Every field is optional. `serialize` is for the key only: BullMQ stores the data its
 * own way.
 */
// biome-ignore lint/suspicious/noExplicitAny: as BullMQ's own default for a job's data
export interface SingletonJobOptions<Data = any> extends JobKeyOptions<Data> {
  /** Default `'untilExecuted'`. */
  readonly mode?: SingletonMode | undefined
  /** Default `'join'`. */
  readonly onDuplicate?:
    | SingletonStrategy
    | ((duplicate: Duplicate<Data>) => SingletonStrategy | Promise<SingletonStrategy>)
    | undefined
  /** With `untilExpired`, and only there: for how long a trigger keeps others off, in milliseconds. */
  readonly expiryMs?: number | undefined
  /**
   * With `rerun`: makes the data of the pending run of what it had and that of a newer trigger. Default: the newer one. It must
   * be pure and return at once: it is called once at each trigger, to see that it can be, and the worker calls it when the run
   * begins. So the worker needs the same option, in its own `singleton.jobs`.
   */
  readonly merge?: ((older: Data, newer: Data) => Data) | undefined
  /**
   * With `replace`: a running job is followed by the new one (`'follow'`, the default), or asked to stop through its
   * signal (`'stop'`); either way the new one starts when it has ended.
   */
  readonly onRunning?: 'follow' | 'stop' | undefined
  /** How many jobs of one key may hold it at once; default 1. Not with `untilExpired`. */
  readonly limit?: number | undefined
  /**
   * The job starts `waitMs` after the last trigger, and at most `maxWaitMs` after the first, with the newest data or the merged
   * one. The strategy is `rerun` then. Not with `untilExpired`.
   */
  readonly debounce?: Debounce | undefined
  /**
   * How long a run may take, in milliseconds; default: any time. Then its attempt fails with `RUN_TIMEOUT` and its signal
   * aborts, whether or not its processor has ended.
   */
  readonly maxRunMs?: number | undefined
  /** With `untilExpired`: a job that fails for good ends its period; default `false`. */
  readonly releaseOnFailure?: boolean | undefined
  /** A short text about the data for operators, of which 200 characters are kept; default: none. */
  readonly describe?: ((data: Data) => string) | undefined
  /**
   * Where a key is unique: `'queue'`, the default, in this queue; `'name'`, in all queues on the same Redis, or with the same
   * `solo`, whose jobs of this name say so.
   */
  readonly scope?: 'queue' | 'name' | undefined
}

/** Options after validation. */
export interface Definition extends Terms<unknown> {
  readonly name: string
  readonly mode: SingletonMode
  readonly strategy: SingletonStrategy | ((duplicate: Duplicate) => SingletonStrategy | Promise<SingletonStrategy>)
  readonly expiryMs: number | null
  readonly merge: ((older: unknown, newer: unknown) => unknown) | null
  readonly stops: boolean
  /** Whether the names of its locks can stand in the terms of a job as they are. */
  readonly isPlain: boolean
  /**
   * Names the lock of a job with this data.
   *
   * @param queue the qualified name of the job's queue
   * @throws SoloistError `INVALID_ARGUMENT` for data that has no key
   */
  lockOf(queue: string, data: unknown): string
}

const OPTION_NAMES: OptionNames<SingletonJobOptions> = {
  ...{ uniqueOn: true, serialize: true, mode: true, onDuplicate: true },
  ...{ expiryMs: true, merge: true, onRunning: true },
  ...{ limit: true, debounce: true, maxRunMs: true, releaseOnFailure: true, describe: true, scope: true },
}

/** @throws SoloistError `INVALID_ARGUMENT` for options that cannot be taken or contradict each other */
export function definitions(jobs: unknown): ReadonlyMap<string, Definition> {
  if (jobs === null || typeof jobs !== 'object')
    throw invalid('singleton.jobs must be an object of options by job name')
  return new Map(Object.entries(jobs).map(([name, options]) => [name, definition(name, options)]))
}

function definition(name: string, options: SingletonJobOptions): Definition {
  const of = `job ${JSON.stringify(name)}: `
  if (options === null || typeof options !== 'object') throw invalid(`${of}its options must be an object`)
  checkOptionNames(options, OPTION_NAMES, of)
  checkKeyOptions(options, of)
  const debounced = options.debounce === undefined ? {} : { onDuplicate: options.onDuplicate ?? 'rerun' }
  const modes = checkModes({ ...options, ...debounced }, of)
  const { mode, onDuplicate, expiryMs, merge, stops } = modes
  if (options.onRunning !== undefined && mode === 'untilExpired') {
    throw invalid(`${of}onRunning contradicts untilExpired: there no run is in the way`)
  }
  return {
    ...checkTerms(options, modes, of),
    name,
    mode,
    strategy: onDuplicate as Definition['strategy'],
    expiryMs,
    merge,
    stops,
    isPlain: isPlain(name),
    lockOf: lockNaming(name, options, choiceOption(`${of}scope`, options.scope, ['queue', 'name'])),
  }
}

function lockNaming(
  name: string,
  { uniqueOn, serialize }: SingletonJobOptions,
  scope: 'queue' | 'name',
): Definition['lockOf'] {
  const key = { uniqueOn: uniqueOn as UniqueOn<unknown> | undefined, serialize }
  const shared = jobLockNaming<unknown>(name, key)
  if (scope === 'name') return (_, data) => shared(data).trigger
  // Mostly it is one queue.
  let [last, naming] = ['', shared]
  return (queue, data) => {
    if (queue !== last) [last, naming] = [queue, jobLockNaming<unknown>(name, key, queue)]
    return naming(data).trigger
  }
}

/** A duration in milliseconds, or its default. */
export function msOption(name: string, value: unknown, byDefault: number): number {
  return value === undefined ? byDefault : checkMs(name, value, 1)
}

export function choiceOption<T extends string>(name: string, value: unknown, choices: readonly T[]): T {
  if (value === undefined) return choices[0] as T
  if (!choices.includes(value as T)) throw invalid(`${name} must be one of ${choices.join(', ')}`)
  return value as T
}

export function invalid(message: string): SoloistError {
  return new SoloistError('INVALID_ARGUMENT', message)
}
