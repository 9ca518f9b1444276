// What docs/moving says of running another library's locks and Soloist's side by side, with the real libraries.
import { createRequire } from 'node:module'
import { Redlock } from '@sesamecare-oss/redlock'
import { Verrou } from '@verrou/core'
import { redisStore } from '@verrou/core/drivers/redis'
import { Redis } from 'ioredis'
import { defaultTimeoutOptions, Mutex, Semaphore } from 'redis-semaphore'
import { connect, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { afterAll, describe, expect, test } from 'vitest'

/** A lock that somebody else's library took, or `null` when it could not be had at once. */
type Taken = { release(): Promise<unknown> } | null

interface Other {
  readonly library: string
  /** What Soloist is connected with, so that the lock `name` has the key that this library gives it. */
  readonly prefix: string
  take(name: string): Promise<Taken>
}

interface Redlock4 {
  lock(resource: string, ttlMs: number): Promise<{ unlock(): Promise<unknown> }>
}
interface Redlock5 {
  acquire(resources: string[], ttlMs: number): Promise<{ release(): Promise<unknown> }>
  readonly settings: unknown
}

const redis = new Redis(String(process.env.SOLOIST_TEST_REDIS))
const TTL_MS = 20_000

// Neither package comes with types that the compiler finds.
const require = createRequire(import.meta.url)
const redlock4 = new (require('redlock') as new (clients: Redis[], settings: object) => Redlock4)([redis], {
  retryCount: 0,
})
const { default: Redlock5 } = require('redlock-5') as { default: new (clients: Redis[], settings?: object) => Redlock5 }
const redlock5 = new Redlock5([redis], { retryCount: 0 })
const fork = new Redlock([redis], { retryCount: 0 })
const verrou = new Verrou({
  default: 'redis',
  stores: { redis: { driver: redisStore({ connection: redis as never }) } },
})

/** Redlock says that a lock is taken with an error. */
const unlessTaken = (names: readonly string[]) => (error: Error) => {
  if (names.includes(error.name)) return null
  throw error
}

const others: readonly Other[] = [
  {
    library: 'redlock 4',
    prefix: 'redlock-4:',
    async take(name) {
      const lock = await redlock4.lock(`redlock-4:${name}`, TTL_MS).catch(unlessTaken(['LockError']))
      return lock && { release: () => lock.unlock() }
    },
  },
  {
    library: 'redlock 5',
    prefix: 'redlock-5:',
    take: name => redlock5.acquire([`redlock-5:${name}`], TTL_MS).catch(unlessTaken(['ExecutionError'])),
  },
  {
    library: '@sesamecare-oss/redlock',
    prefix: 'sesamecare:',
    take: name => fork.acquire([`sesamecare:${name}`], TTL_MS).catch(unlessTaken(['ExecutionError'])),
  },
  {
    library: 'redis-semaphore',
    prefix: 'mutex:',
    async take(name) {
      const mutex = new Mutex(redis, name, { acquireAttemptsLimit: 1, lockTimeout: TTL_MS })
      return (await mutex.tryAcquire()) ? mutex : null
    },
  },
  {
    library: '@verrou/core',
    prefix: 'verrou:',
    async take(name) {
      const lock = verrou.createLock(`verrou:${name}`, TTL_MS)
      return (await lock.acquireImmediately()) ? lock : null
    },
  },
]

/** Takes it as somebody does who asks again until they have it. */
async function takePolling({ take }: Other, name: string): Promise<NonNullable<Taken>> {
  for (;;) {
    const taken = await take(name)
    if (taken !== null) return taken
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

describe.each(others)('$library', other => {
  const solo: Soloist = connect(redisBackend(redis, { prefix: other.prefix }))
  afterAll(() => solo.close())

  test('what it holds is busy for Soloist', async () => {
    const theirs = await other.take('held-by-them')
    expect(await solo.tryLock('held-by-them')).toBeNull()
    expect((await solo.inspect('held-by-them'))?.holders).toHaveLength(1)
    await theirs?.release()
    await using ours = await solo.tryLock('held-by-them')
    expect(ours?.owner).toBe(await redis.get(`${other.prefix}held-by-them`))
  })

  test('what Soloist holds is busy for it', async () => {
    const ours = await solo.lock('held-by-us')
    expect(await other.take('held-by-us')).toBeNull()
    await ours.release()
    const theirs = await other.take('held-by-us')
    expect(theirs).not.toBeNull()
    await theirs?.release()
  })

  test('when it releases, a Soloist that waits is granted the lock', async () => {
    const theirs = await other.take('waited-for')
    const waiting = solo.lock('waited-for')
    await expect.poll(async () => (await solo.inspect('waited-for'))?.waiting).toBe(1)
    await theirs?.release()
    await using ours = await waiting
    expect(await redis.get(`${other.prefix}waited-for`)).toBe(ours.owner)
  })

  test('when Soloist releases, the next Soloist that waits goes before it', async () => {
    const first = await solo.lock('handed-on')
    const waiting = solo.lock('handed-on')
    await expect.poll(async () => (await solo.inspect('handed-on'))?.waiting).toBe(1)
    await first.release()
    expect(await other.take('handed-on')).toBeNull()
    await (await waiting).release()
  })

  test('many of both never hold it together', async () => {
    const inside = new Set<string>()
    const seen = { theirs: 0, ours: 0 }
    const work = async (who: 'theirs' | 'ours') => {
      inside.add(who)
      await redis.ping()
      expect([...inside]).toEqual([who])
      inside.delete(who)
      seen[who]++
    }
    const theirs = Array.from({ length: 10 }, async () => {
      const lock = await takePolling(other, 'shared')
      await work('theirs')
      await lock.release()
    })
    // Whoever waits looks again after seconds when the other library has released: so few wait at a time.
    const ours = Array.from({ length: 10 }, async () => {
      for (let lease = null; lease === null; ) {
        lease = await solo.tryLock('shared')
        if (lease === null) await new Promise(resolve => setTimeout(resolve, 5))
        else await work('ours').finally(() => lease?.release())
      }
    })
    await Promise.all([...theirs, ...ours])
    expect(seen).toEqual({ theirs: 10, ours: 10 })
  })
})

test('a semaphore of redis-semaphore is a key of another type', async () => {
  await using solo = connect(redisBackend(redis, { prefix: 'semaphore:' }))
  const theirs = new Semaphore(redis, 'gpu', 2)
  await theirs.acquire()
  await expect(solo.tryLock('gpu')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  await theirs.release()
})

test('the releases of a lease that was lost resolve', async () => {
  await using solo = connect(redisBackend(redis, { prefix: 'moving:' }))
  const lease = await solo.lock('lost')
  await solo.unlock('lost', { force: true })
  await lease.release()
  await lease.release()
})

describe('the defaults that the pages name', () => {
  test('of redis-semaphore', () => {
    expect(defaultTimeoutOptions).toMatchObject({ lockTimeout: 10_000, acquireTimeout: 10_000, retryInterval: 10 })
  })

  test('of redlock', () => {
    const settings = {
      driftFactor: 0.01,
      retryCount: 10,
      retryDelay: 200,
      retryJitter: 100,
      automaticExtensionThreshold: 500,
    }
    expect(new Redlock5([redis]).settings).toMatchObject(settings)
    expect(new Redlock([redis]).settings).toMatchObject(settings)
  })

  test('of verrou', async () => {
    const lock = verrou.createLock('verrou:default')
    await lock.acquire()
    expect(lock.getRemainingTime()).toBeGreaterThan(20_000)
    expect(lock.getRemainingTime()).toBeLessThanOrEqual(30_000)
    await lock.release()
  })
})

afterAll(() => redis.disconnect())
