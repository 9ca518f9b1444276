import { type RedisClient, redisBackend } from '../../../backends/redis/index.js'
import { KeySpace, prefixOf } from '../../../backends/redis/keys.js'
import { connect, type Soloist } from '../../../index.js'
import { loadIoredis } from '../../../internal/peers/ioredis.js'
import { invalid } from '../options/definition.js'
import { besideOf, besideSilence, closeAll } from './connection.js'

/** Where the locks are to be. */
export interface StoreSettings {
  readonly solo?: Soloist | undefined
  readonly prefix?: string | undefined
}

/** Where the locks are, and how to let go of what was opened for them. */
export interface Store {
  readonly solo: Soloist
  /** Whether it is on the queue's own Redis, so that every queue that shares its locks is there, too. */
  readonly beside: boolean
  close(): Promise<void>
}

/**
 * @returns what the keys of the locks on the queue's own Redis start with; `null` when they are where `solo` says
 * @throws SoloistError `INVALID_ARGUMENT` when there is no telling where the locks are to be
 */
export function checkConnection(
  { solo, prefix }: StoreSettings,
  connection: unknown,
  backendFactory: unknown,
): string | null {
  if (solo !== undefined) {
    if (typeof solo?.jobs?.take !== 'function') throw invalid('singleton.solo must be what connect() returned')
    if (prefix !== undefined) throw invalid('singleton.prefix contradicts singleton.solo, which has its own')
    return null
  }
  besideOf(connection, backendFactory)
  const start = prefixOf({ prefix })
  new KeySpace(start)
  return start
}

/**
 * Uses the Soloist that is given, which stays open; else opens one on the Redis of a BullMQ connection.
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when ioredis is needed and not installed
 */
export function openStore(
  { solo, prefix }: StoreSettings,
  connection: unknown,
  backendFactory: unknown,
  onError: (error: Error) => void,
): Store {
  if (solo !== undefined) return { solo, beside: false, close: async () => {} }
  const beside = besideOf(connection, backendFactory)
  if ('client' in beside) {
    const own = connect(redisBackend(beside.client, { prefix }))
    return { solo: own, beside: true, close: () => own.close() }
  }
  const { url, ...options } = besideSilence(beside.options)
  const { Redis } = loadIoredis()
  // The defaults are BullMQ's: those of ioredis are others.
  const settings = {
    ...{ port: 6379, host: '127.0.0.1' },
    ...options,
    ...{ maxRetriesPerRequest: 8, connectionName: 'soloist', enableOfflineQueue: true },
  }
  const client = url === undefined ? new Redis(settings) : new Redis(url, settings)
  client.on('error', onError)
  const own = connect(redisBackend(client as unknown as RedisClient, { prefix }))
  return {
    solo: own,
    beside: true,
    close: async () => {
      await closeAll(
        () => own.close(),
        async () => client.disconnect(),
      )
    },
  }
}
