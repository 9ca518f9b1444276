import { type JobMode, type JobState, type JobStrategy, jobKey, SoloistError, type UniqueOn } from '../../index.js'

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

/** How the jobs of one name are unique. Every field is optional. */
// biome-ignore lint/suspicious/noExplicitAny: as BullMQ's own default for a job's data
export interface SingletonJobOptions<Data = any> {
  /** Which part of the data makes a job unique: names of fields, or a function. Default: all of it. */
  readonly uniqueOn?: UniqueOn<Data> | undefined
  /** Turns what JSON cannot say into what it can, for the key only; BullMQ stores the data its own way. */
  readonly serialize?: ((value: unknown) => unknown) | undefined
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
  key(data: unknown): string
}

const MODES: ReadonlySet<unknown> = new Set<SingletonMode>([
  'untilExecuted',
  'untilExecuting',
  'whileExecuting',
  'untilAndWhileExecuting',
  'untilExpired',
])
const STRATEGIES: ReadonlySet<unknown> = new Set<SingletonStrategy>([
  'join',
  'reject',
  'skip',
  'replace',
  'rerun',
  'delay',
])
const LONGEST_MS = 24 * 24 * 60 * 60 * 1000

/** @throws SoloistError `INVALID_ARGUMENT` for options that cannot be taken or contradict each other */
export function definitions(jobs: unknown): ReadonlyMap<string, Definition> {
  if (jobs === null || typeof jobs !== 'object')
    throw invalid('singleton.jobs must be an object of options by job name')
  return new Map(Object.entries(jobs).map(([name, options]) => [name, definition(name, options)]))
}

function definition(name: string, options: SingletonJobOptions): Definition {
  const refuse = (why: string) => invalid(`job ${JSON.stringify(name)}: ${why}`)
  if (options === null || typeof options !== 'object') throw refuse('its options must be an object')
  const { uniqueOn, serialize, mode = 'untilExecuted', onDuplicate = 'join', expiryMs, merge, onRunning } = options
  if (!MODES.has(mode)) throw refuse(`there is no such mode; there are ${[...MODES].join(', ')}`)
  const chooses = typeof onDuplicate === 'function'
  if (!chooses && !STRATEGIES.has(onDuplicate)) {
    throw refuse(`there is no such onDuplicate; there are ${[...STRATEGIES].join(', ')}, or a function`)
  }
  if ((expiryMs !== undefined) !== (mode === 'untilExpired')) {
    throw refuse('expiryMs belongs to the mode untilExpired, which needs it')
  }
  if (expiryMs !== undefined && !isMs(expiryMs)) throw refuse('expiryMs must be from 1 ms to 24 days')
  if (merge !== undefined && typeof merge !== 'function') throw refuse('merge must be a function')
  if (merge !== undefined && !chooses && onDuplicate !== 'rerun') throw refuse('merge belongs to onDuplicate "rerun"')
  if (onRunning !== undefined && onRunning !== 'follow' && onRunning !== 'stop') {
    throw refuse('onRunning must be "follow" or "stop"')
  }
  if (onRunning !== undefined && !chooses && onDuplicate !== 'replace') {
    throw refuse('onRunning belongs to onDuplicate "replace"')
  }
  if (onRunning !== undefined && mode !== 'untilExecuted' && mode !== 'whileExecuting') {
    throw refuse('onRunning belongs to the modes untilExecuted and whileExecuting: in the others no run is in the way')
  }
  checkKeyable(refuse, uniqueOn, serialize)
  return {
    name,
    mode,
    strategy: onDuplicate as Definition['strategy'],
    expiryMs: expiryMs ?? null,
    merge: (merge as Definition['merge']) ?? null,
    stops: onRunning === 'stop',
    key: data => jobKey(data, { uniqueOn: uniqueOn as UniqueOn<unknown> | undefined, serialize }),
  }
}

/** What a function chose is checked when it has chosen. */
export function checkStrategy(strategy: unknown): SingletonStrategy {
  if (!STRATEGIES.has(strategy)) throw invalid('the function onDuplicate must return the name of a strategy')
  return strategy as SingletonStrategy
}

/** A duration in milliseconds, or its default. */
export function msOption(name: string, value: unknown, byDefault: number): number {
  if (value === undefined) return byDefault
  if (!isMs(value)) throw invalid(`${name} must be a number of milliseconds from 1 to ${LONGEST_MS} (24 days)`)
  return Math.ceil(value)
}

export function choiceOption<T extends string>(name: string, value: unknown, choices: readonly T[]): T {
  if (value === undefined) return choices[0] as T
  if (!choices.includes(value as T)) throw invalid(`${name} must be one of ${choices.join(', ')}`)
  return value as T
}

export function invalid(message: string): SoloistError {
  return new SoloistError('INVALID_ARGUMENT', message)
}

function isMs(value: unknown): value is number {
  return typeof value === 'number' && value >= 1 && value <= LONGEST_MS
}

function checkKeyable(refuse: (why: string) => SoloistError, uniqueOn: unknown, serialize: unknown): void {
  const names = Array.isArray(uniqueOn) && uniqueOn.every(field => typeof field === 'string')
  if (uniqueOn !== undefined && typeof uniqueOn !== 'function' && !names) {
    throw refuse('uniqueOn must be a list of field names or a function')
  }
  if (serialize !== undefined && typeof serialize !== 'function') throw refuse('serialize must be a function')
}
