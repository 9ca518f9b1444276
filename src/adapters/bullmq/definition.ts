import {
  type JobKeyOptions,
  type JobLockNames,
  type JobMode,
  type JobState,
  type JobStrategy,
  jobLockNaming,
  SoloistError,
  type UniqueOn,
} from '../../index.js'
import { checkMs, checkOptionNames, type OptionNames } from '../../internal/check.js'
import { checkKeyOptions, checkModes } from '../../internal/job-modes.js'

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
  /** With `rerun`: what becomes of the data of a pending run and that of a newer trigger. Default: the newer one. */
  readonly merge?: ((older: Data, newer: Data) => Data) | undefined
  /**
   * With `replace`: a running job is followed by the new one (`'follow'`, the default), or asked to stop through its
   * signal (`'stop'`); either way the new one starts when it has ended.
   */
  readonly onRunning?: 'follow' | 'stop' | undefined
}

/** Options after validation. */
export interface Definition {
  readonly name: string
  readonly mode: SingletonMode
  readonly strategy: SingletonStrategy | ((duplicate: Duplicate) => SingletonStrategy | Promise<SingletonStrategy>)
  readonly expiryMs: number | null
  readonly merge: ((older: unknown, newer: unknown) => unknown) | null
  readonly stops: boolean
  /** The names of the locks of a job with this data. @throws SoloistError `INVALID_ARGUMENT` for data that has no key */
  locks(data: unknown): JobLockNames
}

const OPTION_NAMES: OptionNames<SingletonJobOptions> = {
  ...{ uniqueOn: true, serialize: true, mode: true, onDuplicate: true },
  ...{ expiryMs: true, merge: true, onRunning: true },
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
  const { uniqueOn, serialize } = options
  checkOptionNames(options, OPTION_NAMES, of)
  checkKeyOptions(options, of)
  const { mode, onDuplicate, expiryMs, merge, stops } = checkModes(options, of)
  if ('onRunning' in options && options.onRunning !== undefined && mode === 'untilExpired') {
    throw invalid(`${of}onRunning contradicts untilExpired: there no run is in the way`)
  }
  return {
    name,
    mode,
    strategy: onDuplicate as Definition['strategy'],
    expiryMs,
    merge,
    stops,
    locks: jobLockNaming<unknown>(name, { uniqueOn: uniqueOn as UniqueOn<unknown> | undefined, serialize }),
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
