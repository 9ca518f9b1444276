import { invalidArgument, type SoloistError } from '../../errors.js'
import { type IoredisClient, ioredisConnection } from './ioredis.js'
import { type NodeRedisClient, type NodeRedisCluster, nodeRedisConnection, nodeRedisKeyPrefix } from './node-redis.js'

/** Sends one command to one server and answers with its reply. */
export type Send = (args: readonly string[]) => Promise<unknown>

/** A connection to Redis as this backend uses it, whichever library is behind it. */
export interface RedisConnection {
  readonly cluster: boolean
  /** Sends a command to the server that has `key`. */
  send(key: string, args: readonly string[]): Promise<unknown>
  /** One for every primary of a cluster; else for the one server. */
  primaries(): Promise<readonly Send[]>
  /** Opens a connection of its own for subscriptions. */
  subscriber(events: SubscriberEvents): Subscriber
  /** Closes what was opened here, never a client that was passed in. */
  close(): void
}

export interface SubscriberEvents {
  onMessage(message: string): void
  /** The connection is back, with all its subscriptions, after it was gone. */
  onReconnect(): void
  /** The connection is gone for good. */
  onEnd(): void
}

export interface Subscriber {
  /** Resolves when the server has confirmed it. */
  subscribe(channel: string): Promise<void>
  close(): void
}

/** A client of the application's: of ioredis from 5.3 on, or node-redis from 5.9 on; for one server or for a cluster. */
export type RedisClient = IoredisClient | NodeRedisClient | NodeRedisCluster

/** What the application's client puts before every key. */
export function keyPrefixOf(client: RedisClient): string {
  return isIoredis(client) ? String(client.options.keyPrefix ?? '') : nodeRedisKeyPrefix(client)
}

export function connectionTo(client: RedisClient): RedisConnection {
  return isIoredis(client) ? ioredisConnection(client) : nodeRedisConnection(client)
}

/**
 * @throws SoloistError `INVALID_ARGUMENT` when it is no client that this backend knows how to use, with what to give instead
 */
export function checkClient(client: unknown): RedisClient {
  if (typeof client !== 'object' || client === null) throw unusable()
  const candidate = client as Partial<Record<string, unknown>>
  const has = (method: string) => typeof candidate[method] === 'function'
  if (has('getSentinelNode')) {
    throw unusable("a client of node-redis' createSentinel is not supported: for Sentinel give a client of ioredis")
  }
  if (has('execute') && has('sendCommand') && !has('duplicate')) {
    throw unusable("a pool of node-redis' createClientPool is not supported: give a client of createClient")
  }
  if (!['sendCommand', 'duplicate', 'on', 'subscribe'].every(has)) throw unusable()
  const { mode } = candidate
  if (mode === 'subscriber' || mode === 'monitor') {
    throw unusable(`this client of ioredis is in ${mode} mode and sends no commands: give another one`)
  }
  return client as RedisClient
}

function unusable(why?: string): SoloistError {
  const what = 'a redis: URL is needed, or a client or cluster of ioredis or node-redis'
  return invalidArgument(why === undefined ? what : `${what}; ${why}`)
}

function isIoredis(client: RedisClient): client is IoredisClient {
  return 'status' in client
}
