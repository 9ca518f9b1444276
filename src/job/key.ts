import { hash } from 'node:crypto'
import { invalidArgument, SoloistError } from '../errors.js'

/** How deep arguments may be nested. */
const DEEPEST = 500

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

/** @throws SoloistError `INVALID_ARGUMENT` for options of another kind than {@link JobKeyOptions} names */
export function checkKeyOptions({ uniqueOn, serialize }: JobKeyOptions<never>): void {
  const fields = Array.isArray(uniqueOn) && uniqueOn.every(field => typeof field === 'string')
  if (uniqueOn !== undefined && typeof uniqueOn !== 'function' && !fields) {
    throw invalidArgument('uniqueOn must be a list of field names or a function')
  }
  if (serialize !== undefined && typeof serialize !== 'function') throw invalidArgument('serialize must be a function')
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
  return new Writer(what, serialize).write(value, '', 0)
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

/** Calls a function of the user's. */
function called<A>(what: string, call: (value: A) => unknown, value: A): unknown {
  try {
    return call(value)
  } catch (cause) {
    throw new SoloistError('INVALID_ARGUMENT', `${what} threw`, { cause })
  }
}

class Writer {
  readonly #what: string
  readonly #serialize: ((value: unknown) => unknown) | undefined
  /** The objects around the present one. */
  readonly #around = new Set<object>()

  constructor(what: string, serialize: ((value: unknown) => unknown) | undefined) {
    this.#what = what
    this.#serialize = serialize
  }

  /** @param at where the value stands, for messages: `.user.tags[2]` */
  write(value: unknown, at: string, depth: number): string {
    if (depth > DEEPEST) throw invalidArgument(`${this.#what} must not be nested deeper than ${DEEPEST} levels`)
    if (value === null || typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value)
    if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value)
    if (typeof value === 'object') {
      if (this.#around.has(value)) throw this.#refused('a cycle', at)
      if (Array.isArray(value) || isPlain(value)) {
        this.#around.add(value)
        const text = Array.isArray(value) ? this.#array(value, at, depth) : this.#object(value, at, depth)
        this.#around.delete(value)
        return text
      }
    }
    if (this.#serialize === undefined) throw this.#refused(kindOf(value), at)
    const data = called('serialize', this.#serialize, value)
    if (data === undefined) throw invalidArgument(`serialize returned undefined for ${kindOf(value)}${where(at)}`)
    return this.write(data, at, depth + 1)
  }

  #array(values: readonly unknown[], at: string, depth: number): string {
    // By index, so that a hole counts as the null it is in JSON.
    const texts = Array.from(values, (value, i) => this.write(value ?? null, `${at}[${i}]`, depth + 1))
    return `[${texts.join(',')}]`
  }

  #object(members: Readonly<Record<string, unknown>>, at: string, depth: number): string {
    if (Object.getOwnPropertySymbols(members).length > 0) throw this.#refused('a symbol', at)
    const texts: string[] = []
    for (const key of Object.keys(members).sort()) {
      const value = members[key]
      if (value === undefined) continue
      texts.push(`${JSON.stringify(key)}:${this.write(value, `${at}.${shortened(key)}`, depth + 1)}`)
    }
    return `{${texts.join(',')}}`
  }

  #refused(kind: string, at: string): SoloistError {
    return invalidArgument(`${this.#what} must be JSON data; there is ${kind}${where(at)}`)
  }
}

/** An object literal or one without a prototype, of whatever realm. */
function isPlain(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value)
  if (prototype === null) return true
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty')
}

function kindOf(value: unknown): string {
  if (typeof value === 'number') return String(value)
  if (typeof value === 'bigint') return 'a BigInt'
  if (typeof value !== 'object' || value === null) return `a ${typeof value}`
  const { name } = (value.constructor ?? {}) as { name?: unknown }
  return typeof name === 'string' && name !== '' ? `an instance of ${shortened(name)}` : 'an instance of a class'
}

function where(at: string): string {
  return at === '' ? '' : ` at ${at.length > 200 ? `${at.slice(0, 200)}…` : at}`
}

function shortened(text: string): string {
  return text.length > 50 ? `${text.slice(0, 50)}…` : text
}
