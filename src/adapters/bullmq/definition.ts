import {
  type JobKeyOptions,
  type JobMode,
  type JobState,
  type JobStrategy,
  jobKey,
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
 * Among whom a job is unique while it waits. `'store'`: among all who share the locks' store, whatever queue, flow,
 * scheduler or function they come from. `'queue'`: among what `add` and `addBulk` put into this queue, by BullMQ's own
 * deduplication, which is one step with adding it and costs less. What else there is of its name and key, such a job meets
 * when it starts, and waits for.
 */
export type SingletonScope = 'store' | 'queue'

/**
 * How the jobs of one name are unique. Every field is optional. `serialize` is for the key only: BullMQ stores the data its
 * own way.
 */
// biome-ignore lint/suspicious/noExplicitAny: as BullMQ's own default for a job's data
export type SingletonJobOptions<Data = any> = UniqueInStore<Data> | UniqueInQueue<Data>

/** Jobs that are unique among all who share the locks' store. */
export interface UniqueInStore<Data> extends JobKeyOptions<Data> {
  /** Default `'store'`. */
  readonly scope?: 'store' | undefined
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

/** Jobs that are unique in their queue. */
export interface UniqueInQueue<Data> extends JobKeyOptions<Data> {
  readonly scope: 'queue'
  /** Default, and only choice: `'untilExecuted'`. */
  readonly mode?: 'untilExecuted' | undefined
  /** Default `'join'`. */
  readonly onDuplicate?: 'join' | 'reject' | 'skip' | undefined
}

/** Options after validation. */
export interface Definition {
  readonly name: string
  readonly scope: SingletonScope
  readonly mode: SingletonMode
  readonly strategy: SingletonStrategy | ((duplicate: Duplicate) => SingletonStrategy | Promise<SingletonStrategy>)
  readonly expiryMs: number | null
  readonly merge: ((older: unknown, newer: unknown) => unknown) | null
  readonly stops: boolean
  key(data: unknown): string
}

const OPTION_NAMES: OptionNames<UniqueInStore<unknown>> = {
  ...{ uniqueOn: true, serialize: true, scope: true, mode: true, onDuplicate: true },
  ...{ expiryMs: true, merge: true, onRunning: true },
}

/** What can become of a duplicate that BullMQ itself turned away: nothing that would put it into the queue. */
const IN_QUEUE: ReadonlySet<unknown> = new Set<SingletonStrategy>(['join', 'reject', 'skip'])

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
  const scope = choiceOption<SingletonScope>(`${of}scope`, options.scope, ['store', 'queue'])
  if (scope === 'queue' && !(mode === 'untilExecuted' && IN_QUEUE.has(onDuplicate))) {
    throw invalid(`${of}scope "queue" needs the mode untilExecuted and onDuplicate ${[...IN_QUEUE].join(', ')}`)
  }
  return {
    name,
    scope,
    mode,
    strategy: onDuplicate as Definition['strategy'],
    expiryMs,
    merge,
    stops,
    key: data => jobKey(data, { uniqueOn: uniqueOn as UniqueOn<unknown> | undefined, serialize }),
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
