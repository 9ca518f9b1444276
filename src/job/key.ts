import { hash } from 'node:crypto'
import { invalidArgument } from '../errors.js'
import { checkKeyOptions } from '../internal/job-modes.js'
import { called, jsonText, shortened } from '../internal/json.js'

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

/**
 * The unique key of a job's arguments: `v1:` and the SHA-256, in hex, of their canonical JSON, so the order of an
 * object's keys does not matter, at any level. Computed once, when the job is triggered, and carried with it.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for arguments that are not JSON data: functions, symbols, BigInt, NaN,
 *   infinities, class instances (also Date, Map and Set) and cycles; for an absent field in `uniqueOn`; and when
 *   `uniqueOn` or `serialize` threw, with what they threw as `cause`
 */
export function jobKey<A>(args: A, options: JobKeyOptions<A> = {}): string {
  const { uniqueOn, serialize } = options
  checkKeyOptions(options)
  const text = canonicalJson(uniqueOn === undefined ? (args ?? null) : selected(args, uniqueOn), serialize)
  return `v1:${hash('sha256', text)}`
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
  what: string = 'job arguments',
): string {
  const style = { what, comma: ',', colon: ':', sort, string: JSON.stringify, scalar }
  return jsonText(value, style, serialize)
}

function selected<A>(args: A, uniqueOn: UniqueOn<A>): unknown {
  if (typeof uniqueOn === 'function') {
    const value = called('uniqueOn', uniqueOn, args)
    if (value === undefined) throw invalidArgument('uniqueOn returned undefined')
    return value
  }
  const fields: Record<string, unknown> = Object.create(null)
  for (const field of uniqueOn) {
    const value = args === null || typeof args !== 'object' || !Object.hasOwn(args, field) ? undefined : args[field]
    if (value === undefined) throw invalidArgument(`uniqueOn names the field "${shortened(field)}", which is not there`)
    fields[field] = value
  }
  return fields
}

function sort(keys: string[]): void {
  keys.sort()
}

function scalar(value: unknown): string | null {
  if (value === null || typeof value === 'boolean') return String(value)
  return typeof value === 'number' && Number.isFinite(value) ? JSON.stringify(value) : null
}
