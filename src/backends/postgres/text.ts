// Text as Postgres can keep it. It knows no U+0000, so that is written as U+0001 and "0", and U+0001 as U+0001 and "1": what
// starts with what stays as it is.

const NUL = '\u0000'
const ESCAPE = '\u0001'

export function encode(text: string): string {
  if (!text.includes(NUL) && !text.includes(ESCAPE)) return text
  return text.replaceAll(ESCAPE, `${ESCAPE}1`).replaceAll(NUL, `${ESCAPE}0`)
}

export function decode(text: string): string {
  if (!text.includes(ESCAPE)) return text
  return text.replaceAll(`${ESCAPE}0`, NUL).replaceAll(`${ESCAPE}1`, ESCAPE)
}

/** An element of an array literal. */
export function quoted(text: string): string {
  return text.includes('"') || text.includes('\\') ? `"${text.replace(/["\\]/g, '\\$&')}"` : `"${text}"`
}

/** An array literal. Its elements are quoted, numbers or `null`. */
export function arrayOf(elements: readonly (string | number | null)[]): string {
  return `{${elements.join(',')}}`
}

const LAST_CODE_POINT = 0x10ffff

/** The first text behind all that start with `start`, by the order of code points; `null`: there is none. */
export function endOfRange(start: string): string | null {
  const points = Array.from(start, character => character.codePointAt(0) as number)
  while (points.at(-1) === LAST_CODE_POINT) points.pop()
  const last = points.pop()
  if (last === undefined) return null
  // Surrogates are no code points of their own.
  return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
}

/** A name as SQL has it: of a schema or a channel. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
