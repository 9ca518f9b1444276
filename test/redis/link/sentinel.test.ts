import { once } from 'node:events'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis-5'
import { createSentinel } from 'redis'
import { createSentinel as createSentinel5 } from 'redis-5'
import { connect, type Soloist } from 'soloist'
import { type RedisClient, redisBackend } from 'soloist/redis'
import { describe, test, vi } from 'vitest'
import { type RedisSentinel, startSentinel } from '../../support/redis-sentinel.js'

vi.setConfig({ testTimeout: 90_000 })

const TTL_MS = 60_000
const PATIENCE = { timeout: 40_000 }

/** Sentinels of one test, since its failover moves all clients; and what is to be closed. */
class Scene implements AsyncDisposable {
  readonly setup: RedisSentinel
  readonly #closers: (() => unknown)[] = []

  private constructor(setup: RedisSentinel) {
    this.setup = setup
  }

  static async start(): Promise<Scene> {
    return new Scene(await startSentinel('s3cret'))
  }

  closeLater(close: () => unknown): void {
    this.#closers.push(close)
  }

  over(target: string | Parameters<typeof redisBackend>[0]): Soloist {
    const solo = connect(typeof target === 'string' ? target : redisBackend(target, { prefix: 'soloist:' }))
    // Its connections move; the tests look at the locks.
    solo.on('fault', () => {})
    this.closeLater(() => solo.close())
    return solo
  }

  get options() {
    return { sentinels: [this.setup.sentinel], name: this.setup.name, password: 's3cret' }
  }

  async nodeRedis(create: typeof createSentinel): Promise<Soloist> {
    const client = create({
      name: this.setup.name,
      sentinelRootNodes: [this.setup.sentinel],
      nodeClientOptions: { password: 's3cret' },
    })
    client.on('error', () => {})
    await client.connect()
    this.closeLater(() => client.destroy())
    return this.over(client as unknown as RedisClient)
  }

  ioredis(Class: typeof Redis): Soloist {
    const client = new Class(this.options)
    client.on('error', () => {})
    this.closeLater(() => client.disconnect())
    return this.over(client)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.reverse()) await close()
    await this.setup.stop()
  }
}

const kinds: Record<string, (scene: Scene) => Soloist | Promise<Soloist>> = {
  'a URL': scene => {
    const { host, port } = scene.setup.sentinel
    // The first sentinel is not there.
    return scene.over(`redis+sentinel://:s3cret@127.0.0.1:1,${host}:${port}/${scene.setup.name}/0`)
  },
  'options of ioredis': scene => scene.over(scene.options),
  'a client of ioredis': scene => scene.ioredis(Redis),
  'a client of ioredis 5': scene => scene.ioredis(Redis5 as unknown as typeof Redis),
  "node-redis' createSentinel": scene => scene.nodeRedis(createSentinel),
  "node-redis' createSentinel of version 5": scene =>
    scene.nodeRedis(createSentinel5 as unknown as typeof createSentinel),
}

// Each mostly waits for its sentinel.
describe.concurrent.each(Object.entries(kinds))('through sentinels by %s', (_kind, openIn) => {
  test('locks are handed over, and a failover keeps what the replica had', async ({ expect }) => {
    await using scene = await Scene.start()
    const open = () => openIn(scene)
    const [holder, waiter] = [await open(), await open()]
    const first = await holder.lock('lock', { ttlMs: TTL_MS })
    const second = waiter.lock('lock', { ttlMs: TTL_MS })
    await once(waiter, 'waiting')
    await first.release()
    const lease = await second
    const names: string[] = []
    for await (const { name } of holder.list()) names.push(name)
    expect(names).toEqual(['lock'])

    const third = holder.lock('lock', { ttlMs: TTL_MS, waitMs: 60_000 })
    await once(holder, 'waiting')
    await scene.setup.failOver()
    await expect.poll(() => lease.renew().then(() => 'renewed', String), PATIENCE).toBe('renewed')
    const replica = new Redis({ port: scene.setup.nodes[1].port, password: 's3cret' })
    scene.closeLater(() => replica.disconnect())
    expect(await replica.get('soloist:lock')).toBe(lease.owner)
    await lease.release()
    const last = await third
    expect(last.fence).toBeGreaterThan(lease.fence)
    expect(await replica.get('soloist:lock')).toBe(last.owner)
  })
})
