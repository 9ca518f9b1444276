// Guards invariants S1 and S10 of docs/guarantees.md.
import { Redis } from 'ioredis'
import { type Claim, type ConnectOptions, connect, type Lease, type Soloist } from 'soloist'
import { type RedisBackendOptions, redisBackend } from 'soloist/redis'
import { describe, expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import { type RedisOptions, type RedisServer, startRedis } from '../support/redis-server.js'
import { storeFaults } from './link/support.js'
import { acquire, type PortClient, portClient, release, renewal, trigger } from './support.js'

// A server that keeps no log forgets its locks when it is started again, while their holders still count on them.

/** Long enough for a slow machine to start a server again before it is over. */
const TTL_MS = 10_000
const LONG_MS = 600_000
const UNSAFE = expect.objectContaining({ code: 'BACKEND_UNSAFE' })
const LOGGED = { args: ['--appendonly', 'yes'] }

/** What a test opens, closed at its end. */
class Scene implements AsyncDisposable {
  readonly #closers: (() => unknown)[] = []

  async server(options?: RedisOptions): Promise<RedisServer> {
    const redis = await startRedis(options)
    this.#closers.push(() => redis.stop())
    return redis
  }

  solo(target: string | Redis, options: ConnectOptions = {}): Soloist {
    const solo =
      typeof target === 'string'
        ? connect(target, options)
        : connect(redisBackend(target, { restartGuardMs: options.restartGuardMs }))
    this.#closers.push(() => solo.close())
    return solo
  }

  port(redis: RedisServer, options: RedisBackendOptions = {}, id?: string): PortClient {
    const client = portClient(redis.url, 'p:', id, options)
    this.#closers.push(() => client.backend.close())
    return client
  }

  redis(redis: RedisServer, options: { username?: string; password?: string; enableReadyCheck?: boolean } = {}): Redis {
    const client = new Redis({ port: redis.port, maxRetriesPerRequest: null, retryStrategy: () => 10, ...options })
    // The server is away for a while.
    client.on('error', () => {})
    this.#closers.push(() => client.disconnect())
    return client
  }

  /** A lease of `TTL_MS` whose holder is cut off then, and to the server is one that it has forgotten. */
  async believed(redis: RedisServer, meanwhile: () => void = () => {}): Promise<Lease> {
    const proxy = await startProxy(redis.port)
    this.#closers.push(() => proxy.close())
    const lease = await this.solo(proxy.url).lock('lock', { ttlMs: TTL_MS })
    proxy.blackhole()
    // So that it need not be waited for in the end.
    this.#closers.push(() => proxy.heal())
    await redis.kill()
    meanwhile()
    await redis.restart()
    expect(counts(lease)).toBe(true)
    return lease
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.reverse()) await close()
  }
}

async function crash(redis: RedisServer): Promise<void> {
  await redis.kill()
  await redis.restart()
}

/** A client of a server that was started just now, and is to grant nothing. */
async function guarded(scene: Scene, options?: RedisOptions) {
  const redis = await scene.server(options)
  return { redis, client: scene.port(redis, { restartGuardMs: LONG_MS }) }
}

/** Whether somebody counts on this lease, at a moment at which another is granted its lock. */
const counts = (lease: { assertValid(): void }) => {
  try {
    lease.assertValid()
    return true
  } catch {
    return false
  }
}

describe.concurrent('after a restart that forgot a lock', () => {
  test('a client that comes anew is granted it when its holder cannot count on it any more', async () => {
    await using scene = new Scene()
    const redis = await scene.server()
    const lease = await scene.believed(redis)
    const fresh = scene.solo(redis.url, { restartGuardMs: TTL_MS })
    const told = storeFaults(fresh)
    expect(await fresh.tryLock('lock')).toBe(null)
    const next = await fresh.lock('lock')
    expect(counts(lease)).toBe(false)
    expect(next.fence).toBeGreaterThan(lease.fence)
    expect(told).toEqual([expect.stringMatching(/keeps no log.*restartGuardMs/)])
  })

  test("so is a call that a client of the application's kept while the server was away", async () => {
    await using scene = new Scene()
    const redis = await scene.server()
    const solo = scene.solo(scene.redis(redis), { restartGuardMs: TTL_MS })
    expect(await solo.tryLock('other')).toBe(null)
    let waiting: Promise<Lease> | undefined
    const lease = await scene.believed(redis, () => {
      waiting = solo.lock('lock')
    })
    await waiting
    expect(counts(lease)).toBe(false)
  })

  test('without the option both hold it', async () => {
    await using scene = new Scene()
    const redis = await scene.server()
    const lease = await scene.believed(redis)
    await scene.solo(redis.url).lock('lock')
    expect(counts(lease)).toBe(true)
  })

  test('a function job waits, and is run once', async ({ expect }) => {
    await using scene = new Scene()
    const redis = await scene.server()
    // Long enough for a busy machine to look while it lasts.
    const solo = scene.solo(redis.url, { restartGuardMs: TTL_MS })
    let runs = 0
    const job = solo.job('job', () => {
      runs += 1
      return runs
    })
    const [first, second] = [job(), job()]
    // The first of them waits, and nothing else is there.
    const admin = scene.redis(redis)
    await expect.poll(() => admin.dbsize()).toBeGreaterThan(0)
    expect(runs).toBe(0)
    expect(await Promise.all([first, second])).toEqual([1, 1])
  })
})

describe.concurrent('while nothing is granted', () => {
  test('a claim waits, alone and among others, and is told for how long', async () => {
    await using scene = new Scene()
    const { client } = await guarded(scene)
    const claims = ['a', 'b', 'c'].map(name => client.claim(name))
    const busy = { status: 'busy', holder: null, ticket: expect.any(Number), requeued: false }
    const alone = await client.acquire(claims[0] as (typeof claims)[0], { ticket: 'new' })
    expect(alone).toMatchObject(busy)
    const ms = Number(Reflect.get(alone, 'retryAfterMs'))
    expect(ms).toBeGreaterThan(LONG_MS - 60_000)
    expect(ms).toBeLessThanOrEqual(LONG_MS + 1_000)
    const { steps, handed } = await client.run(...claims.map(claim => acquire(claim, { ticket: 'new' })))
    expect(steps).toMatchObject([busy, busy, busy])
    expect(handed).toEqual([])
  })

  test.each([
    ['a mutex', {}],
    ['a semaphore', { mode: 'shared', limit: 2 }],
    ['one with a meta', { meta: 'why' }],
    ['one that never expires', { ttlMs: null }],
  ] as const)('who does not wait for %s is refused', async (_, fields) => {
    await using scene = new Scene()
    const { client } = await guarded(scene)
    const claim = client.claim('lock', fields)
    expect(await client.acquire(claim)).toMatchObject({ status: 'busy', ticket: null })
    const { steps } = await client.run(acquire(claim), acquire(client.claim('other', fields)))
    expect(steps).toMatchObject([
      { status: 'busy', ticket: null },
      { status: 'busy', ticket: null },
    ])
    expect(await client.backend.inspect('lock')).toBe(null)
  })

  test('a trigger becomes the pending run, whatever it would do at a lock that is held', async () => {
    await using scene = new Scene()
    const { client } = await guarded(scene)
    const met = { running: 'meet', pending: 'meet' } as const
    const [first, second] = [client.claim('job'), client.claim('job')]
    const [queued] = (await client.run(trigger(first, met))).steps
    expect(queued).toMatchObject({ status: 'busy', ticket: expect.any(Number), seen: { running: null, pending: null } })
    const [answer] = (await client.run(trigger(second, met))).steps
    expect(answer).toMatchObject({ status: 'met', seen: { pending: { owner: first.owner } } })
  })

  test.each(['own', 'other'])(
    'a lock that a snapshot brought back is renewed, and neither handed on to an %s claim nor taken over',
    async whose => {
      await using scene = new Scene()
      const { redis, client } = await guarded(scene)
      const before = scene.port(redis, {}, whose === 'own' ? client.id : undefined)
      const [first, second, third] = [1, 2, 3].map(() => before.claim('lock')) as [Claim, Claim, Claim]
      await before.take(first)
      await before.queue(second)
      await before.queue(third)
      await scene.redis(redis).save()
      await before.give(first)
      await crash(redis)
      // As if it was given back twice, for want of an answer.
      expect(await client.renew(first)).toMatchObject({ status: 'held' })
      const takeOver = client.claim('lock', { owner: 'who takes over' })
      expect(await client.acquire(takeOver, { replaces: first.owner })).toMatchObject({ status: 'busy' })
      expect(await client.run(release(first))).toEqual({
        ...{ steps: [{ status: 'released', held: true }], handed: [] },
        ...{ unfinished: expect.anything(), guard: expect.any(Number) },
      })
      expect(await client.backend.inspect('lock')).toMatchObject({ holding: 0, waiting: 2 })
    },
  )

  test('of a server with a log nothing is waited for', async () => {
    await using scene = new Scene()
    const { redis, client } = await guarded(scene, LOGGED)
    const claim = client.claim('lock')
    await client.take(claim)
    await crash(redis)
    await client.take(client.claim('other'))
    expect(await client.acquire(client.claim('lock'))).toMatchObject({ status: 'busy', holder: claim.owner })
    expect(client.events).not.toContainEqual(expect.objectContaining({ error: UNSAFE }))
  })

  test('who may not ask the server gets locks, and hears once that nothing guards them', async () => {
    await using scene = new Scene()
    const redis = await scene.server()
    await scene.redis(redis).call('ACL', 'SETUSER', 'blind', 'on', '>pw', '~*', '&*', '+@all', '-info')
    const client = scene.redis(redis, { username: 'blind', password: 'pw', enableReadyCheck: false })
    const solo = scene.solo(client, { restartGuardMs: LONG_MS })
    const told = storeFaults(solo)
    for (let i = 0; i < 3; i++) await (await solo.lock('lock')).release()
    expect(told).toEqual([expect.stringMatching(/INFO.*restartGuardMs has no effect/)])
  })
})

describe('what it costs', () => {
  test('one command within the server for each call that may grant, and none without the option', async () => {
    await using scene = new Scene()
    const redis = await scene.server()
    const admin = scene.redis(redis)
    const asked = async (options: object) => {
      const client = scene.port(redis, options)
      const claims = Array.from({ length: 10 }, (_, i) => client.claim(`lock ${i}`))
      const renewals = claims.map(claim => renewal(claim))
      // The first answer is followed by a look at the server, which is answered before the next but one.
      for (let i = 0; i < 3; i++) await client.run(...renewals)
      await admin.config('RESETSTAT')
      await client.run(...claims.map(claim => acquire(claim)))
      await client.run(...renewals)
      return Number(/cmdstat_info:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0)
    }
    expect(await asked({})).toBe(0)
    // The server's uptime is asked first, and within the bound whether it keeps a log.
    expect(await asked({ restartGuardMs: LONG_MS })).toBe(2)
  })
})

describe.concurrent('without the option', () => {
  /** What a client is told that outlives a restart of its server. */
  async function told(scene: Scene, options?: RedisOptions) {
    const redis = await scene.server(options)
    const client = scene.port(redis)
    const claim = client.claim('lock')
    for (let i = 0; i < 3; i++) await client.renew(claim)
    await crash(redis)
    // As above: the look is answered before.
    for (let i = 0; i < 3; i++) await client.renew(claim)
    return client.events
  }

  test('a client that outlived the restart is told that locks may be forgotten', async () => {
    await using scene = new Scene()
    expect(await told(scene)).toContainEqual({ type: 'fault', error: UNSAFE })
  })

  test('and is not where a log was kept', async () => {
    await using scene = new Scene()
    expect(await told(scene, LOGGED)).not.toContainEqual({ type: 'fault', error: UNSAFE })
  })
})

test.each([0, -1, '1000', Number.NaN])('%s is no time', ms => {
  expect(() => connect('redis://localhost', { restartGuardMs: ms as number })).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('restartGuardMs') }),
  )
})

test.each(['memory:', 'sqlite:x.db', 'postgres://localhost/x'])('%s has no use for it', url => {
  expect(() => connect(url, { restartGuardMs: 1 })).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('Redis alone') }),
  )
})
