import { invalidArgument } from '../../errors.js'
import { type JsonStyle, jsonText, kindOf, where } from '../../internal/json.js'

/** What Python reads as an int. */
const INTEGER_TEXT = /^-?\d+$/

/** A number that Python is to see as a `float`, whatever its value. Made by {@link pyFloat}. */
export class PyFloat {
  readonly value: number

  /** @throws SoloistError `INVALID_ARGUMENT` unless `value` is a number */
  constructor(value: number) {
    if (typeof value !== 'number') throw invalidArgument(`pyFloat takes a number, not ${kindOf(value)}`)
    this.value = value
  }

  /**
   * The number, for `JSON.stringify`, where it comes out as a float: not for `1.0`, `-0.0`, `1e+16`, NaN and the like.
   *
   * @throws SoloistError `INVALID_ARGUMENT` where it would come out as an int or as `null`, and a worker in Python would
   *   look for another lock; write the message with {@link pythonJson}
   */
  toJSON(): number {
    const text = JSON.stringify(this.value)
    if (text === 'null' || INTEGER_TEXT.test(text)) {
      throw invalidArgument(`JSON.stringify cannot write the float ${floatText(this.value)}; use pythonJson`)
    }
    return this.value
  }
}

/**
 * A Python `float`. JavaScript has one kind of number: a plain `1` counts as the int `1` and `0.5` as a float; whoever
 * means `1.0`, `-0.0`, `1e+16`, NaN or an infinity says so with this.
 */
export function pyFloat(value: number): PyFloat {
  return new PyFloat(value)
}

/** How {@link pythonJson} writes. Every field is optional. */
export interface PythonJsonOptions {
  /** Sort the keys of every object by code point, as `sort_keys=True` does; default `false`. */
  readonly sortKeys?: boolean | undefined
  /**
   * Called for each value JSON has no word for (a Date, a Map, a class instance, NaN, a function, …), as `default` of a
   * `json.JSONEncoder` is; what it returns stands in its place. Without it such values are refused.
   */
  readonly serialize?: ((value: unknown) => unknown) | undefined
}

/**
 * JSON to the byte as Python's `json.dumps` writes it, so that Python reads back the very types that were meant.
 *
 * | here | Python |
 * |---|---|
 * | a whole number up to 2^53 - 1, or any bigint | `int` |
 * | any other finite number; {@link pyFloat} | `float` |
 * | a string, a boolean, `null` | `str`, `bool`, `None` |
 * | an array | `list`, which is written as a `tuple` is |
 * | a plain object, without the members that are `undefined` | `dict` with keys of type `str` |
 *
 * A plain `-0` is the int `0`, as `JSON.stringify` writes it; in an array `undefined` is `None`.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for what is not in the table, and for cycles; a whole number beyond 2^53 - 1
 *   is refused because it may have lost digits: a bigint or `pyFloat` says what it is
 */
export function pythonJson(value: unknown, options: PythonJsonOptions = {}): string {
  const { sortKeys, serialize } = options
  if (serialize !== undefined && typeof serialize !== 'function') throw invalidArgument('serialize must be a function')
  return jsonText(value, sortKeys === true ? SORTED : UNSORTED, serialize)
}

const UNSORTED: JsonStyle = {
  what: 'task arguments',
  comma: ', ',
  colon: ': ',
  sort: () => {},
  string: stringText,
  scalar,
}
const SORTED: JsonStyle = { ...UNSORTED, sort: keys => void keys.sort(byCodePoint) }

function scalar(value: unknown, at: string): string | null {
  if (value === null || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return Number.isFinite(value) ? numberText(value, at) : null
  return value instanceof PyFloat ? floatText(value.value) : null
}

/** Python's order of strings. JavaScript's own differs where a surrogate pair meets U+E000 to U+FFFF. */
function byCodePoint(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; ) {
    const [x, y] = [a.codePointAt(i) as number, b.codePointAt(i) as number]
    if (x !== y) return x - y
    i += x > 0xffff ? 2 : 1
  }
  return a.length - b.length
}

/** ASCII alone; what JSON lets stand beyond it, and DEL, becomes an escape, as with `ensure_ascii`. */
function stringText(text: string): string {
  return JSON.stringify(text).replace(/[^ -~]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function numberText(value: number, at: string): string {
  if (!Number.isInteger(value)) return floatText(value)
  if (Number.isSafeInteger(value)) return String(value === 0 ? 0 : value)
  throw invalidArgument(`a whole number beyond 2^53 - 1 must be a bigint or a pyFloat${where(at)}`)
}

/** `repr` of a float: the same shortest digits as in JavaScript, otherwise laid out. */
function floatText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  const sign = value < 0 || Object.is(value, -0) ? '-' : ''
  if (!Number.isFinite(value)) return `${sign}Infinity`
  const [mantissa = '', power = ''] = Math.abs(value).toExponential().split('e')
  const digits = mantissa.replace('.', '')
  const exponent = Number(power)
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length === 1 ? '' : `.${digits.slice(1)}`
    const shown = String(Math.abs(exponent)).padStart(2, '0')
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${shown}`
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0')
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`
}
