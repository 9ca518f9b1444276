import { createHash } from 'node:crypto'
import { invalidArgument } from '../../errors.js'
import { checkOptionNames, checkOptions, checkPrefix, type OptionNames } from '../../internal/check.js'
import { pythonJson } from './python-json.js'
import { boundArguments, signatureOf } from './signature.js'

/** What celery-singleton puts before every lock unless `singleton_key_prefix` says otherwise. */
export const DEFAULT_PREFIX = 'SINGLETONLOCK_'

/** How a task's lock is named. Every field is optional, and must say what the Python side says. */
export interface CeleryKeyOptions {
  /** `singleton_key_prefix`: what the lock starts with; default `'SINGLETONLOCK_'`. */
  readonly prefix?: string | undefined
  /**
   * `unique_on`: the parameter, or parameters, that count; default, and `[]`: all arguments, as celery-singleton 0.3.1
   * has it. Each must be given in the call, also one that has a default in Python.
   */
  readonly uniqueOn?: string | readonly string[] | undefined
  /**
   * The parameters of the task in Python, in order, without `self`: `['user', 'force', '*rest', '**more']`. Needed when
   * `uniqueOn` is given and arguments come by place.
   */
  readonly parameters?: readonly string[] | undefined
  /** `singleton_json_encoder_class`: called for each value JSON has no word for; what it returns stands in its place. */
  readonly serialize?: ((value: unknown) => unknown) | undefined
}

const OPTION_NAMES: OptionNames<CeleryKeyOptions> = { prefix: true, uniqueOn: true, parameters: true, serialize: true }

/**
 * The lock of a task with these arguments, as celery-singleton names it: the prefix and the MD5, in hex, of the task's
 * name, its arguments and its keyword arguments as `json.dumps(…, sort_keys=True)` writes them.
 *
 * Which numbers are ints and which are floats: {@link pythonJson}.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for arguments that are not JSON data, and when `uniqueOn` names what is not given
 */
export function celeryLockKey(
  task: string,
  args: readonly unknown[] = [],
  kwargs: Readonly<Record<string, unknown>> = {},
  options: CeleryKeyOptions = {},
): string {
  checkTaskName(task)
  checkKeyOptions(options)
  checkArguments(args, kwargs)
  const { prefix = DEFAULT_PREFIX, serialize } = options
  const [uniqueArgs, uniqueKwargs] = unique(args, kwargs, options)
  const text = [uniqueArgs, uniqueKwargs].map(value => pythonJson(value, { sortKeys: true, serialize })).join('')
  return (
    prefix +
    createHash('md5')
      .update(task + text)
      .digest('hex')
  )
}

/** @throws SoloistError `INVALID_ARGUMENT` for options of another kind than {@link CeleryKeyOptions} names */
export function checkKeyOptions(options: CeleryKeyOptions): void {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  const { prefix, uniqueOn, parameters, serialize } = options
  if (prefix !== undefined) checkPrefix(prefix)
  const names = typeof uniqueOn === 'string' || (Array.isArray(uniqueOn) && uniqueOn.every(n => typeof n === 'string'))
  if (uniqueOn !== undefined && !names)
    throw invalidArgument('uniqueOn must be the name of a parameter, or a list of them')
  if (parameters !== undefined) signatureOf(parameters)
  if (serialize !== undefined && typeof serialize !== 'function') throw invalidArgument('serialize must be a function')
}

/** @throws SoloistError `INVALID_ARGUMENT` unless it is a non-empty, well-formed string */
export function checkTaskName(task: string): void {
  if (typeof task !== 'string' || task === '' || !task.isWellFormed()) {
    throw invalidArgument("a task's name must be a string, not empty and without a lone surrogate")
  }
}

function checkArguments(args: unknown, kwargs: unknown): void {
  if (!Array.isArray(args)) throw invalidArgument("a task's arguments must be an array")
  if (typeof kwargs !== 'object' || kwargs === null || Array.isArray(kwargs)) {
    throw invalidArgument("a task's keyword arguments must be an object")
  }
}

/** The arguments that count. */
function unique(
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
  { uniqueOn, parameters }: CeleryKeyOptions,
): readonly [readonly unknown[], Readonly<Record<string, unknown>>] {
  if (uniqueOn === undefined || (typeof uniqueOn !== 'string' && uniqueOn.length === 0)) return [args, kwargs]
  if (parameters === undefined && args.length > 0) {
    throw invalidArgument('uniqueOn needs `parameters` to tell which argument is which, unless all are given by name')
  }
  const bound = parameters === undefined ? new Map(Object.entries(kwargs)) : boundArguments(parameters, args, kwargs)
  const picked: Record<string, unknown> = Object.create(null)
  for (const name of typeof uniqueOn === 'string' ? [uniqueOn] : uniqueOn) {
    if (bound.get(name) === undefined)
      throw invalidArgument(`uniqueOn names ${JSON.stringify(name)}, which is not given`)
    picked[name] = bound.get(name)
  }
  return [[], picked]
}
