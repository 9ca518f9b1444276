import { SoloistError } from '../../../errors.js'
import { systemClock } from '../../../internal/clock.js'

/** Servers count their time in whole seconds. */
const INEXACT_MS = 2_000

let warned = false

/** What a server says of itself in its answers to INFO, one after the other, that its user should know. */
export class ServerLook {
  #runId: string | undefined
  /** When this server was last seen, or the one before it. */
  #seenAtMs = 0
  #evicts = false

  /**
   * @param always whether it is always the same server, or who took over from it
   * @returns what is to be told
   */
  look(info: string, always: boolean): readonly SoloistError[] {
    const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1]
    const found: SoloistError[] = []
    if (!this.#evicts) {
      const eviction = evictionOf(field)
      if (eviction !== null) found.push(eviction)
      this.#evicts = eviction !== null
    }
    const now = systemClock.monotonicMs()
    const [runId, upSeconds] = [field('run_id'), field('uptime_in_seconds')]
    const another = always && this.#runId !== undefined && runId !== undefined && runId !== this.#runId
    // A server that was there before, such as a replica that was promoted, was not started lately.
    const started = another && Number(upSeconds) * 1_000 <= now - this.#seenAtMs + INEXACT_MS
    if (started && field('aof_enabled') === '0') found.push(forgot())
    this.#runId = runId
    this.#seenAtMs = now
    return found
  }
}

/** Whether a server that is out of memory would throw away locks. Warns the process once. */
function evictionOf(field: (name: string) => string | undefined): SoloistError | null {
  const policy = field('maxmemory_policy')
  if (policy === undefined || policy === 'noeviction' || Number(field('maxmemory') ?? 0) === 0) return null
  const message =
    `Redis is set up as a cache: with maxmemory-policy ${policy} it throws away locks when its memory is full, and two ` +
    'clients may hold the same lock; set maxmemory-policy to noeviction, or use another server for locks'
  if (!warned) process.emitWarning(message, { type: 'SoloistWarning', code: 'SOLOIST_EVICTION' })
  warned = true
  return new SoloistError('BACKEND_UNSAFE', message)
}

function forgot(): SoloistError {
  const what = 'Redis was started again and keeps no log (appendonly no), so it may have forgotten who holds what'
  return new SoloistError('BACKEND_UNSAFE', `${what}; restartGuardMs makes others wait for who still counts on a lock`)
}
