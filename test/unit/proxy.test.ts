import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type RedisProxy, startProxy } from '../support/proxy.js'

const direct = new URL(String(process.env.SOLOIST_TEST_REDIS))
let proxy: RedisProxy
let behind: Redis
let clients: Redis[]

/** A connection that never reconnects and never sends again, so a fault shows. */
function client(port: number, protocol: 2 | 3 = 3): Redis {
  const redis = new Redis({ port, host: '127.0.0.1', protocol, retryStrategy: () => null, maxRetriesPerRequest: 0 })
  redis.on('error', () => {})
  clients.push(redis)
  return redis
}

beforeEach(async () => {
  proxy = await startProxy(Number(direct.port))
  clients = []
  behind = client(Number(direct.port))
  await behind.del('proxy:key', 'proxy:list')
})

afterEach(async () => {
  for (const redis of clients) redis.disconnect()
  await proxy.close()
})

describe('dropReplyTo', () => {
  test('lets the request through, swallows its reply and resets the connection', async () => {
    const redis = client(proxy.port)
    const rule = proxy.dropReplyTo(([command]) => command === 'set', 'reset')
    const before = redis.get('proxy:key')
    const dropped = redis.set('proxy:key', 'written')
    await expect(before).resolves.toBeNull()
    await expect(dropped).rejects.toThrow()
    await rule.hit
    await expect(behind.get('proxy:key')).resolves.toBe('written')
  })

  test('finds the one reply among pipelined ones, also behind replies that take many frames', async () => {
    await behind.rpush('proxy:list', ...Array.from({ length: 5_000 }, (_, index) => `item ${index}\r\n`))
    const redis = client(proxy.port)
    const rule = proxy.dropReplyTo(words => words.join(' ') === 'incrby proxy:key 2', 'reset')
    const list = redis.lrange('proxy:list', 0, -1)
    const first = redis.incrby('proxy:key', 1)
    const second = redis.incrby('proxy:key', 2)
    await expect(second).rejects.toThrow()
    await rule.hit
    await expect(list).resolves.toHaveLength(5_000)
    await expect(first).resolves.toBe(1)
    await expect(behind.get('proxy:key')).resolves.toBe('3')
  })

  test('stalls: later requests still work at the server and nothing comes back', async () => {
    const redis = client(proxy.port)
    await redis.ping()
    const rule = proxy.dropReplyTo(([command]) => command === 'incr', 'stall')
    const answers: unknown[] = []
    for (const call of [redis.incr('proxy:key'), redis.incr('proxy:key')]) call.then(answers.push, () => {})
    await rule.hit
    await expect.poll(() => behind.get('proxy:key')).toBe('2')
    expect(answers).toEqual([])
    expect(proxy.connections).toBe(1)
  })

  test('strikes once', async () => {
    const rule = proxy.dropReplyTo(([command]) => command === 'incr', 'reset')
    await expect(client(proxy.port).incr('proxy:key')).rejects.toThrow()
    await rule.hit
    await expect(client(proxy.port).incr('proxy:key')).resolves.toBe(2)
  })
})

describe.each([2, 3] as const)('pushes of RESP%i', protocol => {
  async function subscriber(): Promise<{ redis: Redis; messages: string[] }> {
    const redis = client(proxy.port, protocol)
    const messages: string[] = []
    redis.on('message', (_, message) => messages.push(message))
    await redis.subscribe('proxy:a', 'proxy:b')
    return { redis, messages }
  }

  test('pass while a rule waits for a reply, and are held back with the replies of a stalled connection', async () => {
    const { redis, messages } = await subscriber()
    const rule = proxy.dropReplyTo(([command]) => command === 'ping', 'stall')
    await behind.publish('proxy:a', 'one')
    await expect.poll(() => messages).toEqual(['one'])
    redis.ping().catch(() => {})
    await rule.hit
    await behind.publish('proxy:a', 'two')
    expect(messages).toEqual(['one'])
  })

  test('can be dropped one by one', async () => {
    const { messages } = await subscriber()
    const rule = proxy.dropPush(([, channel, payload]) => channel === 'proxy:b' && payload === 'two')
    for (const message of ['one', 'two', 'three']) await behind.publish('proxy:b', message)
    await rule.hit
    await expect.poll(() => messages).toEqual(['one', 'three'])
  })
})

test('blackhole passes nothing either way and closes nothing; heal delivers what was held back', async () => {
  const redis = client(proxy.port)
  await redis.ping()
  proxy.blackhole()
  const held = redis.incr('proxy:key')
  const late = client(proxy.port)
  const answers: unknown[] = []
  for (const call of [held, late.ping()]) void call.then(answer => answers.push(answer))
  await expect.poll(() => proxy.connections).toBe(2)
  await expect(behind.get('proxy:key')).resolves.toBeNull()
  expect(answers).toEqual([])
  proxy.heal()
  await expect(held).resolves.toBe(1)
  await expect(late.ping()).resolves.toBe('PONG')
})

test('in a blackhole the server does not learn that a client left', async () => {
  const redis = client(proxy.port)
  await redis.client('SETNAME', 'proxied')
  proxy.blackhole()
  redis.disconnect()
  client(proxy.port)
  await expect.poll(() => proxy.connections).toBe(2)
  expect(await behind.client('LIST')).toContain('name=proxied')
  proxy.heal()
  await expect.poll(() => behind.client('LIST')).not.toContain('name=proxied')
})

test('resetAll breaks every connection', async () => {
  const redis = [client(proxy.port), client(proxy.port)]
  await Promise.all(redis.map(one => one.ping()))
  const ends = redis.map(one => new Promise(resolve => one.once('end', resolve)))
  proxy.resetAll()
  await Promise.all(ends)
  expect(proxy.connections).toBe(0)
})

test('delayReplies delays and keeps the order, also when it ends', async () => {
  const redis = client(proxy.port)
  await redis.ping()
  proxy.delayReplies(100)
  const order: number[] = []
  const startedAt = performance.now()
  const slow = redis.incr('proxy:key').then(value => order.push(value))
  await expect.poll(() => proxy.delayed).toBe(1)
  proxy.delayReplies(0)
  await Promise.all([slow, redis.incr('proxy:key').then(value => order.push(value))])
  expect(order).toEqual([1, 2])
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(95)
})
