import type { Link } from '../../backends/redis/link/link.js'
import { openLink, type RedisClient } from '../../backends/redis/link/open.js'
import { causedBy, SoloistError } from '../../errors.js'
import { checkMs } from '../../internal/check.js'
import { checkTimers, clearTimeout, setTimeout } from '../../internal/real-time.js'

const DEFAULT_CALL_TIMEOUT_MS = 5_000

/**
 * Commands to the Redis that celery uses, each bounded in time and each failing in one way only: with a `SoloistError`.
 * Keys are sent as they are: what the application's client puts before its own keys is unknown to Python.
 */
export class Wire {
  readonly #link: Link
  readonly #timeoutMs: number
  #closed = false

  /** @throws SoloistError `INVALID_ARGUMENT`; a URL is not repeated in the message */
  constructor(target: string | RedisClient, callTimeoutMs: number = DEFAULT_CALL_TIMEOUT_MS) {
    checkTimers()
    this.#timeoutMs = checkMs('callTimeoutMs', callTimeoutMs, 1)
    this.#link = openLink(target)
  }

  /** Sends a command that is safe to repeat, and repeats it once when it failed: its reply may have been lost. */
  async send(what: string, key: string, args: readonly string[]): Promise<unknown> {
    return await this.#bounded(what, async isOver => {
      try {
        return await this.#link.send(key, args)
      } catch (error) {
        if (isOver()) throw error
        return await this.#link.send(key, args)
      }
    })
  }

  async run(what: string, script: string, key: string, args: readonly string[]): Promise<unknown> {
    return await this.send(what, key, ['eval', script, '1', key, ...args])
  }

  /** Every key that matches a glob pattern, some at a time; a key may come twice. */
  async *scan(what: string, pattern: string): AsyncGenerator<readonly string[], void, undefined> {
    const primaries = await this.#bounded(what, () => this.#link.primaries())
    for (const primary of primaries) {
      let cursor = '0'
      do {
        const args = ['scan', cursor, 'match', pattern, 'count', '1000']
        const [next, keys] = (await this.#bounded(what, () => primary(args))) as [unknown, readonly unknown[]]
        cursor = String(next)
        yield keys.map(String)
      } while (cursor !== '0')
    }
  }

  /** Closes what was opened here, never a client that was passed in. */
  async close(): Promise<void> {
    this.#closed = true
    this.#link.close()
  }

  async #bounded<T>(what: string, call: (isOver: () => boolean) => Promise<T>): Promise<T> {
    if (this.#closed) throw new SoloistError('CLOSED', 'this was closed')
    let timer: NodeJS.Timeout | undefined
    let over = false
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(unavailable(what, `gave no answer within ${this.#timeoutMs} ms (callTimeoutMs)`)),
        this.#timeoutMs,
      )
    })
    try {
      return await Promise.race([call(() => over || this.#closed), late])
    } catch (error) {
      throw error instanceof SoloistError ? error : unavailable(what, 'failed', error)
    } finally {
      over = true
      clearTimeout(timer)
    }
  }
}

function unavailable(what: string, how: string, cause?: unknown): SoloistError {
  return new SoloistError('BACKEND_UNAVAILABLE', `celery's Redis ${how} (${what})`, causedBy(cause))
}
