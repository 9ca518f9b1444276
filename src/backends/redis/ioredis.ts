import { loadIoredis } from '../../internal/peers/ioredis.js'
import type { RedisConnection, Send, Subscriber, SubscriberEvents } from './client.js'

/** The members of ioredis' `Redis` and `Cluster` that are used here. */
export interface IoredisClient {
  readonly status: string
  readonly isCluster?: boolean
  readonly options: { readonly keyPrefix?: string | Buffer | undefined }
  sendCommand(command: never): unknown
  duplicate(first?: object, second?: object): IoredisClient
  on(event: string, listener: (...args: unknown[]) => void): unknown
  subscribe(...channels: string[]): Promise<unknown>
  disconnect(): void
  nodes?(role: 'master'): readonly IoredisClient[]
}

type CommandClass = new (
  name: string,
  args: readonly string[],
  options: { replyEncoding: 'utf8' },
) => { readonly promise: Promise<unknown> }

/** Uses a client of the application's as it is. It is never closed here. */
export function ioredisConnection(client: IoredisClient): RedisConnection {
  return {
    cluster: client.isCluster === true,
    send: (_key, args) => send(client, args),
    primaries: async () => {
      const nodes = client.nodes?.('master') ?? [client]
      return nodes.map(
        (node): Send =>
          args =>
            send(node, args),
      )
    },
    subscriber: events => new IoredisSubscriber(client, events),
    close: () => {},
  }
}

/** Opens a client of its own for a URL. The package is loaded here, so that only who uses it needs it. */
export async function openIoredis(url: string): Promise<RedisConnection> {
  const { Redis } = loadIoredis()
  let lastFault: unknown
  let closed = false
  const client = new Redis(url, {
    connectionName: 'soloist',
    connectTimeout: 2_000,
    // A command rides out a short outage, up to two seconds, before it fails; after a long one the server is found soon.
    maxRetriesPerRequest: 8,
    retryStrategy: attempt => Math.min(attempt * 50, 1_000) * (0.5 + Math.random() / 2),
  })
  client.on('error', error => {
    lastFault = error
    // ioredis would go on in database 0. It says this before it sends what waits, which so fails unsent.
    if (isRefusedSelect(error)) client.disconnect()
  })
  const explained: Send = async args => {
    // After a refused database. What becomes of the connection shows in the command that waits for it.
    if (client.status === 'end' && !closed) void Promise.allSettled([client.connect()])
    try {
      return await send(client as IoredisClient, args)
    } catch (error) {
      // Without a connection ioredis only tells that it gave up; why is what it last reported.
      throw client.status === 'ready' ? error : (lastFault ?? error)
    }
  }
  return {
    ...ioredisConnection(client as IoredisClient),
    send: (_key, args) => explained(args),
    primaries: async () => [explained],
    close: () => {
      closed = true
      // Once more would leave a timer that keeps the process for two seconds.
      if (client.status !== 'end') client.disconnect()
    },
  }
}

/** ioredis hangs the command on the error it was answered with. */
function isRefusedSelect(error: Error): boolean {
  return (error as { command?: { name?: string } }).command?.name === 'select'
}

/**
 * A command with its keys as they are: the client's own methods would put its `keyPrefix` before each, which must stand
 * inside the hash tag.
 */
async function send(client: IoredisClient, [name, ...args]: readonly string[]): Promise<unknown> {
  const Command = ownCommandClass(client) ?? installedCommandClass()
  const command = new Command(name as string, args, { replyEncoding: 'utf8' })
  client.sendCommand(command as never)
  try {
    return await command.promise
  } catch (error) {
    // ioredis hangs the command on the error: a whole script, and arguments that are nobody's business in a log.
    if (error instanceof Error) Reflect.deleteProperty(error, 'command')
    throw error
  }
}

/** The class of the very ioredis that made the client, where it can be had. */
function ownCommandClass(client: IoredisClient): CommandClass | undefined {
  return (client.constructor as { Command?: CommandClass }).Command
}

let installed: CommandClass | null = null

function installedCommandClass(): CommandClass {
  installed ??= loadIoredis().Command as unknown as CommandClass
  return installed
}

class IoredisSubscriber implements Subscriber {
  readonly #client: IoredisClient
  readonly #channels = new Set<string>()
  #wasReady = false
  /** The subscription asked for last. */
  #last: Promise<void> = Promise.resolve()
  /** What waits for the end of the connection's greeting. */
  #greeting: (() => void)[] = []

  constructor(parent: IoredisClient, events: SubscriberEvents) {
    // A subscription waits for its connection, whatever the application wants of its own commands.
    const options = { enableOfflineQueue: true }
    this.#client = parent.isCluster === true ? parent.duplicate([], options) : parent.duplicate(options)
    this.#client.on('message', (_channel, message) => events.onMessage(String(message)))
    // A lost connection shows as 'ready' once it is back, or as 'end'.
    this.#client.on('error', () => {})
    this.#client.on('end', () => events.onEnd())
    this.#client.on('ready', () => {
      if (this.#wasReady) this.#resubscribe().then(events.onReconnect, events.onEnd)
      this.#wasReady = true
    })
    for (const end of ['ready', 'close']) this.#client.on(end, () => this.#greeted())
  }

  subscribe(channel: string): Promise<void> {
    this.#last = this.#subscribeAfter(this.#last, channel)
    return this.#last
  }

  close(): void {
    this.#client.disconnect()
  }

  /**
   * Never in the middle of a greeting, where ioredis 5 would send it: a connection that is subscribed may not say the rest,
   * and ioredis drops it with all that waits for its end. One at a time, since a Cluster greets on a connection inside,
   * which the first one opens.
   */
  async #subscribeAfter(last: Promise<void>, channel: string): Promise<void> {
    await Promise.allSettled([last])
    while (this.#client.status === 'connect') await new Promise<void>(resolve => this.#greeting.push(resolve))
    await this.#client.subscribe(channel)
    this.#channels.add(channel)
  }

  #greeted(): void {
    for (const resolve of this.#greeting.splice(0)) resolve()
  }

  /** Again, whatever the client did by itself: when this is answered, no push can be missed any more. */
  async #resubscribe(): Promise<void> {
    if (this.#channels.size > 0) await this.#client.subscribe(...this.#channels)
  }
}
