import { JobFailedError, SoloistError } from '../../errors.js'
import { canonicalJson } from '../naming/key.js'

/** How a run or a wait for one ended. Held as a value, so that a result nobody asks for is no unhandled rejection. */
export type Settled<R> = { readonly ok: true; readonly value: R } | { readonly ok: false; readonly error: unknown }

/** An error is kept with this much of its message. */
const LONGEST_MESSAGE = 4_096
const LONGEST_WORD = 200

/** What is kept of a run's end. */
type Kept =
  | { readonly value?: unknown }
  | { readonly error: { readonly name: string; readonly message: string; readonly code?: string } }
  | { readonly unavailable: string }

/**
 * A run's end as text for those who joined it. A value that cannot be told, since it is no JSON data or too long,
 * becomes a note of that.
 *
 * @param limitBytes the longest value, as JSON
 */
export function keptText(
  end: Settled<unknown>,
  limitBytes: number,
  serialize: ((value: unknown) => unknown) | undefined,
): string {
  if (!end.ok) return JSON.stringify({ error: errorData(end.error) } satisfies Kept)
  if (end.value === undefined) return JSON.stringify({} satisfies Kept)
  let value: string
  try {
    value = canonicalJson(end.value, serialize, 'a result')
  } catch (error) {
    // It names what stood in the way by kind and place, never by content.
    const { message } = error as SoloistError
    return JSON.stringify({ unavailable: message.slice(0, LONGEST_MESSAGE) } satisfies Kept)
  }
  const bytes = Buffer.byteLength(value)
  if (bytes <= limitBytes) return `{"value":${value}}`
  return JSON.stringify({ unavailable: `it has ${bytes} bytes, and the limit is ${limitBytes}` } satisfies Kept)
}

/** What a run with this id left, as those who joined it get it. */
export function settledFrom<R>(text: string, id: string): Settled<R> {
  const kept = parsed(text)
  if (kept !== null && 'error' in kept) {
    const { name, message, code } = kept.error
    const cause = Object.assign(new Error(message), { name, ...(code === undefined ? {} : { code }) })
    // Made here, so its stack says nothing about where it was thrown.
    cause.stack = `${name}: ${message}`
    return { ok: false, error: new JobFailedError({ id, cause }) }
  }
  if (kept !== null && 'unavailable' in kept) return { ok: false, error: unavailable(id, kept.unavailable) }
  if (kept !== null) return { ok: true, value: kept.value as R }
  return { ok: false, error: unavailable(id, 'what was kept is in a form this version does not know') }
}

/** Gives the value, or throws the error. */
export function unwrap<R>(end: Settled<R>): R {
  if (end.ok) return end.value
  throw end.error
}

function unavailable(id: string, why: string): SoloistError {
  return new SoloistError('RESULT_UNAVAILABLE', `the result of run ${id} cannot be had here: ${why}`)
}

function parsed(text: string): Kept | null {
  try {
    const kept: unknown = JSON.parse(text)
    return kept !== null && typeof kept === 'object' ? (kept as Kept) : null
  } catch {
    // Written by something else than this module: there is nothing to read in it.
    return null
  }
}

/** An error may be any value, and reading it may throw. */
function errorData(error: unknown): { name: string; message: string; code?: string } {
  const read = (member: 'name' | 'message' | 'code'): unknown => {
    try {
      return (error as Readonly<Record<string, unknown>> | null | undefined)?.[member]
    } catch {
      return undefined
    }
  }
  const word = (value: unknown) => (typeof value === 'string' ? value.slice(0, LONGEST_WORD).toWellFormed() : undefined)
  const message = read('message')
  const said = typeof message === 'string' ? message : typeof error === 'string' ? error : 'the run failed'
  const code = word(read('code'))
  return {
    name: word(typeof error === 'string' ? undefined : read('name')) ?? 'Error',
    message: said.slice(0, LONGEST_MESSAGE).toWellFormed(),
    ...(code === undefined ? {} : { code }),
  }
}
