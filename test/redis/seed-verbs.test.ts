import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { type Claim, connect, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { acquire, type PortClient, portClient } from './support.js'

// What the Redis backend of celery-singleton does, lock, unlock, get and clear, and what it does not.

let redis: Redis
let prefix: string
let port: PortClient
let solo: Soloist

beforeEach(() => {
  redis = new Redis(String(process.env.SOLOIST_TEST_REDIS))
  prefix = `${randomUUID()}:`
  port = portClient(redis, prefix)
  solo = connect(redisBackend(redis, { prefix }))
})

afterEach(async () => {
  await solo.close()
  await port.backend.close()
  const keys = [...(await redis.keys(`${prefix}*`)), ...(await redis.keys(`{${prefix}*`))]
  if (keys.length > 0) await redis.del(keys)
  redis.disconnect()
})

function claim(name: string, owner: string, ttlMs: number | null = null): Claim {
  return { name, owner, mode: 'exclusive', limit: null, ttlMs, meta: null }
}

async function remainingMs(): Promise<readonly number[]> {
  const keys = [...(await redis.keys(`${prefix}*`)), ...(await redis.keys(`{${prefix}*`))]
  return await Promise.all(keys.map(key => redis.pttl(key)))
}

describe('lock', () => {
  test('with expiry: the key holds the owner and expires', async () => {
    expect((await port.acquire(claim('a', 'task-1', 60_000))).status).toBe('granted')
    expect(await redis.get(`${prefix}a`)).toBe('task-1')
    expect(await redis.pttl(`${prefix}a`)).toBeGreaterThan(50_000)
    expect(await port.acquire(claim('a', 'task-2'))).toMatchObject({ status: 'busy', holder: 'task-1' })
  })

  test('without expiry: the key stays until it is unlocked', async () => {
    expect((await port.acquire(claim('a', 'task-1'))).status).toBe('granted')
    expect(await redis.get(`${prefix}a`)).toBe('task-1')
    expect(await redis.pttl(`${prefix}a`)).toBe(-1)
    expect((await port.backend.inspect('a'))?.holders[0]).toMatchObject({ owner: 'task-1', expiresAtMs: null })
    expect(await port.release(claim('a', 'task-1'))).toEqual({ status: 'released', held: true })
    expect(await redis.exists(`${prefix}a`)).toBe(0)
  })

  test('respects a key that something else has set, and says that it knows no grant of it', async () => {
    await redis.set(`${prefix}a`, 'foreign', 'NX')
    expect(await port.acquire(claim('a', 'task-1'))).toMatchObject({ status: 'busy', holder: 'foreign' })
    expect((await solo.inspect('a'))?.holders).toEqual([
      { owner: 'foreign', mode: 'exclusive', limit: null, fence: 0, acquiredAtMs: null, expiresAtMs: null, meta: null },
    ])
  })

  test('keeps a foreign SET NX out', async () => {
    await port.acquire(claim('a', 'task-1', 60_000))
    expect(await redis.set(`${prefix}a`, 'foreign', 'NX')).toBe(null)
  })

  test('adopts a key that something else has set for this owner, with a fence', async () => {
    await port.acquire(claim('a', 'earlier'))
    await port.release(claim('a', 'earlier'))
    await redis.set(`${prefix}a`, 'task-1', 'NX')
    const adopted = claim('a', 'task-1', 60_000)
    const fence = await port.take(adopted)
    expect(fence).toBeGreaterThan(0)
    expect(await port.take(adopted)).toBeGreaterThanOrEqual(fence)
    await port.renew(adopted, fence)
    expect(await port.take(adopted)).toBe(fence)
    expect((await port.backend.inspect('a'))?.holders[0]).toMatchObject({ owner: 'task-1', fence })
  })
})

describe('unlock', () => {
  test('only for the owner, where the seed deletes whatever is there', async () => {
    await port.acquire(claim('a', 'task-1', 60_000))
    expect(await port.release(claim('a', 'task-2'))).toEqual({ status: 'released', held: false })
    expect(await redis.get(`${prefix}a`)).toBe('task-1')
    expect(await solo.unlock('a', { owner: 'task-2' })).toBe(false)
    expect(await solo.unlock('a', { owner: 'task-1' })).toBe(true)
    expect(await redis.exists(`${prefix}a`)).toBe(0)
  })

  test('by force also what something else has set', async () => {
    await redis.set(`${prefix}a`, 'foreign', 'NX')
    expect(await solo.unlock('a', { force: true })).toBe(true)
    expect(await redis.exists(`${prefix}a`)).toBe(0)
  })
})

test('get: who holds it, or nobody', async () => {
  expect(await solo.inspect('a')).toBe(null)
  await port.acquire(claim('a', 'task-1', 60_000))
  expect((await solo.inspect('a'))?.holders.map(({ owner }) => owner)).toEqual(['task-1'])
})

describe('clear', () => {
  test.each(['*', '?', '[ab]', '[^a]', '\\', 'a*b', '-', '^', ']'])('takes the prefix %j literally', async glob => {
    const matching = [`${glob}1`, `${glob}2`, glob]
    const others = ['a', 'b', 'ab', 'axb', '1', 'x1', '\\*1', `x${glob}`].filter(name => !name.startsWith(glob))
    for (const name of [...matching, ...others]) await port.acquire(claim(name, `owner of ${name}`))
    expect(await solo.clear(glob)).toBe(matching.length)
    for (const name of matching) expect(await solo.inspect(name), name).toBe(null)
    for (const name of others) expect((await solo.inspect(name))?.holders[0]?.owner).toBe(`owner of ${name}`)
    expect(await solo.clear(glob)).toBe(0)
  })

  test('leaves what is not a lock', async () => {
    await port.acquire(claim('jobs', 'task-1'))
    await redis.hset(`${prefix}jobs:hash`, 'field', 'value')
    await redis.rpush(`${prefix}jobs:list`, 'value')
    expect(await solo.clear('jobs')).toBe(1)
    expect(await redis.hget(`${prefix}jobs:hash`, 'field')).toBe('value')
    expect(await redis.lrange(`${prefix}jobs:list`, 0, -1)).toEqual(['value'])
  })

  test('takes locks of every kind, thousands of them, and no others', async () => {
    const names = Array.from({ length: 3_000 }, (_, i) => `many:${i}`)
    for (let i = 0; i < names.length; i += 100) {
      await port.run(...names.slice(i, i + 100).map(name => acquire(claim(name, 'task'))))
    }
    await port.acquire({ ...claim('many:shared', 'reader', 60_000), mode: 'shared', limit: 3 })
    await port.acquire(claim('more', 'task'))
    expect(await solo.clear('many:')).toBe(3_001)
    const left = []
    for await (const { name } of solo.list()) left.push(name)
    expect(left).toEqual(['more'])
  })
})

test('no key is left without an expiry by locks that have one', async () => {
  const shared: Claim = { ...claim('shared', 'reader', 60_000), mode: 'shared', limit: 2, meta: 'why' }
  await port.acquire({ ...claim('a', 'task-1', 60_000), meta: 'why' })
  await port.acquire(shared)
  await port.acquire({ ...claim('a', 'task-2', 60_000), meta: 'later' }, { ticket: 'new' })
  await port.acquire({ ...shared, owner: 'writer', mode: 'exclusive', limit: null }, { ticket: 'new' })
  await port.renew({ ...claim('a', 'task-1', 90_000), meta: 'why' })
  await port.renew(shared)
  const held = await remainingMs()
  // The mark, one lock, and the queue and the details of both.
  expect(held.length).toBe(6)
  for (const ms of held) expect(ms).toBeGreaterThan(0)
  for (const owner of ['task-1', 'task-2']) await port.release(claim('a', owner))
  for (const owner of ['reader', 'writer']) await port.release({ ...shared, owner })
  const released = await remainingMs()
  expect(released.length).toBe(1)
  for (const ms of released) expect(ms).toBeGreaterThan(0)
})

test('a lock without expiry leaves nothing without expiry once it is unlocked', async () => {
  await port.acquire({ ...claim('a', 'task-1'), meta: 'why' })
  await port.acquire({ ...claim('b', 'reader'), mode: 'shared' })
  await port.release(claim('a', 'task-1'))
  await port.release({ ...claim('b', 'reader'), mode: 'shared' })
  const left = await remainingMs()
  expect(left.length).toBe(1)
  for (const ms of left) expect(ms).toBeGreaterThan(0)
})
