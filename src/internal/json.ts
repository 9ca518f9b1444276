import { invalidArgument, SoloistError } from '../errors.js'

/** How deep a value may be nested. */
const DEEPEST = 500

/** One way of writing JSON. */
export interface JsonStyle {
  /** Names the value in messages. */
  readonly what: string
  /** What stands between two elements or members. */
  readonly comma: string
  /** What stands between a key and its value. */
  readonly colon: string
  /** Puts the keys of an object in order, in place. */
  readonly sort: (keys: string[]) => void
  /** The text of a string, which may be a key. */
  readonly string: (text: string) => string
  /**
   * The text of a value that is no string; `null` for what holds other values and for what JSON has no word for.
   *
   * @param at where the value stands, for messages: `.user.tags[2]`
   */
  readonly scalar: (value: unknown, at: string) => string | null
}

/**
 * JSON in one style. Members that are `undefined` are left out, and such elements are `null`.
 *
 * @param serialize called for each value JSON has no word for; what it returns stands in its place; without it such
 *   values are refused
 * @throws SoloistError `INVALID_ARGUMENT` for what is not JSON data, saying what is where, and for cycles; and when
 *   `serialize`, a getter or a Proxy threw, with what it threw as `cause`
 * @param at where the value itself stands, for messages
 */
export function jsonText(
  value: unknown,
  style: JsonStyle,
  serialize: ((value: unknown) => unknown) | undefined,
  at: string = '',
): string {
  try {
    return scalarText(value, style, at) ?? new Writer(style, serialize).write(value, at, 0)
  } catch (cause) {
    throw cause instanceof SoloistError
      ? cause
      : new SoloistError('INVALID_ARGUMENT', `${style.what} must be JSON data; reading it threw`, { cause })
  }
}

function scalarText(value: unknown, { string, scalar }: JsonStyle, at: string): string | null {
  return typeof value === 'string' ? string(value) : scalar(value, at)
}

class Writer {
  readonly #style: JsonStyle
  readonly #serialize: ((value: unknown) => unknown) | undefined
  /** The objects around the present one, from the outside in. */
  readonly #around: object[] = []

  constructor(style: JsonStyle, serialize: ((value: unknown) => unknown) | undefined) {
    this.#style = style
    this.#serialize = serialize
  }

  write(value: unknown, at: string, depth: number): string {
    const { what } = this.#style
    if (depth > DEEPEST) throw invalidArgument(`${what} must not be nested deeper than ${DEEPEST} levels`)
    const text = scalarText(value, this.#style, at)
    if (text !== null) return text
    if (typeof value === 'object' && value !== null) {
      if (this.#around.includes(value)) throw this.#refused('a cycle', at)
      if (Array.isArray(value) || isPlain(value)) {
        this.#around.push(value)
        const text = Array.isArray(value) ? this.#array(value, at, depth) : this.#object(value, at, depth)
        this.#around.pop()
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
    return `[${texts.join(this.#style.comma)}]`
  }

  #object(members: Readonly<Record<string, unknown>>, at: string, depth: number): string {
    if (Object.getOwnPropertySymbols(members).length > 0) throw this.#refused('a symbol', at)
    const { comma, colon, sort, string } = this.#style
    const keys = Object.keys(members)
    sort(keys)
    const texts: string[] = []
    for (const key of keys) {
      const value = members[key]
      if (value === undefined) continue
      texts.push(string(key) + colon + this.write(value, `${at}.${shortened(key)}`, depth + 1))
    }
    return `{${texts.join(comma)}}`
  }

  #refused(kind: string, at: string): SoloistError {
    return invalidArgument(`${this.#style.what} must be JSON data; there is ${kind}${where(at)}`)
  }
}

/** Calls a function of the user's. @throws SoloistError `INVALID_ARGUMENT` when it threw */
export function called<A>(what: string, call: (value: A) => unknown, value: A): unknown {
  try {
    return call(value)
  } catch (cause) {
    throw new SoloistError('INVALID_ARGUMENT', `${what} threw`, { cause })
  }
}

/** What a value is, in messages, without what it holds. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'number') return String(value)
  if (typeof value === 'bigint') return 'a BigInt'
  if (typeof value !== 'object') return `a ${typeof value}`
  const { name } = (value.constructor ?? {}) as { name?: unknown }
  return typeof name === 'string' && name !== '' ? `an instance of ${shortened(name)}` : 'an instance of a class'
}

/** Where a value stands, as the end of a message. */
export function where(at: string): string {
  return at === '' ? '' : ` at ${at.length > 200 ? `${at.slice(0, 200)}…` : at}`
}

/** A text of the user's, in messages. */
export function shortened(text: string): string {
  return text.length > 50 ? `${text.slice(0, 50)}…` : text
}

/** An object literal or one without a prototype, of whatever realm. */
function isPlain(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value)
  if (prototype === null) return true
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty')
}
