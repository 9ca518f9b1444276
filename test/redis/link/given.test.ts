import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis-5'
import { createClient } from 'redis'
import { createClient as createClient5 } from 'redis-5'
import { connect } from 'soloist'
import { type RedisClient, redisBackend } from 'soloist/redis'
import { describe, expect, test } from 'vitest'
import { Stage } from '../../faults/support.js'
import { queued, storeFault, storeFaults } from './support.js'

// A client that the application made, with the options it made it with. It is used as it is; what is opened beside it is
// ours.

interface Given {
  readonly client: RedisClient
  close(): unknown
}

type Open = (url: string) => Promise<Given>

const ioredis =
  (Class: typeof Redis, options: object = {}): Open =>
  async url => {
    const client = new Class(url, options)
    client.on('error', () => {})
    if (client.status === 'wait') await client.connect()
    else await once(client, 'ready')
    return { client, close: () => client.disconnect() }
  }

const nodeRedis =
  (create: typeof createClient, options: object = {}): Open =>
  async url => {
    const client = create({ url, ...options })
    client.on('error', () => {})
    await client.connect()
    return { client: client as unknown as RedisClient, close: () => client.isOpen && client.destroy() }
  }

const five = {
  Redis: Redis5 as unknown as typeof Redis,
  createClient: createClient5 as unknown as typeof createClient,
}

const kinds: Record<string, Open> = {
  ioredis: ioredis(Redis),
  'ioredis that queues nothing': ioredis(Redis, { enableOfflineQueue: false, lazyConnect: true }),
  'ioredis that gives up': ioredis(Redis, { retryStrategy: () => null, maxRetriesPerRequest: 0 }),
  'ioredis 5': ioredis(five.Redis),
  'ioredis 5 that queues nothing': ioredis(five.Redis, { enableOfflineQueue: false }),
  'node-redis': nodeRedis(createClient),
  'node-redis that queues nothing': nodeRedis(createClient, { disableOfflineQueue: true }),
  'node-redis that gives up': nodeRedis(createClient, { socket: { reconnectStrategy: false } }),
  'node-redis that takes idleness for silence': nodeRedis(createClient, {
    socket: { socketTimeout: 1_000, reconnectStrategy: () => 20 },
  }),
  'node-redis 5': nodeRedis(five.createClient),
  'node-redis 5 that gives up': nodeRedis(five.createClient, { socket: { reconnectStrategy: false } }),
}

describe.each(Object.entries(kinds))('%s', (_kind, open) => {
  test('a lost connection for pushes is opened again, and the waiter is told of its turn', async () => {
    await using stage = await Stage.open()
    const { client, close } = await open(stage.server.url)
    const solo = connect(redisBackend(client))
    solo.on('fault', () => {})
    const held = await stage.direct().lock('x', { ttlMs: 60_000 })
    const { granted } = await queued(solo, 'x')
    const heard = () => stage.admin.pubsub('NUMSUB', `soloist:grants:${solo.clientId}`)
    await stage.hears(solo, 'x')
    expect(await heard()).toEqual([expect.anything(), 1])
    await stage.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await expect.poll(heard).toEqual([expect.anything(), 1])
    await held.release()
    const lease = await granted
    expect(await stage.owner('x')).toBe(lease.owner)
    await solo.close()
    await expect.poll(heard).toEqual([expect.anything(), 0])
    close()
  })
})

test('a client that takes idleness for silence: the connection for pushes is idle, and is left alone', async () => {
  await using stage = await Stage.open()
  const { client, close } = await (kinds['node-redis that takes idleness for silence'] as Open)(stage.server.url)
  const solo = connect(redisBackend(client))
  const faults = storeFaults(solo)
  await stage.direct().lock('x', { ttlMs: 60_000 })
  const { granted } = await queued(solo, 'x')
  const ended = expect(granted).rejects.toMatchObject({ code: 'CLOSED' })
  await sleep(3_000)
  expect(faults.filter(message => message.includes('pushes'))).toEqual([])
  await solo.close()
  await ended
  close()
})

test.each([
  ['node-redis', kinds['node-redis that gives up'] as Open],
  ['node-redis 5', kinds['node-redis 5 that gives up'] as Open],
  ['ioredis', kinds['ioredis that gives up'] as Open],
])(
  'a client of %s that has given up: every call fails in time and says why, and a fault tells of it',
  async (_, open) => {
    await using stage = await Stage.open()
    const { client, close } = await open(stage.server.url)
    const solo = connect(redisBackend(client))
    await (await solo.lock('warm-up')).release()
    await stage.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    const fault = storeFault(solo)
    await expect(solo.tryLock('x')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: expect.any(Error) })
    expect(await fault).toMatchObject({ error: { message: expect.stringContaining('left as it is') } })
    await solo.close().catch(() => {})
    close()
  },
)

test.each([
  ['ioredis', kinds.ioredis as Open],
  ['node-redis', kinds['node-redis'] as Open],
])('a silent connection of %s is not touched: its calls fail in time, and a fault tells of it', async (_, open) => {
  await using stage = await Stage.open()
  const { client, close } = await open(stage.proxy.url)
  const solo = connect(redisBackend(client))
  await (await solo.lock('warm-up')).release()
  stage.proxy.silence('commands')
  const fault = storeFault(solo)
  await expect(solo.tryLock('x')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  expect(await fault).toMatchObject({ error: { message: expect.stringContaining('left as it is') } })
  expect(stage.proxy.connections).toBe(1)
  await solo.close().catch(() => {})
  close()
})

test.each([
  ['ioredis', kinds.ioredis as Open],
  ['node-redis', kinds['node-redis'] as Open],
])("no listener is left on the application's client of %s", async (_, open) => {
  await using stage = await Stage.open()
  const { client, close } = await open(stage.server.url)
  const emitter = client as unknown as NodeJS.EventEmitter
  const count = () => emitter.eventNames().map(name => [name, emitter.listenerCount(name)])
  const before = count()
  const solo = connect(redisBackend(client))
  const held = await solo.lock('x')
  const { granted } = await queued(solo, 'x')
  await held.release()
  await (await granted).release()
  await solo.close()
  expect(count()).toEqual(before)
  close()
})
