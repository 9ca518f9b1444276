import { invalidArgument, type SoloistError } from '../../../errors.js'
import { parseAddress } from './address.js'
import { IoredisAddress, type IoredisClient, IoredisGiven, type IoredisOptions } from './ioredis.js'
import type { Source } from './library.js'
import { Link } from './link.js'
import { type NodeRedis, NodeRedisGiven } from './node-redis.js'

/**
 * A client of the application's: of ioredis 5 or 6, or of node-redis 5 or 6; for one server, for a cluster, or for what
 * sentinels know.
 */
export type RedisClient = IoredisClient | NodeRedis

/**
 * Makes a link. Nothing is opened before the first call.
 *
 * @param target a URL or options of ioredis, for connections of its own; or a client of the application's
 * @throws SoloistError `INVALID_ARGUMENT` when it is none that can be used; a URL is not repeated in the message
 */
export function openLink(target: string | IoredisOptions | RedisClient): Link {
  return new Link(sourceOf(target))
}

function sourceOf(target: unknown): Source {
  if (typeof target === 'string') return new IoredisAddress(parseAddress(target))
  if (isOptions(target)) return new IoredisAddress(target)
  const client = checkClient(target)
  return isIoredis(client) ? new IoredisGiven(client) : new NodeRedisGiven(client)
}

function checkClient(client: unknown): RedisClient {
  if (typeof client !== 'object' || client === null) throw unusable()
  const candidate = client as Partial<Record<string, unknown>>
  const has = (method: string) => typeof candidate[method] === 'function'
  if (has('execute') && has('sendCommand') && !has('duplicate')) {
    throw unusable("a pool of node-redis' createClientPool is not supported: give a client of createClient")
  }
  // A sentinel client of node-redis 5 has no duplicates.
  const needed = has('getSentinelNode') ? ['sendCommand', 'on', 'unsubscribe'] : ['sendCommand', 'duplicate', 'on']
  if (!['subscribe', ...needed].every(has)) throw unusable()
  const { mode } = candidate
  if (mode === 'subscriber' || mode === 'monitor') {
    throw unusable(`this client of ioredis is in ${mode} mode and sends no commands: give another one`)
  }
  return client as RedisClient
}

function unusable(why?: string): SoloistError {
  const what =
    'a redis: URL is needed, or options of ioredis that name a server, or a client of ioredis or node-redis for one ' +
    'server, a cluster or sentinels'
  return invalidArgument(why === undefined ? what : `${what}; ${why}`)
}

function isIoredis(client: RedisClient): client is IoredisClient {
  return 'status' in client
}

/** Options that name a server; others would mean one that the application did not choose. */
function isOptions(target: unknown): target is IoredisOptions {
  if (typeof target !== 'object' || target === null || Array.isArray(target)) return false
  const { host, path, sentinels, name, sendCommand } = target as IoredisOptions
  if (sendCommand !== undefined) return false
  if (Array.isArray(sentinels) && sentinels.length > 0) return typeof name === 'string' && name !== ''
  return [host, path].some(text => typeof text === 'string' && text !== '')
}
