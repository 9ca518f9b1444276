import type { Connection, Send, Source, Subscriber, SubscriberEvents } from './library.js'

interface NodeRedisSubscriber {
  on(event: string, listener: (...args: unknown[]) => void): unknown
  connect(): Promise<unknown>
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>
  unsubscribe?(channel: string): Promise<unknown>
  destroy(): unknown
}

/** The members of node-redis' client that are used here. */
export interface NodeRedisClient extends NodeRedisSubscriber {
  readonly options?: { readonly keyPrefix?: string | Buffer | undefined } | undefined
  sendCommand(args: string[]): Promise<unknown>
  duplicate(): NodeRedisSubscriber
}

/** The members of node-redis' cluster that are used here. */
export interface NodeRedisCluster extends NodeRedisSubscriber {
  readonly masters: readonly unknown[]
  /** The only place where it shows the option of that name. */
  readonly _keyPrefix?: string | Buffer | undefined
  sendCommand(firstKey: string, isReadonly: boolean, args: string[]): Promise<unknown>
  nodeClient(node: never): Promise<{ sendCommand(args: string[]): Promise<unknown> }>
  duplicate(): NodeRedisSubscriber
}

/** The members of node-redis' sentinel client that are used here. */
export interface NodeRedisSentinel extends NodeRedisSubscriber {
  /** The only place where it shows the option of that name. */
  readonly _keyPrefix?: string | Buffer | undefined
  sendCommand(isReadonly: boolean, args: string[]): Promise<unknown>
  getSentinelNode(): unknown
  duplicate(): NodeRedisSubscriber
}

export type NodeRedis = NodeRedisClient | NodeRedisCluster | NodeRedisSentinel

/** A client of the application's, which is used as it is; the application has connected it. */
export class NodeRedisGiven implements Source {
  readonly own = false
  readonly keyPrefix: string
  readonly #client: NodeRedis

  constructor(client: NodeRedis) {
    this.#client = client
    const prefix = isCluster(client) || isSentinel(client) ? client._keyPrefix : client.options?.keyPrefix
    this.keyPrefix = String(prefix ?? '')
  }

  async load(): Promise<void> {}

  connect(): Connection {
    const client = this.#client
    const send = sender(client)
    return {
      cluster: isCluster(client),
      send,
      sendBytes: null,
      primaries: async () => (isCluster(client) ? await primariesOf(client) : [args => send('', args)]),
      drop: () => {},
    }
  }

  subscriber(events: SubscriberEvents): Subscriber {
    return new NodeRedisSubscription(this.#client, events)
  }

  followCluster(): boolean {
    return false
  }
}

function sender(client: NodeRedis): Connection['send'] {
  if (isCluster(client)) return (key, args) => client.sendCommand(key, false, [...args])
  if (isSentinel(client)) return (_key, args) => client.sendCommand(false, [...args])
  return (_key, args) => client.sendCommand([...args])
}

async function primariesOf(cluster: NodeRedisCluster): Promise<readonly Send[]> {
  const nodes = await Promise.all(cluster.masters.map(node => cluster.nodeClient(node as never)))
  return nodes.map(
    (node): Send =>
      args =>
        node.sendCommand([...args]),
  )
}

function isCluster(client: NodeRedis): client is NodeRedisCluster {
  return 'nodeClient' in client
}

function isSentinel(client: NodeRedis): client is NodeRedisSentinel {
  return 'getSentinelNode' in client
}

/** What a duplicate of a client must not take over. */
function duplicateOf(client: NodeRedis): { readonly opened: NodeRedisSubscriber; readonly comesBack: boolean } {
  // A cluster and a sentinel client see to it themselves that the subscription moves to a server that lives.
  if (isCluster(client) || isSentinel(client)) return { opened: client.duplicate(), comesBack: true }
  const { socket } = (client.options ?? {}) as { socket?: object }
  const opened = (client as { duplicate(options: object): NodeRedisSubscriber }).duplicate({
    // It does not come back by itself: the next one is opened where it is decided that this one is over.
    socket: { ...socket, reconnectStrategy: false, socketTimeout: undefined },
    disableOfflineQueue: false,
    commandsQueueMaxLength: undefined,
    commandOptions: undefined,
    pingInterval: undefined,
    clientSideCache: undefined,
    readonly: false,
  })
  return { opened, comesBack: false }
}

class NodeRedisSubscription implements Subscriber {
  readonly #client: NodeRedisSubscriber
  readonly #events: SubscriberEvents
  readonly #connected: Promise<unknown>
  readonly #channels = new Set<string>()
  #wasReady = false

  constructor(parent: NodeRedis, events: SubscriberEvents) {
    const { opened, comesBack } = duplicateOf(parent)
    this.#client = opened
    this.#events = events
    opened.on('error', error => {
      // One that does not come back is over with its first error.
      if (!comesBack) events.onEnd(error)
    })
    // Again: with its subscriptions, which were made before.
    opened.on('ready', () => {
      if (this.#wasReady) events.onBack()
      this.#wasReady = true
    })
    this.#connected = opened.connect()
    this.#connected.catch(events.onEnd)
  }

  async subscribe(channels: readonly string[]): Promise<void> {
    await this.#connected
    await Promise.all(
      channels.map(async channel => {
        // A second listener would hear every message twice.
        if (this.#channels.has(channel)) return
        await this.#client.subscribe(channel, this.#events.onMessage)
        this.#channels.add(channel)
      }),
    )
  }

  /** For a channel it has already, the client would answer by itself. */
  async probe(channel: string): Promise<void> {
    const other = `${channel}:alive`
    await this.#client.subscribe(other, () => {})
    await this.#client.unsubscribe?.(other)
  }

  drop(): void {
    // That of a sentinel client is a promise; what it waits for ends by itself.
    void Promise.allSettled([(async () => await this.#client.destroy())()])
  }
}
