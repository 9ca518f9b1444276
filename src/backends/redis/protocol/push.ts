import type { StoreEvent } from '../../../backend.js'
import { SoloistError } from '../../../errors.js'

/** The version of the layout and of what is pushed. */
const VERSION = 2

/**
 * A message on a client's channel, `[version, kind, key, owner, fence?]` in JSON, as the scripts push it. What is none, as
 * of a later version or of another program, is a fault, and nothing else happens.
 *
 * @param nameOf the name of the lock that a key belongs to
 */
export function pushed(message: string, nameOf: (key: string) => string | null): StoreEvent {
  const [version, kind, key, owner, fence] = parsed(message)
  const name = typeof key === 'string' ? nameOf(key) : null
  if (version === VERSION && name !== null && typeof owner === 'string') {
    if (kind === 'ended') return { type: 'ended', name, owner }
    if (kind === 'granted' && Number.isSafeInteger(Number(fence)) && Number(fence) > 0) {
      return { type: 'granted', name, owner, fence: Number(fence) }
    }
  }
  const shown = message.length > 100 ? `${message.slice(0, 100)}…` : message
  const what = `a message was pushed that this version does not know: ${JSON.stringify(shown)}`
  return { type: 'fault', error: new SoloistError('BACKEND_UNAVAILABLE', what) }
}

function parsed(message: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(message)
    return Array.isArray(value) ? value : []
  } catch {
    // No JSON: what was pushed is none of ours.
    return []
  }
}
