import { once } from 'node:events'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis-5'
import { createSentinel } from 'redis'
import { createSentinel as createSentinel5 } from 'redis-5'
import { connect, type Soloist } from 'soloist'
import { type RedisClient, redisBackend } from 'soloist/redis'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type RedisSentinel, startSentinel } from '../../support/redis-sentinel.js'

vi.setConfig({ testTimeout: 90_000 })

const TTL_MS = 60_000
const PATIENCE = { timeout: 40_000 }

let setup: RedisSentinel
const closers: (() => unknown)[] = []
beforeEach(async () => {
  setup = await startSentinel('s3cret')
}, 60_000)
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await setup.stop()
})

function over(target: Parameters<typeof redisBackend>[0]): Soloist {
  const solo = connect(redisBackend(target, { prefix: 'soloist:' }))
  // Its connections move; the tests look at the locks.
  solo.on('fault', () => {})
  closers.push(() => solo.close())
  return solo
}

const options = () => ({ sentinels: [setup.sentinel], name: setup.name, password: 's3cret' })

async function nodeRedis(create: typeof createSentinel): Promise<Soloist> {
  const client = create({
    name: setup.name,
    sentinelRootNodes: [setup.sentinel],
    nodeClientOptions: { password: 's3cret' },
  })
  client.on('error', () => {})
  await client.connect()
  closers.push(() => client.destroy())
  return over(client as unknown as RedisClient)
}

function ioredis(Class: typeof Redis): Soloist {
  const client = new Class(options())
  client.on('error', () => {})
  closers.push(() => client.disconnect())
  return over(client)
}

const kinds: Record<string, () => Soloist | Promise<Soloist>> = {
  'a URL': () => {
    const { host, port } = setup.sentinel
    // The first sentinel is not there.
    const solo = connect(`redis+sentinel://:s3cret@127.0.0.1:1,${host}:${port}/${setup.name}/0`)
    solo.on('fault', () => {})
    closers.push(() => solo.close())
    return solo
  },
  'options of ioredis': () => over(options()),
  'a client of ioredis': () => ioredis(Redis),
  'a client of ioredis 5': () => ioredis(Redis5 as unknown as typeof Redis),
  "node-redis' createSentinel": () => nodeRedis(createSentinel),
  "node-redis' createSentinel of version 5": () => nodeRedis(createSentinel5 as unknown as typeof createSentinel),
}

describe.each(Object.entries(kinds))('through sentinels by %s', (_kind, open) => {
  test('locks are handed over, and a failover keeps what the replica had', async () => {
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
    await setup.failOver()
    await expect.poll(() => lease.renew().then(() => 'renewed', String), PATIENCE).toBe('renewed')
    const replica = new Redis({ port: setup.nodes[1].port, password: 's3cret' })
    closers.push(() => replica.disconnect())
    expect(await replica.get('soloist:lock')).toBe(lease.owner)
    await lease.release()
    const last = await third
    expect(last.fence).toBeGreaterThan(lease.fence)
    expect(await replica.get('soloist:lock')).toBe(last.owner)
  })
})
