import { Socket } from 'node:net'
import { loadIoredis } from '../../../internal/peers/ioredis.js'
import {
  type CommandClasses,
  commandClassesOf,
  type IoredisClient,
  ownCommandClass,
  send,
  sendBytes,
} from './ioredis-commands.js'
import type { Connection, ConnectionEvents, Send, Source, Subscriber, SubscriberEvents } from './library.js'
import { withoutCommand } from './replies.js'

export type { IoredisClient } from './ioredis-commands.js'

/** Options as the constructor of ioredis' `Redis` takes them, with `host`, `path` or `sentinels` at least. */
export interface IoredisOptions {
  readonly host?: string | undefined
  readonly port?: number | undefined
  /** Of a Unix socket. */
  readonly path?: string | undefined
  readonly sentinels?: readonly { readonly host?: string; readonly port?: number }[] | null | undefined
  /** The name by which sentinels know the primary. */
  readonly name?: string | undefined
  readonly db?: number | undefined
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly keyPrefix?: string | Buffer | undefined
  // biome-ignore lint/suspicious/noExplicitAny: what else ioredis takes is its own matter
  readonly [option: string]: any
}

type Ioredis = Pick<typeof import('ioredis'), 'Redis' | 'Cluster' | 'Command'>

/** What a connection of ours can do without, or must not do. */
const OURS = {
  // It does not come back by itself: the next one is opened where it is decided that this one is over.
  retryStrategy: null,
  sentinelRetryStrategy: null,
  sentinelReconnectStrategy: null,
  reconnectOnError: null,
  maxRetriesPerRequest: null,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  // What is sent before it is open waits for that.
  enableOfflineQueue: true,
  enableReadyCheck: true,
  lazyConnect: false,
  // Each call is bounded elsewhere, and silence is noticed there.
  commandTimeout: undefined,
  socketTimeout: undefined,
  blockingTimeout: undefined,
  // Keys and commands are sent as they are, and answers read as they are told.
  keyPrefix: '',
  enableAutoPipelining: false,
  readOnly: false,
  monitor: false,
  stringNumbers: false,
  replyMapping: 'legacy',
  scripts: undefined,
  himportFieldsets: undefined,
  // A silent peer answers no FIN.
  disconnectTimeout: 100,
  maxLoadingRetryTime: 250,
} as const

/** What a connection to an address has unless its options say otherwise. */
const DEFAULTS = { connectionName: 'soloist', connectTimeout: 2_000 } as const

const CLUSTER = {
  clusterRetryStrategy: null,
  enableOfflineQueue: true,
  enableReadyCheck: true,
  lazyConnect: false,
  scaleReads: 'master',
  enableAutoPipelining: false,
  keyPrefix: '',
} as const

/** Connections of our own to an address. */
export class IoredisAddress implements Source {
  readonly own = true
  readonly keyPrefix: string
  readonly #address: string | IoredisOptions
  #ioredis: Ioredis | null = null
  /** The last one, which knows what the address means. */
  #last: IoredisClient | null = null
  #follows = false

  /** @param address a `redis:` or `rediss:` URL, or options */
  constructor(address: string | IoredisOptions) {
    this.#address = address
    this.keyPrefix = typeof address === 'string' ? '' : String(address.keyPrefix ?? '')
  }

  async load(): Promise<void> {
    this.#ioredis ??= loadIoredis()
  }

  connect(events: ConnectionEvents): Connection {
    const ioredis = this.#ioredis as Ioredis
    const client = this.#follows ? this.#openCluster(ioredis) : this.#open(ioredis)
    client.on('error', error => {
      const shown = isRefusedSelect(error) ? 'refused' : 'trouble'
      withoutCommand(error)
      if (shown === 'trouble') return events.onTrouble(error)
      // ioredis would go on in database 0. It says this before it sends what waits, which so fails unsent.
      events.onRefused(error)
      client.disconnect()
    })
    client.on('end', () => events.onEnd())
    return connectionOf(client, commandClassesOf(client, ioredis), () => abandon(client))
  }

  subscriber(events: SubscriberEvents): Subscriber {
    return new IoredisSubscriber(this.#open(this.#ioredis as Ioredis), events)
  }

  followCluster(): boolean {
    const { host, sentinels, path } = (this.#last?.options ?? {}) as IoredisOptions
    if (host === undefined || path || sentinels) return false
    this.#follows = true
    return true
  }

  #open({ Redis }: Ioredis): IoredisClient {
    // What stands first counts.
    const Any = Redis as unknown as new (...options: unknown[]) => IoredisClient
    const given = typeof this.#address === 'string' ? this.#address : { ...this.#address, ...OURS }
    this.#last = new Any(OURS, given, DEFAULTS)
    return this.#last
  }

  #openCluster({ Cluster }: Ioredis): IoredisClient {
    const { host, port, username, password, tls, family } = (this.#last as IoredisClient).options as IoredisOptions
    const Any = Cluster as unknown as new (...options: unknown[]) => IoredisClient
    const redisOptions = { ...DEFAULTS, username, password, tls, family, keyPrefix: '', disconnectTimeout: 100 }
    // The name in a certificate is that of the server, not of its address.
    const names = tls ? { dnsLookup: (name: string, done: (e: null, n: string) => void) => done(null, name) } : {}
    return new Any([{ host, port }], { ...CLUSTER, ...names, redisOptions })
  }
}

/** A client of the application's, which is used as it is. */
export class IoredisGiven implements Source {
  readonly own = false
  readonly keyPrefix: string
  readonly #client: IoredisClient
  #commands: CommandClasses | null = null

  constructor(client: IoredisClient) {
    this.#client = client
    this.keyPrefix = String(client.options.keyPrefix ?? '')
  }

  async load(): Promise<void> {
    this.#commands ??= commandClassesOf(this.#client, ownCommandClass(this.#client) ?? loadIoredis())
  }

  connect(): Connection {
    return connectionOf(this.#client, this.#commands as CommandClasses, () => {})
  }

  subscriber(events: SubscriberEvents): Subscriber {
    // The types of the two kinds differ; what they are given is made for each.
    const client = this.#client as unknown as { duplicate(...args: unknown[]): IoredisClient }
    const opened = this.#client.isCluster
      ? client.duplicate([], { ...CLUSTER, redisOptions: { keyPrefix: '', commandTimeout: undefined } })
      : client.duplicate(OURS)
    return new IoredisSubscriber(opened, events)
  }

  followCluster(): boolean {
    return false
  }
}

function connectionOf(client: IoredisClient, classes: CommandClasses, drop: () => void): Connection {
  return {
    cluster: client.isCluster === true,
    send: (_key, args) => send(client, classes, args),
    sendBytes: (key, bytes) => sendBytes(client, classes, key, bytes),
    primaries: async () => {
      const nodes = client.nodes?.('master') ?? [client]
      return nodes.map(
        (node): Send =>
          args =>
            send(node, classes, args),
      )
    },
    drop,
  }
}

/** At once, and so that what was not sent yet never is: late calls would meet what was sent again since. */
function abandon(client: IoredisClient): void {
  const { stream } = client as { stream?: unknown }
  // Before ioredis ends the stream: one that is ending cannot be reset. And only a TCP connection can.
  if (stream instanceof Socket && !stream.destroyed && !stream.writableEnded) {
    if (stream.remoteFamily !== undefined && !('encrypted' in stream)) stream.resetAndDestroy()
    else stream.destroy()
  }
  // Once more would leave a timer.
  if (client.status !== 'end') client.disconnect()
}

/** ioredis hangs the command on the error it was answered with. */
function isRefusedSelect(error: unknown): boolean {
  return (error as { command?: { name?: string } }).command?.name === 'select'
}

class IoredisSubscriber implements Subscriber {
  readonly #client: IoredisClient
  /** The request made last. */
  #last: Promise<unknown> = Promise.resolve()
  /** What waits for the end of the connection's greeting. */
  #greeting: (() => void)[] = []
  #wasReady = false

  constructor(client: IoredisClient, events: SubscriberEvents) {
    this.#client = client
    let trouble: unknown
    client.on('message', (_channel, message) => events.onMessage(String(message)))
    client.on('error', error => {
      trouble = withoutCommand(error)
    })
    client.on('end', () => events.onEnd(trouble ?? new Error('the connection was closed')))
    client.on('ready', () => {
      if (this.#wasReady) events.onBack()
      this.#wasReady = true
    })
    for (const end of ['ready', 'close', 'end']) client.on(end, () => this.#greeted())
  }

  subscribe(channels: readonly string[]): Promise<void> {
    const subscribed = this.#subscribeAfter(this.#last, channels)
    this.#last = subscribed
    return subscribed
  }

  /** The server answers also for a channel that it has already. */
  probe(channel: string): Promise<void> {
    return this.subscribe([channel])
  }

  drop(): void {
    abandon(this.#client)
  }

  /**
   * Never in the middle of a greeting, where ioredis 5 would send it: a connection that is subscribed may not say the rest,
   * and ioredis drops it with all that waits for its end. One at a time, since a Cluster greets on a connection inside,
   * which the first one opens.
   */
  async #subscribeAfter(last: Promise<unknown>, channels: readonly string[]): Promise<void> {
    await Promise.allSettled([last])
    while (this.#client.status === 'connect') await new Promise<void>(resolve => this.#greeting.push(resolve))
    try {
      await this.#client.subscribe(...channels)
    } catch (error) {
      throw withoutCommand(error)
    }
  }

  #greeted(): void {
    for (const resolve of this.#greeting.splice(0)) resolve()
  }
}
