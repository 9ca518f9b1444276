import type { Connection, Send, Source, Subscriber, SubscriberEvents } from './library.js'

interface NodeRedisSubscriber {
  on(event: string, listener: (...args: unknown[]) => void): unknown
  connect(): Promise<unknown>
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>
  // biome-ignore lint/suspicious/noExplicitAny: the listener given before, whatever the library says of it
  unsubscribe(channel: string, listener: any): Promise<unknown>
  destroy(): unknown
}

interface NodeRedisSender {
  sendCommand(args: string[]): Promise<unknown>
}

/** The members of node-redis' client that are used here. */
export interface NodeRedisClient extends NodeRedisSubscriber {
  /** May have a `keyPrefix`, from node-redis 6 on. */
  readonly options?: object | undefined
  sendCommand(args: string[]): Promise<unknown>
  duplicate(): NodeRedisSubscriber
}

/** The members of node-redis' cluster that are used here. */
export interface NodeRedisCluster extends NodeRedisSubscriber {
  readonly masters: readonly unknown[]
  /** The only place where it shows the option of that name. */
  readonly _keyPrefix?: string | Buffer | undefined
  sendCommand(firstKey: string, isReadonly: boolean, args: string[]): Promise<unknown>
  nodeClient(node: never): NodeRedisSender | Promise<NodeRedisSender>
  duplicate(overrides?: { minimizeConnections?: boolean }): NodeRedisSubscriber
}

/** The members of node-redis' sentinel client that are used here. */
export interface NodeRedisSentinel extends NodeRedisSubscriber {
  /** The only place where it shows the option of that name. */
  readonly _keyPrefix?: string | Buffer | undefined
  sendCommand(isReadonly: boolean, args: string[]): Promise<unknown>
  getSentinelNode(): unknown
  /** Since version 6. */
  duplicate?(): NodeRedisSubscriber
}

export type NodeRedis = NodeRedisClient | NodeRedisCluster | NodeRedisSentinel

function keyPrefixOf(client: NodeRedis): string {
  if (isCluster(client) || isSentinel(client)) return String(client._keyPrefix ?? '')
  const options: { readonly keyPrefix?: string | Buffer | undefined } | undefined = client.options
  return String(options?.keyPrefix ?? '')
}

/** A client of the application's, which is used as it is; the application has connected it. */
export class NodeRedisGiven implements Source {
  readonly own = false
  readonly keyPrefix: string
  readonly #client: NodeRedis

  constructor(client: NodeRedis) {
    this.#client = client
    this.keyPrefix = keyPrefixOf(client)
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

interface Opened {
  readonly client: NodeRedisSubscriber
  /** Whether it connects again by itself. */
  readonly comesBack: boolean
  /** Whether it is the application's own. */
  readonly given: boolean
}

/** A client to listen with; what it must not take over from the one it is made after. */
function listenerOf(client: NodeRedis): Opened {
  // A cluster and a sentinel client see to it themselves that the subscription moves to a server that lives.
  // One connection is enough to listen; without being told so, a cluster opens one to every primary, before that one.
  if (isCluster(client)) {
    return { client: client.duplicate({ minimizeConnections: true }), comesBack: true, given: false }
  }
  if (isSentinel(client)) {
    // It listens with a connection of its own, which serves where it cannot be duplicated.
    const duplicate = client.duplicate?.()
    return { client: duplicate ?? client, comesBack: true, given: duplicate === undefined }
  }
  const { socket } = (client.options ?? {}) as { socket?: object }
  const duplicate = (client as { duplicate(options: object): NodeRedisSubscriber }).duplicate({
    // It does not come back by itself: the next one is opened where it is decided that this one is over.
    socket: { ...socket, reconnectStrategy: false, socketTimeout: undefined },
    disableOfflineQueue: false,
    commandsQueueMaxLength: undefined,
    commandOptions: undefined,
    pingInterval: undefined,
    clientSideCache: undefined,
    readonly: false,
  })
  return { client: duplicate, comesBack: false, given: false }
}

class NodeRedisSubscription implements Subscriber {
  readonly #opened: Opened
  readonly #connected: Promise<unknown>
  readonly #channels = new Set<string>()
  readonly #onMessage: (message: string) => void
  #dropped = false

  constructor(parent: NodeRedis, events: SubscriberEvents) {
    this.#opened = listenerOf(parent)
    this.#onMessage = message => {
      if (!this.#dropped) events.onMessage(message)
    }
    const { client, comesBack, given } = this.#opened
    // What becomes of the application's own, the application hears.
    this.#connected = given ? Promise.resolve() : client.connect()
    if (given) return
    client.on('error', error => {
      // One that does not come back is over with its first error.
      if (!comesBack) events.onEnd(error)
    })
    let wasReady = false
    client.on('ready', () => {
      // Again: with its subscriptions, which were made before.
      if (wasReady) events.onBack()
      wasReady = true
    })
    this.#connected.catch(events.onEnd)
  }

  async subscribe(channels: readonly string[]): Promise<void> {
    await this.#connected
    await Promise.all(
      channels.map(async channel => {
        // A second listener would hear every message twice.
        if (this.#channels.has(channel)) return
        await this.#opened.client.subscribe(channel, this.#onMessage)
        this.#channels.add(channel)
      }),
    )
  }

  /** For a channel it has already, the client would answer by itself. */
  async probe(channel: string): Promise<void> {
    const { client } = this.#opened
    const other = `${channel}:alive`
    const ignore = () => {}
    await client.subscribe(other, ignore)
    await client.unsubscribe(other, ignore)
  }

  drop(): void {
    this.#dropped = true
    const { client, given } = this.#opened
    // What it waits for ends by itself, or with the server's answer.
    const end = async () => {
      if (!given) return await client.destroy()
      return await Promise.all([...this.#channels].map(channel => client.unsubscribe(channel, this.#onMessage)))
    }
    void Promise.allSettled([end()])
  }
}
