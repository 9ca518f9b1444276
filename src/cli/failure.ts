import { CommanderError } from 'commander'
import { SoloistError } from '../index.js'
import { EXIT } from './exit-codes.js'

/** An argument the command cannot take. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The default store cannot be opened, which may be news to who named none. */
export class DefaultStoreError extends Error {
  override readonly name = 'DefaultStoreError'
}

/** What a failure comes to: one line, and an exit code. */
export interface Failure {
  readonly message: string
  readonly exitCode: number
  /** The code of the library's or the system's error, where it has one. */
  readonly code: string | null
}

/** Explains an error that ended the command. */
export function explain(error: unknown): Failure {
  if (error instanceof UsageError) return { message: error.message, exitCode: EXIT.usage, code: 'INVALID_ARGUMENT' }
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ')
    return { message, exitCode: EXIT.usage, code: 'INVALID_ARGUMENT' }
  }
  if (error instanceof DefaultStoreError) {
    const failure = explain(error.cause)
    return { ...failure, message: `${failure.message}; another store can be given by --store or SOLOIST_URL` }
  }
  if (error instanceof SoloistError) {
    const exitCode = error.code === 'INVALID_ARGUMENT' ? EXIT.usage : EXIT.unavailable
    return { message: withCause(error), exitCode, code: error.code }
  }
  return { message: `unexpected: ${shortly(error)}`, exitCode: EXIT.internal, code: systemCode(error) }
}

/** The error's message and, where another error is at the bottom of it, that one's: `… failed: connect ECONNREFUSED …`. */
export function withCause(error: Error): string {
  const cause = deepestCause(error)
  return cause === error ? error.message : `${error.message}: ${shortly(cause)}`
}

/** The code of a system error, such as `ENOENT`. */
export function systemCode(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : null
}

function deepestCause(error: unknown): unknown {
  const seen = new Set<unknown>()
  let deepest = error
  while (deepest instanceof Error && !seen.has(deepest)) {
    seen.add(deepest)
    // A host with several addresses fails once per address.
    const next = deepest instanceof AggregateError ? deepest.errors[0] : deepest.cause
    if (next === undefined || next === null) break
    deepest = next
  }
  return deepest
}

/** In one line: what Node.js adds below the first, such as who required a module, would hide the rest. */
function shortly(error: unknown): string {
  const text = error instanceof Error ? error.message || systemCode(error) || error.name : String(error)
  return text.trim().split(/\r?\n/, 1)[0] as string
}
