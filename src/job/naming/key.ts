import { invalidArgument } from '../../errors.js'
import { checkOptionNames, type OptionNames } from '../../internal/check.js'
import { checkKeyOptions } from '../../internal/job-modes.js'
import { called, type JsonStyle, jsonText, shortened } from '../../internal/json.js'

/**
 * The part of a job's arguments that makes it unique: some of their fields by name, each of which must be there, or
 * whatever a function makes of them. `[]` means none: the job is unique by its name alone.
 */
export type UniqueOn<A> = readonly (keyof A & string)[] | ((args: A) => unknown)

/** How a job's key is made. Every field is optional. */
export interface JobKeyOptions<A> {
  /** Which part of the arguments counts; default: all of them. */
  readonly uniqueOn?: UniqueOn<A> | undefined
  /**
   * Called for each value JSON has no word for (a BigInt, a Date, a Map, a class instance, NaN, a function, …); what it
   * returns stands in its place. Without it such values are refused.
   */
  readonly serialize?: ((value: unknown) => unknown) | undefined
}

const OPTION_NAMES: OptionNames<JobKeyOptions<unknown>> = { uniqueOn: true, serialize: true }

/**
 * The unique key of a job's arguments: `v1:` and the SHA-256, in hex, of their canonical JSON, so the order of an
 * object's keys does not matter, at any level. Computed once, when the job is triggered, and carried with it.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for arguments that are not JSON data: functions, symbols, BigInt, NaN,
 *   infinities, class instances (also Date, Map and Set) and cycles; for an absent field in `uniqueOn`; and when
 *   `uniqueOn` or `serialize` threw, with what they threw as `cause`
 */
export function jobKey<A>(args: A, options: JobKeyOptions<A> = {}): string {
  return jobKeying(options)(args)
}

/**
 * As {@link jobKey} for many arguments.
 *
 * @param realm a key of one realm is none of another
 * @throws SoloistError `INVALID_ARGUMENT` for options that cannot be taken
 */
export function jobKeying<A>(options: JobKeyOptions<A>, realm: string = ''): (args: A) => string {
  checkKeyOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  const text = canonicalPart(options)
  // Not loaded before there is a job.
  const { hash } = process.getBuiltinModule('node:crypto')
  const before = realm === '' ? '' : `${JSON.stringify(realm)}\n`
  return args => `v1:${hash('sha256', before + text(args))}`
}

/**
 * JSON with the keys of every object in the order of their UTF-16 code units and without white space, as RFC 8785
 * writes it; a lone surrogate is escaped. Members that are `undefined` are left out, and such elements are `null`.
 *
 * @param what names the value in messages
 */
export function canonicalJson(
  value: unknown,
  serialize?: (value: unknown) => unknown,
  what: string = ARGUMENTS.what,
): string {
  return jsonText(value, what === ARGUMENTS.what ? ARGUMENTS : { ...ARGUMENTS, what }, serialize)
}

const ARGUMENTS: JsonStyle = { what: 'job arguments', comma: ',', colon: ':', sort, string: JSON.stringify, scalar }

/** The canonical JSON of the part of the arguments that counts. */
function canonicalPart<A>({ uniqueOn, serialize }: JobKeyOptions<A>): (args: A) => string {
  if (uniqueOn === undefined) return args => canonicalJson(args ?? null, serialize)
  if (typeof uniqueOn === 'function') {
    return args => {
      const value = called('uniqueOn', uniqueOn, args)
      if (value === undefined) throw invalidArgument('uniqueOn returned undefined')
      return canonicalJson(value, serialize)
    }
  }
  const names = [...new Set(uniqueOn)].sort()
  const read = (args: A, name: keyof A & string): unknown =>
    called('reading the job arguments', () => (Object.hasOwn(args as object, name) ? args[name] : undefined), args)
  const member = (args: A, name: keyof A & string): string => {
    const value = args === null || typeof args !== 'object' ? undefined : read(args, name)
    if (value === undefined) throw invalidArgument(`uniqueOn names the field "${shortened(name)}", which is not there`)
    return `${JSON.stringify(name)}:${jsonText(value, ARGUMENTS, serialize, `.${shortened(name)}`)}`
  }
  return args => `{${names.map(name => member(args, name)).join(',')}}`
}

function sort(keys: string[]): void {
  keys.sort()
}

function scalar(value: unknown): string | null {
  if (value === null || typeof value === 'boolean') return String(value)
  return typeof value === 'number' && Number.isFinite(value) ? JSON.stringify(value) : null
}
