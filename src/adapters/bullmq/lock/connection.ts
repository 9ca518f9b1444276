import * as bullmq from 'bullmq'
import type { RedisClient } from '../../../backends/redis/index.js'
import { invalid } from '../options/definition.js'

/** Where the locks of a queue are when they are beside it: on a client of the application's, or on one to be opened. */
export type Beside =
  | { readonly client: RedisClient }
  /** What BullMQ, too, would open a client of ioredis with. */
  | { readonly options: { readonly url?: string } }

/** What is read of an object that may be a client, or an adapter of BullMQ's around one. */
interface Candidate {
  readonly raw?: unknown
  readonly isOpen?: unknown
  readonly sendCommand?: unknown
  readonly duplicate?: unknown
  readonly connect?: unknown
}

/**
 * Finds the Redis behind the `connection` of a queue. What is taken for options must be nothing else: options without a host
 * are those of a server on this machine, and the locks would be there while the jobs are elsewhere.
 *
 * @param backendFactory as it was given to the queue
 * @throws SoloistError `INVALID_ARGUMENT` when there is no telling where that Redis is, or no client to be had of it
 */
export function besideOf(connection: unknown, backendFactory: unknown): Beside {
  if (isElsewhere(backendFactory)) throw needed('a backend of its own does not say where a Redis is')
  // As for BullMQ: a server on this machine.
  const candidate: Candidate = connection === undefined || connection === null ? {} : (connection as Candidate)
  const client = clientIn(candidate)
  if (client !== null) return { client }
  const { clientFactory } = (bullmq as Partial<typeof bullmq>).RedisConnection ?? {}
  if (!isPlain(candidate) || typeof candidate.duplicate === 'function' || typeof candidate.connect === 'function') {
    throw needed('this connection is neither a client of ioredis or node-redis nor options for one')
  }
  if (clientFactory !== undefined) throw needed('RedisConnection.clientFactory decides where these options lead')
  return { options: candidate as { url?: string } }
}

/** Whether jobs are kept by a backend that is not the one BullMQ has for Redis. */
function isElsewhere(backendFactory: unknown): boolean {
  // BullMQ 5 has no backends.
  const { createRedisBackend, getDefaultBackendFactory } = bullmq as Partial<typeof bullmq>
  return backendFactory !== undefined || getDefaultBackendFactory?.() !== createRedisBackend
}

/** What of a queue, a worker or a flow producer leads to its Redis. */
interface Connected {
  /** BullMQ 5 has no backends. */
  readonly backend?: { readonly client?: unknown }
  readonly client?: unknown
  readonly connection?: { readonly client?: unknown }
}

/** The client by which what was made for a queue reaches it on a Redis, or a promise of it; `undefined`: it is not on one. */
export function clientOf(made: object): unknown {
  const { backend, client, connection } = made as Connected
  return backend === undefined ? (client ?? connection?.client) : backend.client
}

/**
 * Closes what BullMQ made, as BullMQ does. When its Redis is gone, BullMQ's own `close` rejects if the client still keeps
 * commands for when it is back, and the client tries to connect for ever: then what BullMQ opened is ended here.
 *
 * @param connection as it was given to BullMQ: a client of the application's stays as it is
 * @throws what BullMQ's `close` throws while it is connected
 */
export async function closeMade(made: object, connection: unknown, close: () => Promise<void>): Promise<void> {
  try {
    await close()
  } catch (error) {
    const isGiven = typeof (connection as Partial<Endable> | undefined)?.disconnect === 'function'
    const client = (await clientOf(made)) as Partial<Endable> | undefined
    if (isGiven || client?.status === 'ready' || client?.disconnect === undefined) throw error
    client.disconnect()
  }
}

interface Endable {
  readonly status: unknown
  disconnect(): void
}

/** Calls all of these, each after the one before, whether that failed or not. @throws the first error */
export async function closeAll(...closing: readonly (() => Promise<unknown>)[]): Promise<void> {
  const errors: unknown[] = []
  for (const close of closing) await close().catch((error: unknown) => errors.push(error))
  if (errors.length > 0) throw errors[0]
}

/** Whether what was made for a queue reaches it on a Redis. */
export function isOnRedis(made: object): boolean {
  const { backend } = made as Connected
  return backend === undefined || backend.client !== undefined
}

/** The backend of a queue or worker of the application's, unless it is the one BullMQ has for Redis: then `undefined`. */
export function ownBackend(made: object): unknown {
  const { RedisQueueBackend } = bullmq as Partial<typeof bullmq>
  const backend = (made as { getBackend?: () => unknown }).getBackend?.()
  return RedisQueueBackend === undefined || backend instanceof RedisQueueBackend ? undefined : backend
}

/** The client that this is, or that an adapter of BullMQ's has within. */
function clientIn(candidate: Candidate): RedisClient | null {
  for (const client of [candidate, candidate.raw as Candidate | undefined]) {
    if (typeof client?.sendCommand !== 'function' || typeof client.duplicate !== 'function') continue
    return (client.isOpen === false ? whenOpen(client as NodeRedis) : client) as RedisClient
  }
  return null
}

interface NodeRedis {
  readonly isOpen: boolean
  readonly options?: unknown
  on(event: string, listener: (...args: unknown[]) => void): unknown
  once(event: string, listener: () => void): unknown
  connect(): Promise<unknown>
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>
  destroy(): unknown
  sendCommand(args: string[]): Promise<unknown>
  duplicate(): unknown
}

/** A client of node-redis that BullMQ is about to connect: commands wait for that, with the bound that every call has. */
function whenOpen(client: NodeRedis): object {
  const ready = new Promise<void>(resolve => void client.once('ready', resolve))
  return {
    options: client.options,
    on: client.on.bind(client),
    connect: client.connect.bind(client),
    subscribe: client.subscribe.bind(client),
    destroy: client.destroy.bind(client),
    duplicate: client.duplicate.bind(client),
    sendCommand: async (args: string[]) => {
      await ready
      return await client.sendCommand(args)
    },
  }
}

/** An object that is nothing but its own fields: of any realm. */
function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function needed(why: string): Error {
  return invalid(`singleton.solo is needed: ${why}`)
}
