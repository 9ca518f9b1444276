import { invalidArgument, SoloistError } from '../errors.js'
import { canonicalJson } from './naming/key.js'

/** Makes the arguments of a pending run of those it had and those of a further trigger. */
export type Merge<A> = (pending: A, newest: A) => A

/** The longest arguments that a trigger leaves with a pending run, in bytes of JSON. */
const LONGEST_CARRIED_BYTES = 16 * 1024
/** The longest note. Triggers that come together share notes up to this length, in characters. */
const LONGEST_NOTE = 64 * 1024

/** The arguments as a pending run carries them. @throws SoloistError `INVALID_ARGUMENT` when they cannot be carried */
export function carried(args: unknown): string {
  const text = canonicalJson(args ?? null)
  const bytes = Buffer.byteLength(text)
  if (bytes > LONGEST_CARRIED_BYTES) {
    throw invalidArgument(
      `with merge, arguments must not be longer than ${LONGEST_CARRIED_BYTES} bytes; they have ${bytes}`,
    )
  }
  return text
}

/**
 * Calls `merge` once with arguments and themselves, to see that it can be relied on. What it returns is dropped.
 *
 * @param text the arguments, as they are carried
 * @throws SoloistError `INVALID_ARGUMENT`
 */
export function tryMerge<A>(merge: Merge<A>, keyOf: (args: A) => string, text: string, key: string): void {
  let merged: A
  try {
    merged = merge(JSON.parse(text), JSON.parse(text))
  } catch (cause) {
    throw new SoloistError('INVALID_ARGUMENT', 'merge threw', { cause })
  }
  checkMerged(merged, keyOf, key)
}

/**
 * Folds arguments in their order.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for what merge must not return
 * @throws what merge threw
 */
export function fold<A>(merge: Merge<A>, keyOf: (args: A) => string, all: readonly A[], key: string): A {
  return all.reduce((pending, newest) => {
    const merged = merge(pending, newest)
    checkMerged(merged, keyOf, key)
    return merged
  })
}

function checkMerged<A>(merged: A, keyOf: (args: A) => string, key: string): void {
  if (merged === undefined) throw invalidArgument('merge must return arguments; it returned undefined')
  const { then } = (merged ?? {}) as { then?: unknown }
  if (typeof then === 'function') {
    // What it rejects with is of no use, and must not be an unhandled rejection.
    Promise.resolve(merged).catch(() => {})
    throw invalidArgument('merge must return arguments at once; it returned a promise')
  }
  let mergedKey: string
  try {
    mergedKey = keyOf(merged)
  } catch (cause) {
    throw new SoloistError('INVALID_ARGUMENT', 'merge returned arguments without a key', { cause })
  }
  if (mergedKey !== key) throw invalidArgument('merge must not change what the key is made of')
}

/** One note of all these triggers: each the id of the trigger and its arguments, as they are carried. */
export function noteOf(entries: readonly string[]): string {
  return `[${entries.join(',')}]`
}

/** The arguments in these notes, in their order. Those of one trigger are there once, however often it left them. */
export function argumentsIn<A>(notes: readonly string[]): readonly A[] {
  return [...new Map(notes.flatMap(note => JSON.parse(note) as readonly (readonly [id: string, args: A])[])).values()]
}

/** Cuts a list where its texts get too long for one note. */
export function chunks<T>(items: readonly T[], textOf: (item: T) => string): readonly (readonly T[])[] {
  const all: T[][] = []
  let length = Infinity
  for (const item of items) {
    const more = textOf(item).length + 1
    if (length + more > LONGEST_NOTE) {
      all.push([])
      length = 0
    }
    ;(all.at(-1) as T[]).push(item)
    length += more
  }
  return all
}
