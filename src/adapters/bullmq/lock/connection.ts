import * as bullmq from 'bullmq'
import type { RedisClient } from '../../../backends/redis/index.js'
import { clearInterval, setInterval } from '../../../internal/real-time.js'
import { invalid } from '../options/definition.js'

/** For how long a Redis that is asked may answer nothing, or a queue be without a connection: the default of `callTimeoutMs`. */
export const SILENT_MS = 5_000
/** How often it is looked whether what is being closed is silent. */
const LOOK_MS = 500

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
  if (!isOptions(candidate)) {
    throw needed('this connection is neither a client of ioredis or node-redis nor options for one')
  }
  if (clientFactory !== undefined) throw needed('RedisConnection.clientFactory decides where these options lead')
  return { options: candidate as { url?: string } }
}

/**
 * The `connection` of a queue for a connection beside it. One that is silent though it was asked is replaced, as ioredis 5.4.1 and
 * later can: it would wait for ever. A client of the application's stays as it is.
 */
export function besideSilence<C>(connection: C): C {
  const options = connection ?? ({} as C)
  return isOptions(options as Candidate) ? { socketTimeout: SILENT_MS, ...options } : connection
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
  readonly connection?: { readonly client?: unknown; on?(event: string, listener: () => void): unknown }
}

/** The client by which what was made for a queue reaches it on a Redis, or a promise of it; `undefined`: it is not on one. */
export function clientOf(made: object): unknown {
  const { backend, client, connection } = made as Connected
  return backend === undefined ? (client ?? connection?.client) : backend.client
}

/**
 * Closes what BullMQ made, as BullMQ does, which waits until all is answered that was asked. What BullMQ opened is ended here when
 * nothing was answered for 5 seconds: then all that still waits fails. So it is when its Redis is gone: BullMQ's own `close`
 * rejects if the client still keeps commands for when it is back, and the client tries to connect for ever.
 *
 * @param connection as it was given to BullMQ: a client of the application's stays as it is
 * @throws what BullMQ's `close` throws while it is connected
 */
export async function closeMade(made: object, connection: unknown, close: () => Promise<void>): Promise<void> {
  if (typeof (connection as Partial<Endable> | undefined)?.disconnect === 'function') return await close()
  let client: Partial<Endable> = {}
  const known = Promise.resolve(clientOf(made)).then(
    one => {
      client = (one ?? {}) as Partial<Endable>
    },
    // One that never was connected is ended by BullMQ.
    () => {},
  )
  let [read, silentLooks] = [-1, 0]
  // Looks and not time: what came while this process stood still is read before the next one.
  const timer = setInterval(() => {
    const { bytesRead = 0 } = client.stream ?? {}
    silentLooks = bytesRead === read ? silentLooks + 1 : 0
    read = bytesRead
    if (silentLooks < SILENT_MS / LOOK_MS) return
    clearInterval(timer)
    client.disconnect?.()
  }, LOOK_MS)
  try {
    await close()
  } catch (error) {
    await known
    if (client.status === 'ready' || client.disconnect === undefined) throw error
    client.disconnect()
    // As BullMQ does: between two connections ioredis tells nobody that there will be no other.
    client.status = 'end'
  } finally {
    clearInterval(timer)
    // BullMQ 5 tells of a connection that is closed while it is made when it has taken all listeners off.
    ;(made as Connected).connection?.on?.('error', () => {})
  }
}

interface Endable {
  status: unknown
  /** `null`: it was never connected. */
  readonly stream: { readonly bytesRead?: number } | null
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

/** What is neither a client nor made by a class. */
function isOptions(candidate: Candidate): boolean {
  const { duplicate, connect } = candidate
  return isPlain(candidate) && typeof duplicate !== 'function' && typeof connect !== 'function'
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
