import { randomUUID } from 'node:crypto'
import { createServer } from 'node:net'
import { Redis } from 'ioredis'
import { createClient, createCluster } from 'redis'
import { CeleryLocks, CeleryResults } from 'soloist/celery'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

const url = String(process.env.SOLOIST_TEST_REDIS)
const nodes = String(process.env.SOLOIST_TEST_REDIS_CLUSTER).split(',')
const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' })
let redis: Redis
let prefix: string

beforeAll(() => {
  redis = new Redis(url)
})

afterAll(() => redis.disconnect())

beforeEach(() => {
  prefix = `${randomUUID()}:`
})

/** Every way to Redis: what opens the locks, and what has to be closed after them. */
const WAYS: Readonly<
  Record<string, () => Promise<readonly [ConstructorParameters<typeof CeleryLocks>[0], () => void]>>
> = {
  'a URL': async () => [url, () => {}],
  // What the client puts before its own keys is unknown to Python.
  ioredis: async () => {
    const client = new Redis(url, { keyPrefix: 'app:' })
    return [client, () => client.disconnect()]
  },
  'node-redis': async () => {
    const client = await createClient({ url, keyPrefix: 'app:' }).connect()
    return [client, () => client.destroy()]
  },
  'node-redis with buffers': async () => {
    const client = await createClient({ url, commandOptions: { typeMapping: { 36: Buffer } } }).connect()
    return [client, () => client.destroy()]
  },
}

describe.each(Object.entries(WAYS))('over %s', (_, open) => {
  let locks: CeleryLocks
  let dispose: () => void

  beforeEach(async () => {
    const [target, end] = await open()
    locks = new CeleryLocks(target, { prefix })
    dispose = end
    return async () => {
      await locks.close()
      dispose()
      const left = await redis.keys(`${prefix}*`)
      if (left.length > 0) await redis.del(left)
    }
  })

  test('lock, get, unlock: the key holds the bare id of the task', async () => {
    const lock = `${prefix}a`
    expect(await locks.get(lock)).toBe(null)
    expect(await locks.lock(lock, 'task-1')).toEqual({ status: 'taken' })
    expect(await redis.get(lock)).toBe('task-1')
    expect(await redis.pttl(lock)).toBe(-1)
    expect(await locks.get(lock)).toBe('task-1')
    expect(await locks.lock(lock, 'task-2', 10)).toEqual({ status: 'busy', holder: 'task-1' })
    expect(await redis.pttl(lock)).toBe(-1)
    expect(await locks.unlock(lock, 'task-2')).toBe(false)
    expect(await redis.get(lock)).toBe('task-1')
    expect(await locks.unlock(lock, 'task-1')).toBe(true)
    expect(await locks.unlock(lock, 'task-1')).toBe(false)
    expect(await redis.exists(lock)).toBe(0)
  })

  test('an expiry is in seconds, and asking again never makes it shorter', async () => {
    const lock = `${prefix}a`
    expect(await locks.lock(lock, 'task-1', 100)).toEqual({ status: 'taken' })
    expect(await redis.pttl(lock)).toBeGreaterThan(90_000)
    expect(await redis.pttl(lock)).toBeLessThanOrEqual(100_000)
    expect(await locks.lock(lock, 'task-1', 1)).toEqual({ status: 'own' })
    expect(await redis.pttl(lock)).toBeGreaterThan(90_000)
    expect(await locks.lock(lock, 'task-1', 1_000)).toEqual({ status: 'own' })
    expect(await redis.pttl(lock)).toBeGreaterThan(900_000)
    expect(await locks.lock(lock, 'task-1')).toEqual({ status: 'own' })
    expect(await redis.pttl(lock)).toBe(-1)
    expect(await locks.lock(lock, 'task-1', 1)).toEqual({ status: 'own' })
    expect(await redis.pttl(lock)).toBe(-1)
  })

  test('take with `replaces`: from exactly that task', async () => {
    const lock = `${prefix}a`
    expect(await locks.take(lock, 'task-1', { replaces: 'task-0' })).toEqual({ status: 'taken' })
    expect(await locks.take(lock, 'task-2', { replaces: 'task-0' })).toEqual({ status: 'busy', holder: 'task-1' })
    expect(await locks.take(lock, 'task-2', { replaces: 'task-1', ttlMs: 50_000 })).toEqual({ status: 'replaced' })
    expect(await redis.get(lock)).toBe('task-2')
    expect(await redis.pttl(lock)).toBeGreaterThan(40_000)
  })

  test('renew: only for who holds it', async () => {
    const lock = `${prefix}a`
    expect(await locks.renew(lock, 'task-1', 1_000)).toBe(false)
    expect(await redis.exists(lock)).toBe(0)
    await locks.lock(lock, 'task-1')
    expect(await locks.renew(lock, 'task-2', 1_000)).toBe(false)
    expect(await locks.renew(lock, 'task-1', 50_000)).toBe(true)
    expect(await redis.pttl(lock)).toBeGreaterThan(40_000)
    expect(await locks.renew(lock, 'task-1', null)).toBe(true)
    expect(await redis.pttl(lock)).toBe(-1)
  })

  test('clearLocks and sweep deal with thousands', async () => {
    const all = Array.from({ length: 2_500 }, (_, i) => `${prefix}${i}`)
    await redis.mset(all.flatMap((lock, i) => [lock, `task-${i}`]))
    const stateOf = async (id: string) => (Number(id.slice(5)) % 2 === 0 ? 'finished' : 'running')
    expect(await locks.sweep(stateOf)).toBe(1_250)
    expect(await redis.exists(all)).toBe(1_250)
    expect(await locks.clearLocks()).toBe(1_250)
    expect(await locks.clearLocks()).toBe(0)
  })
})

test.each([
  ['ioredis', () => new Redis.Cluster(nodes.map(node => `redis://${node}`))],
  ['node-redis', () => createCluster({ rootNodes: nodes.map(node => ({ url: `redis://${node}` })) }).connect()],
])('on a cluster, over %s', async (_, open) => {
  const client = await open()
  await using locks = new CeleryLocks(client, { prefix })
  const all = Array.from({ length: 20 }, (_, i) => `${prefix}${i}`)
  for (const lock of all) expect(await locks.lock(lock, `holder of ${lock}`)).toEqual({ status: 'taken' })
  for (const lock of all) expect(await locks.get(lock)).toBe(`holder of ${lock}`)
  expect(await locks.unlock(String(all[0]), `holder of ${all[0]}`)).toBe(true)
  expect(await locks.clearLocks()).toBe(19)
  client.disconnect()
})

describe('bad input', () => {
  test.each([null, undefined, 1, {}, 'http://user:secret@host', 'redis://:secret@h:99999', 'redis://'])(
    'a target that is none is refused and not repeated: %s',
    target => {
      for (const make of [() => new CeleryLocks(target as never), () => new CeleryResults(target as never)]) {
        expect(make).toThrow(refused)
        expect(make).not.toThrow(/secret/)
      }
    },
  )

  test.each([{ prefix: '' }, { prefix: 1 }, { prefix: '\ud800' }, { callTimeoutMs: 0 }, { keyPrefix: 'a' }, null])(
    'options %j',
    options => {
      expect(() => new CeleryLocks(redis, options as never)).toThrow(refused)
    },
  )

  test('nothing is sent', async () => {
    await using locks = new CeleryLocks(redis, { prefix })
    const lock = `${prefix}a`
    const bad: readonly Promise<unknown>[] = [
      locks.lock('', 'task-1'),
      locks.lock(lock, ''),
      locks.lock(lock, '\ud800'),
      locks.lock(lock, 1 as never),
      ...[0, -1, 1.5, Number.NaN, '5'].map(seconds => locks.lock(lock, 'task-1', seconds as never)),
      ...[0, -1, Number.NaN, '5'].map(ttlMs => locks.take(lock, 'task-1', { ttlMs: ttlMs as never })),
      locks.take(lock, 'task-1', { replaces: '' }),
      locks.take(lock, 'task-1', { ttl: 5 } as never),
      locks.renew(lock, 'task-1', 0),
      locks.unlock(lock, undefined as never),
      locks.get(''),
      locks.clear(''),
      locks.clear(undefined as never),
      locks.sweep(undefined as never),
    ]
    const settled = await Promise.allSettled(bad)
    for (const result of settled) expect(result).toMatchObject({ status: 'rejected', reason: refused })
    expect(await redis.exists(lock)).toBe(0)
  })
})

describe('faults', () => {
  test('a Redis that refuses, fails or is silent is one error, without the password', async () => {
    await using refusing = new CeleryLocks('redis://user:wr0ng@127.0.0.1:1', { callTimeoutMs: 500 })
    await using wrong = new CeleryLocks(url.replace('redis://', 'redis://user:wr0ng@'), { callTimeoutMs: 1_000 })
    await redis.hset(`${prefix}hash`, 'field', 'value')
    await using failing = new CeleryLocks(redis, { prefix })
    // Who gives up a connection that is silent resets it.
    const silent = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1')
    await new Promise(resolve => silent.once('listening', resolve))
    const { port } = silent.address() as { port: number }
    await using waiting = new CeleryLocks(`redis://user:wr0ng@127.0.0.1:${port}`, { callTimeoutMs: 100 })
    for (const locks of [refusing, wrong, failing, waiting]) {
      for (const call of [locks.lock(`${prefix}hash`, 'task-1'), locks.get(`${prefix}hash`)]) {
        const error = await call.catch((reason: unknown) => reason)
        expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
        for (let at: unknown = error; at instanceof Error; at = at.cause) {
          expect(`${at.stack} ${JSON.stringify(at)}`).not.toContain('wr0ng')
        }
      }
    }
    await redis.del(`${prefix}hash`)
    silent.close()
  })

  test('after close nothing is sent; a client that was passed in stays open', async () => {
    const locks = new CeleryLocks(redis, { prefix })
    await locks.close()
    await locks.close()
    await expect(locks.lock(`${prefix}a`, 'task-1')).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(locks.clearLocks()).rejects.toMatchObject({ code: 'CLOSED' })
    expect(await redis.exists(`${prefix}a`)).toBe(0)
  })
})

describe('CeleryResults', () => {
  test.each([
    ['{"status": "SUCCESS", "result": NaN, "traceback": null}', 'SUCCESS', 'finished'],
    ['{"result": 1, "status": "FAILURE"}', 'FAILURE', 'finished'],
    ['{"status": "REVOKED"}', 'REVOKED', 'finished'],
    ['{"status": "STARTED", "result": {"pid": 1}}', 'STARTED', 'running'],
    ['{"status": "PROGRESS"}', 'PROGRESS', 'running'],
    ['{"status": "RETRY"}', 'RETRY', 'queued'],
    [null, null, null],
  ])('reads %s', async (text, status, state) => {
    await using results = new CeleryResults(redis, { prefix })
    if (text !== null) await redis.set(`${prefix}task-1`, text, 'EX', 60)
    expect(await results.status('task-1')).toBe(status)
    expect(await results.stateOf('task-1')).toBe(state)
    await redis.del(`${prefix}task-1`)
  })

  test.each(['secret', '["secret"]', 'null', '{"status": 7, "result": "secret"}'])(
    'does not repeat what it cannot read: %s',
    async text => {
      await using results = new CeleryResults(redis, { prefix })
      await redis.set(`${prefix}task-1`, text, 'EX', 60)
      const error = await results.stateOf('task-1').catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
      expect(String(error)).not.toContain('secret')
      await redis.del(`${prefix}task-1`)
    },
  )
})
