import { startingWith } from '../../backends/redis/keys.js'
import type { RedisClient } from '../../backends/redis/link/open.js'
import { invalidArgument, type JobState } from '../../errors.js'
import { checkOptionNames, checkOptions, checkPrefix, type OptionNames } from '../../internal/check.js'
import { DEFAULT_PREFIX } from './key.js'
import { RENEW, TAKE, UNLOCK } from './scripts.js'
import { Wire } from './wire.js'

/** How many locks `clear` and `sweep` deal with at once. */
const AT_ONCE = 100
/** The longest lock or task id, in bytes of UTF-8: more than anybody has, less than would harm. */
const LONGEST_BYTES = 8 * 1024

export interface CeleryLocksOptions {
  /** `singleton_key_prefix`: what every lock starts with; default `'SINGLETONLOCK_'`, never empty. */
  readonly prefix?: string | undefined
  /** How long one call to Redis may take before it counts as failed, in milliseconds; default 5,000. */
  readonly callTimeoutMs?: number | undefined
}

const OPTION_NAMES: OptionNames<CeleryLocksOptions> = { prefix: true, callTimeoutMs: true }

/** What became of a request for a lock. */
export type CeleryTaken =
  /** It was free and is now held. */
  | { readonly status: 'taken' }
  /** This very task held it already: asked again, or by the task's own retry. It goes on holding it. */
  | { readonly status: 'own' }
  /** It was taken from the task named in `replaces`. */
  | { readonly status: 'replaced' }
  /** The task `holder` holds it. */
  | { readonly status: 'busy'; readonly holder: string }

export interface CeleryTakeOptions {
  /** When the lock runs out by itself, in milliseconds from now; default `null`: never. */
  readonly ttlMs?: number | null | undefined
  /** Take it also from exactly this task: compare-and-set. */
  readonly replaces?: string | undefined
}

const TAKE_OPTION_NAMES: OptionNames<CeleryTakeOptions> = { ttlMs: true, replaces: true }

/**
 * How far a task is, as far as is known; else `null`. `'finished'`: it has ended for good, with success or failure, and
 * nothing of it is queued or runs any more.
 */
export type CeleryStateOf = (taskId: string) => Promise<JobState | null>

/**
 * The locks of celery-singleton on the Redis where Python has them: a key as `celeryLockKey` makes it holds the bare id of
 * a task, with or without an expiry. Python and TypeScript exclude each other here.
 *
 * Every step is one atomic script. What celery-singleton deletes blindly is compared first here; a Python side goes on as
 * it does.
 */
export class CeleryLocks implements AsyncDisposable {
  /** What every lock starts with. */
  readonly prefix: string
  readonly #wire: Wire

  /**
   * @param target a `redis:` or `rediss:` URL, for which a client of ioredis is opened at the first call; or a client of
   *   ioredis or node-redis, which stays open. The client's own `keyPrefix` is not put before the locks: Python would not
   *   find them.
   * @throws SoloistError `INVALID_ARGUMENT` for a target or an option it cannot take; a URL is not repeated in the message
   */
  constructor(target: string | RedisClient, options: CeleryLocksOptions = {}) {
    checkOptions(options)
    checkOptionNames(options, OPTION_NAMES)
    const { prefix = DEFAULT_PREFIX, callTimeoutMs } = options
    this.prefix = nonEmpty(checkPrefix(prefix))
    this.#wire = new Wire(target, callTimeoutMs)
  }

  /**
   * Takes the lock for a task unless another has it, as `SET NX [EX]` does. Safe to repeat.
   *
   * Held after abort or rejection: after `BACKEND_UNAVAILABLE` perhaps the lock, for `expirySeconds`, by default
   * without an end. It is safe to call again.
   *
   * @param lock as {@link celeryLockKey} names it, with the prefix
   * @param expirySeconds `lock_expiry`: when it runs out by itself; default: never
   */
  async lock(lock: string, taskId: string, expirySeconds?: number | null): Promise<CeleryTaken> {
    return await this.take(lock, taskId, { ttlMs: secondsToMs('expirySeconds', expirySeconds) })
  }

  /**
   * Gives the lock back, if this task holds it.
   *
   * Held after abort or rejection: after `BACKEND_UNAVAILABLE` perhaps the lock still. It is safe to call again.
   *
   * @returns whether it did
   */
  async unlock(lock: string, taskId: string): Promise<boolean> {
    checkText('a lock', lock)
    checkText('a task id', taskId)
    return isOne(await this.#wire.run('unlock', UNLOCK, lock, [taskId]))
  }

  /**
   * The id of the task that holds the lock, or `null`.
   *
   * Held after abort or rejection: nothing; it only looks.
   */
  async get(lock: string): Promise<string | null> {
    const holder = await this.#wire.send('get', checkText('a lock', lock), ['get', lock])
    return holder === null || holder === undefined ? null : String(holder)
  }

  /**
   * As {@link lock}, with the time in milliseconds and with compare-and-set.
   *
   * Held after abort or rejection: after `BACKEND_UNAVAILABLE` perhaps the lock, for `ttlMs`, by default without an
   * end. It is safe to call again.
   */
  async take(lock: string, taskId: string, options: CeleryTakeOptions = {}): Promise<CeleryTaken> {
    checkText('a lock', lock)
    checkText('a task id', taskId)
    checkOptions(options)
    checkOptionNames(options, TAKE_OPTION_NAMES)
    const { ttlMs = null, replaces } = options
    if (replaces !== undefined) checkText('a task id', replaces)
    const args = [taskId, ttlText(ttlMs), replaces ?? '']
    const [status, holder] = (await this.#wire.run('take', TAKE, lock, args)) as readonly [unknown, unknown]
    if (String(status) === 'busy') return { status: 'busy', holder: String(holder) }
    return { status: String(status) as 'taken' | 'own' | 'replaced' }
  }

  /**
   * Sets when the lock runs out, if this task holds it; `null`: never.
   *
   * Held after abort or rejection: what was held before; after `BACKEND_UNAVAILABLE` perhaps with the new end.
   *
   * @returns whether the task holds it; renewing never revives
   */
  async renew(lock: string, taskId: string, ttlMs: number | null): Promise<boolean> {
    checkText('a lock', lock)
    checkText('a task id', taskId)
    return isOne(await this.#wire.run('renew', RENEW, lock, [taskId, ttlText(ttlMs)]))
  }

  /**
   * Deletes every key that starts with `prefix`, taken literally, whoever holds it and whatever it is. Tasks that are
   * queued or run go on: each may be queued a second time after this.
   *
   * Held after abort or rejection: what was deleted by then is free, and the rest is held as before. It is safe to call
   * again.
   *
   * @returns how many keys were deleted
   */
  async clear(prefix: string): Promise<number> {
    return await this.#eachKey('clear', nonEmpty(checkPrefix(prefix)), async key => {
      return isOne(await this.#wire.send('clear', key, ['del', key]))
    })
  }

  /**
   * As {@link clear}, of this object's prefix. Never called by itself. To remove only what is stale: {@link sweep}.
   *
   * Held after abort or rejection: as after {@link clear}.
   */
  async clearLocks(): Promise<number> {
    return await this.clear(this.prefix)
  }

  /**
   * Gives back the locks whose tasks have ended, each by comparison; safe at any time, from anywhere.
   *
   * Held after abort or rejection: what was given up by then is free, and the rest is held as before. It is safe to
   * call again.
   *
   * @returns how many were given back
   */
  async sweep(stateOf: CeleryStateOf): Promise<number> {
    if (typeof stateOf !== 'function') throw invalidArgument('sweep needs a function that tells how far a task is')
    return await this.#eachKey('sweep', this.prefix, async key => {
      if (String(await this.#wire.send('sweep', key, ['type', key])) !== 'string') return false
      const holder = await this.get(key)
      if (holder === null || (await stateOf(holder)) !== 'finished') return false
      return await this.unlock(key, holder)
    })
  }

  /**
   * Lets go of the connection that was opened for a URL. The locks stay. Safe to call twice.
   *
   * Held after abort or rejection: what the tasks hold, as ever.
   */
  async close(): Promise<void> {
    await this.#wire.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** @returns for how many keys that start with `prefix` the function said true */
  async #eachKey(what: string, prefix: string, run: (key: string) => Promise<boolean>): Promise<number> {
    let count = 0
    for await (const keys of this.#wire.scan(what, startingWith(prefix))) {
      const own = [...new Set(keys)].filter(key => key.startsWith(prefix))
      for (let i = 0; i < own.length; i += AT_ONCE) {
        count += (await Promise.all(own.slice(i, i + AT_ONCE).map(run))).filter(Boolean).length
      }
    }
    return count
  }
}

/** A time in seconds, as celery-singleton has it, in milliseconds; `null` and `undefined` stay `null`. */
export function secondsToMs(field: string, seconds: number | null | undefined): number | null {
  if (seconds === null || seconds === undefined) return null
  if (!Number.isSafeInteger(seconds) || seconds < 1 || seconds > 2 ** 31) {
    throw invalidArgument(`${field} must be a whole number of seconds from 1 to 2^31, or null`)
  }
  return seconds * 1000
}

/** A lock or a task's id: a non-empty, well-formed string of at most 8 KiB. */
export function checkText(what: string, text: string): string {
  if (typeof text !== 'string' || text === '' || !text.isWellFormed() || Buffer.byteLength(text) > LONGEST_BYTES) {
    throw invalidArgument(`${what} must be a string of 1 to ${LONGEST_BYTES} bytes without a lone surrogate`)
  }
  return text
}

function nonEmpty(prefix: string): string {
  // Every key of the database starts with nothing.
  if (prefix === '') throw invalidArgument('the prefix of locks must not be empty')
  return prefix
}

function ttlText(ttlMs: number | null): string {
  if (ttlMs === null) return ''
  if (typeof ttlMs !== 'number' || !(ttlMs >= 1 && ttlMs <= 2 ** 31 * 1000)) {
    throw invalidArgument('ttlMs must be a number of milliseconds from 1 to 2^31 seconds, or null')
  }
  return String(Math.ceil(ttlMs))
}

function isOne(reply: unknown): boolean {
  return String(reply) === '1'
}
