import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { type ConnectOptions, connect, type Soloist, type Step } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { expect, vi } from 'vitest'
import { scripts } from '../../dist/internal/generated/redis.js'
import { type Match, type RedisProxy, startProxy } from '../support/proxy.js'
import { type RedisOptions, type RedisServer, startRedis } from '../support/redis-server.js'

/** Tests run side by side, so there is no telling here which one a wait belongs to: `vi.waitFor` does not ask. */
const PATIENCE = { timeout: 15_000, interval: 20 }
const KEYS_OF_A_STEP = 3
const SETTINGS = 1

/** The steps of a request that runs `steps.lua`, by digest or by text; none of any other. */
function stepsOf(
  words: readonly string[],
): { readonly kind: Step['kind']; readonly lock: string; readonly terms: string }[] {
  const { sha1, source } = scripts.steps
  const [, script, numkeys] = words
  if (script !== sha1 && script !== source) return []
  const keys = words.slice(3, 3 + Number(numkeys))
  const args = words.slice(3 + Number(numkeys) + SETTINGS)
  const steps: { kind: Step['kind']; lock: string; terms: string }[] = []
  for (let at = 0; at < args.length; ) {
    const terms = String(args[at + 1])
    const kind = terms === '' || terms.startsWith('!') ? 'release' : terms.startsWith('=') ? 'renew' : 'acquire'
    steps.push({ kind, lock: String(keys[1 + KEYS_OF_A_STEP * steps.length]), terms })
    at += 2 + (terms.startsWith('!') ? 1 : (/^[xs].*,n?([mr]*)$/.exec(terms)?.[1]?.length ?? 0))
  }
  return steps
}

/** A request with such a step, of this lock or of any. */
export function runs(kind: Step['kind'], lock?: string): Match {
  return words =>
    stepsOf(words).some(step => step.kind === kind && (lock === undefined || step.lock === `soloist:${lock}`))
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

  /** Waits until pushes reach this client, which waits for this lock, and the server knows it. */
  async hears({ clientId }: Soloist, lock: string): Promise<void> {
    await vi.waitFor(
      async () => expect(await this.admin.hget(`{soloist:${lock}}:d2`, `c${clientId}`)).toMatch(/^\d+$/),
      PATIENCE,
    )
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
