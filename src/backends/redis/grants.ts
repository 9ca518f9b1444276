import type { StoreEvent } from '../../backend.js'
import { SoloistError } from '../../errors.js'
import type { RedisConnection, Subscriber } from './client.js'
import { pushed } from './protocol/push.js'

/** The pushes for the clients of one backend: one connection of its own, opened when the first claim has to wait. */
export class Grants {
  readonly #connect: () => Promise<RedisConnection>
  readonly #prefix: string
  readonly #nameOf: (key: string) => string | null
  readonly #listener: (event: StoreEvent) => void
  /** By client, since when its channel is asked for. */
  #subscribed = new Map<string, Promise<void>>()
  readonly #confirmed = new Set<string>()
  #subscriber: Subscriber | null = null
  #closed = false

  /** @param prefix what every channel starts with; the client's name follows */
  constructor(
    connect: () => Promise<RedisConnection>,
    prefix: string,
    listener: (event: StoreEvent) => void,
    nameOf: (key: string) => string | null,
  ) {
    this.#connect = connect
    this.#prefix = prefix
    this.#listener = listener
    this.#nameOf = nameOf
  }

  /** Whether the client was told of its grants at some time. The connection may be away just now: that heals by itself. */
  reaches(client: string): boolean {
    return this.#confirmed.has(client)
  }

  /** Resolves when the client is told of its grants from now on. */
  async subscribe(client: string): Promise<void> {
    let subscribed = this.#subscribed.get(client)
    if (subscribed === undefined) {
      subscribed = this.#subscribe(client)
      this.#subscribed.set(client, subscribed)
    }
    try {
      await subscribed
    } catch (error) {
      if (this.#subscribed.get(client) === subscribed) this.#subscribed.delete(client)
      throw error
    }
  }

  close(): void {
    this.#closed = true
    this.#forget()
  }

  async #subscribe(client: string): Promise<void> {
    const connection = await this.#connect()
    if (this.#closed) throw new SoloistError('CLOSED', 'this backend was closed')
    this.#subscriber ??= this.#open(connection)
    await this.#subscriber.subscribe(this.#prefix + client)
    this.#confirmed.add(client)
  }

  #open(connection: RedisConnection): Subscriber {
    const subscriber = connection.subscriber({
      onMessage: message => this.#listener(pushed(message, this.#nameOf)),
      onReconnect: () => this.#listener({ type: 'gap' }),
      onEnd: () => {
        if (this.#subscriber === subscriber) this.#forget()
      },
    })
    return subscriber
  }

  /** The next claim that waits opens a new connection. */
  #forget(): void {
    this.#subscriber?.close()
    this.#subscriber = null
    this.#subscribed = new Map()
    this.#confirmed.clear()
  }
}
