import { SoloistError } from '../../../index.js'

/**
 * A signal for a processor in a process or a thread of its own. What an error has beside its message does not get into a thread,
 * nor its message into a process: a reason of ours is an object there, with `name`, `code` and `message`.
 */
export function crossing(signal: AbortSignal): AbortSignal {
  const controller = new AbortController()
  const abort = () => controller.abort(plainly(signal.reason))
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  return controller.signal
}

function plainly(reason: unknown): unknown {
  if (!(reason instanceof SoloistError)) return reason
  const { name, code, message } = reason
  return { name, code, message }
}
