import { SoloistError } from '../../../index.js'

/** What the language throws: something is wrong with a program, ours or its caller's. */
const OF_THE_LANGUAGE = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError]

/**
 * What BullMQ or its Redis failed with.
 *
 * @param sent whether anything was, so that nobody knows what became of it
 * @returns an error of the language as it is, where something was sent: no outage, and no word on what was done
 */
export function asSoloistError(error: unknown, sent: boolean): Error {
  if (error instanceof SoloistError || (sent && isOfTheLanguage(error))) return error
  const refused = !sent || typeof (error as { code?: unknown } | null)?.code === 'number'
  const message = error instanceof Error ? error.message : String(error)
  return new SoloistError(refused ? 'INVALID_ARGUMENT' : 'BACKEND_UNAVAILABLE', message, { cause: error })
}

/** What tells whether jobs can be asked for where they were to be added. */
export interface Asked {
  /** To a Redis there is one connection. Elsewhere one that broke may have been replaced when it is asked. */
  readonly isOnRedis: boolean
  /** Asks something on the same connection. @throws when there is no answer */
  ask(): Promise<unknown>
}

/**
 * What adding jobs failed with. An error often does not say whether BullMQ refused an argument: what it refuses is a plain `Error`,
 * and what ioredis fails with once it has no connection any more is one, too. Where the queue answers, that was not at fault.
 *
 * @param sent whether anything was; `null`: not known
 */
export async function addingFailed(error: unknown, sent: boolean | null, queue: Asked): Promise<Error> {
  const mayBeRefused = isOfTheLanguage(error) || (queue.isOnRedis && isPlain(error))
  const asks = sent === false || (sent === null && mayBeRefused)
  if (!asks || error instanceof SoloistError) return asSoloistError(error, true)
  try {
    await queue.ask()
  } catch {
    // Nobody answers, so `error` is told as what it is then.
    return asSoloistError(error, true)
  }
  return asSoloistError(error, false)
}

function isOfTheLanguage(error: unknown): error is Error {
  return OF_THE_LANGUAGE.some(kind => error instanceof kind)
}

/** An error that says by neither class nor code what it is. */
function isPlain(error: unknown): boolean {
  return error instanceof Error && error.constructor === Error && (error as { code?: unknown }).code === undefined
}
