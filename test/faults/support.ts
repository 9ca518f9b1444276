import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { type ConnectOptions, connect, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { scripts } from '../../dist/internal/generated/redis.js'
import { type Match, type RedisProxy, startProxy } from '../support/proxy.js'
import { type RedisOptions, type RedisServer, startRedis } from '../support/redis-server.js'

/** A request that runs one of the backend's scripts, by digest or by text, on this lock or on any. */
export function runs(script: keyof typeof scripts, lock?: string): Match {
  return words =>
    (words[1] === scripts[script].sha1 || words[1] === scripts[script].source) &&
    (lock === undefined || words.includes(`soloist:${lock}`))
}

/** A real server of the test alone, a proxy before it, and everything that was opened on either, closed at the end. */
export class Stage implements AsyncDisposable {
  readonly server: RedisServer
  readonly proxy: RedisProxy
  readonly admin: Redis
  readonly #closers: (() => unknown)[] = []

  private constructor(server: RedisServer, proxy: RedisProxy, admin: Redis) {
    this.server = server
    this.proxy = proxy
    this.admin = admin
  }

  static async open(options?: RedisOptions): Promise<Stage> {
    const server = await startRedis(options)
    const admin = new Redis(server.url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
    // It is reached again after each restart.
    admin.on('error', () => {})
    return new Stage(server, await startProxy(server.port), admin)
  }

  /** A client whose traffic goes through the proxy. */
  behindProxy(options?: ConnectOptions): Soloist {
    return this.#track(connect(this.proxy.url, options))
  }

  /** The same with a client of node-redis, which resends nothing by itself. */
  async nodeRedisBehindProxy(options?: ConnectOptions): Promise<Soloist> {
    const client = createClient({ url: this.proxy.url })
    // What a lost connection does is what the tests look at.
    client.on('error', () => {})
    await client.connect()
    this.#closers.push(() => client.destroy())
    return this.#track(connect(redisBackend(client), options))
  }

  /** A client that no fault of the proxy reaches. */
  direct(options?: ConnectOptions): Soloist {
    return this.#track(connect(this.server.url, options))
  }

  /** Who holds the lock, by the server itself. */
  async owner(name: string): Promise<string | null> {
    return await this.admin.get(`soloist:${name}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.proxy.heal()
    for (const close of this.#closers.reverse()) await close()
    this.admin.disconnect()
    await this.proxy.close()
    await this.server.stop()
  }

  #track(solo: Soloist): Soloist {
    this.#closers.push(() => solo.close())
    return solo
  }
}
