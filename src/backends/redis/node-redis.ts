import type { RedisConnection, Send, Subscriber, SubscriberEvents } from './client.js'

interface NodeRedisSubscriber {
  on(event: string, listener: (...args: unknown[]) => void): unknown
  connect(): Promise<unknown>
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>
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
  duplicate(): NodeRedisSubscriber
}

/** Uses a client of the application's as it is, connected by the application. It is never closed here. */
export function nodeRedisConnection(client: NodeRedisClient | NodeRedisCluster): RedisConnection {
  return {
    cluster: isCluster(client),
    send: (key, args) => {
      return isCluster(client) ? client.sendCommand(key, false, [...args]) : client.sendCommand([...args])
    },
    primaries: async () => {
      const nodes = isCluster(client)
        ? await Promise.all(client.masters.map(node => client.nodeClient(node as never)))
        : [client]
      return nodes.map(
        (node): Send =>
          args =>
            node.sendCommand([...args]),
      )
    },
    subscriber: events => new Subscription(client, events),
    close: () => {},
  }
}

export function nodeRedisKeyPrefix(client: NodeRedisClient | NodeRedisCluster): string {
  if (isCluster(client)) return String(client._keyPrefix ?? '')
  const options: { readonly keyPrefix?: string | Buffer | undefined } | undefined = client.options
  return String(options?.keyPrefix ?? '')
}

function isCluster(client: NodeRedisClient | NodeRedisCluster): client is NodeRedisCluster {
  return 'nodeClient' in client
}

class Subscription implements Subscriber {
  readonly #client: NodeRedisSubscriber
  readonly #events: SubscriberEvents
  readonly #connected: Promise<unknown>
  #wasReady = false

  constructor(parent: NodeRedisClient | NodeRedisCluster, events: SubscriberEvents) {
    this.#events = events
    this.#client = parent.duplicate()
    // A lost connection shows as 'ready' once it is back, its subscriptions made again before.
    this.#client.on('error', () => {})
    this.#client.on('ready', () => {
      if (this.#wasReady) events.onReconnect()
      this.#wasReady = true
    })
    this.#connected = this.#client.connect()
    this.#connected.catch(events.onEnd)
  }

  async subscribe(channel: string): Promise<void> {
    await this.#connected
    await this.#client.subscribe(channel, this.#events.onMessage)
  }

  close(): void {
    this.#client.destroy()
  }
}
