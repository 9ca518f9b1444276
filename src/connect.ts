import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Backend } from './backend.js'
import { memoryBackend } from './backends/memory/backend.js'
import { redisBackend } from './backends/redis/backend.js'
import { sqliteBackend } from './backends/sqlite/backend.js'
import { invalidArgument } from './errors.js'
import { Soloist, type SoloistOptions } from './soloist.js'

export interface ConnectOptions extends SoloistOptions {
  /**
   * What every key and row of this client starts with; default `'soloist:'`. Clients with different prefixes never meet.
   * Only for a URL: a backend that was made already has its own.
   */
  readonly prefix?: string | undefined
}

/**
 * Opens a datastore for locks.
 *
 * | target | |
 * |---|---|
 * | `redis://[user:password@]host[:port][/database]`, `rediss://…` (TLS) | needs `ioredis` installed |
 * | `sqlite:path`, relative to the working directory | needs Node ≥ 22.13, or `libsql` installed |
 * | `memory:` | this process only |
 * | a {@link Backend}, such as `redisBackend(client)` | as it is |
 * | none | `SOLOIST_URL` from the environment, else {@link defaultUrl} |
 *
 * Nothing is sent before the first call. The caller closes what it opened, best with `await using`.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a target it cannot take (the message never repeats the URL, which may
 *   hold a password); `BACKEND_UNAVAILABLE` when the package that speaks to the datastore is not installed
 */
export function connect(target?: string | Backend, options: ConnectOptions = {}): Soloist {
  const { prefix, ...soloistOptions } = options
  if (target !== undefined && typeof target !== 'string') {
    if (target === null || typeof target.acquire !== 'function') {
      throw invalidArgument(
        'connect needs a URL or a backend; wrap a client first, as in connect(redisBackend(client))',
      )
    }
    if (prefix !== undefined)
      throw invalidArgument('a backend has its prefix already; give it where the backend is made')
    return new Soloist(target, soloistOptions)
  }
  return new Soloist(backendFor(target ?? (process.env.SOLOIST_URL || defaultUrl()), prefix), soloistOptions)
}

/** The store used when none is named: `soloist.db` in this user's state folder (`$XDG_STATE_HOME`, else `~/.local/state`). */
export function defaultUrl(): string {
  return `sqlite:${join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'soloist', 'soloist.db')}`
}

function backendFor(url: string, prefix: string | undefined): Backend {
  const scheme = /^([a-z]+):/.exec(url)?.[1]
  switch (scheme) {
    case 'redis':
    case 'rediss':
      return redisBackend(url, { prefix })
    case 'sqlite':
      return sqliteBackend(url.slice('sqlite:'.length), { prefix })
    case 'memory':
      if (url !== 'memory:') throw invalidArgument('the URL of the memory backend is just "memory:"')
      return memoryBackend()
    default:
      throw invalidArgument(
        scheme === undefined
          ? 'the store must be a URL that starts with redis:, rediss:, sqlite: or memory:'
          : `no backend for ${scheme}: URLs; known are redis:, rediss:, sqlite: and memory:`,
      )
  }
}
