import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { DuplicateJobError } from 'soloist'
import { CeleryLocks, CeleryTask, celeryLockKey } from 'soloist/celery'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Rule, startProxy } from '../support/proxy.js'
import { startRedis } from '../support/redis-server.js'

const url = String(process.env.SOLOIST_TEST_REDIS)
const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' })
let redis: Redis
let prefix: string
let locks: CeleryLocks

beforeAll(() => {
  redis = new Redis(url)
})

afterAll(() => redis.disconnect())

beforeEach(() => {
  prefix = `${randomUUID()}:`
  locks = new CeleryLocks(redis, { prefix })
})

afterEach(async () => {
  await locks.clearLocks()
  await locks.close()
})

const published = async () => {}
const never = async () => expect.unreachable('nothing may be published')

describe('submit', () => {
  test('publishes what celery reads, while the lock is held for the grace time', async () => {
    const task = new CeleryTask(locks, 'tasks.add', { graceMs: 30_000 })
    let leftMs = 0
    const outcome = await task.submit([1, 2.5], { a: 'é' }, async (id, message) => {
      leftMs = await redis.pttl(message.lock)
      expect(message).toEqual({
        id,
        task: 'tasks.add',
        args: [1, 2.5],
        kwargs: { a: 'é' },
        lock: celeryLockKey('tasks.add', [1, 2.5], { a: 'é' }, { prefix }),
        body: '[[1, 2.5], {"a": "\\u00e9"}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]',
      })
    })
    expect(leftMs).toBeGreaterThan(20_000)
    expect(leftMs).toBeLessThanOrEqual(30_000)
    expect(outcome).toEqual({
      status: 'started',
      id: outcome.id,
      lock: task.lock([1, 2.5], { a: 'é' }),
      guaranteed: true,
    })
    expect(await redis.get(outcome.lock)).toBe(outcome.id)
    expect(await redis.pttl(outcome.lock)).toBe(-1)
  })

  test('keeps the lock for `lockExpirySeconds`, whether that is longer or shorter than the grace time', async () => {
    for (const graceMs of [10_000, 500_000]) {
      const task = new CeleryTask(locks, `tasks.${graceMs}`, { lockExpirySeconds: 100, graceMs })
      const { lock } = await task.submit([], {}, async (_, message) => {
        expect(await redis.pttl(message.lock)).toBeLessThanOrEqual(Math.min(graceMs, 100_000))
      })
      expect(await redis.pttl(lock)).toBeGreaterThan(90_000)
      expect(await redis.pttl(lock)).toBeLessThanOrEqual(100_000)
    }
  })

  test('of what is live: an outcome, or with raiseOnDuplicate an error, with the id of the live one', async () => {
    const task = new CeleryTask(locks, 'tasks.add')
    const { id, lock } = await task.submit([], { user: 7 }, published)
    expect(await task.submit([], { user: 7 }, never)).toMatchObject({ status: 'duplicate', id, owner: id, lock })
    const strict = new CeleryTask(locks, 'tasks.add', { raiseOnDuplicate: true })
    const error = await strict.submit([], { user: 7 }, never).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DuplicateJobError)
    expect(error).toMatchObject({ code: 'DUPLICATE_JOB', id, state: 'queued', ageMs: null })
    expect(strict.counts).toEqual({ started: 0, duplicate: 1, replaced: 0, deferred: 0, recovered: 0, lapsed: 0 })
    expect(await task.done(id, lock)).toBe(true)
    expect(await strict.submit([], { user: 7 }, published)).toMatchObject({ status: 'started' })
  })

  test('with uniqueOn: what counts is live, whatever else differs', async () => {
    const task = new CeleryTask(locks, 'tasks.sync', { uniqueOn: ['user'], parameters: ['user', 'force'] })
    const { id } = await task.submit([7], {}, published)
    expect(await task.submit([7, true], {}, never)).toMatchObject({ status: 'duplicate', id })
    expect(await task.submit([], { force: true, user: 7 }, never)).toMatchObject({ status: 'duplicate', id })
    expect(await task.submit([8], {}, published)).toMatchObject({ status: 'started' })
  })

  test('a worker that is done before the producer has confirmed leaves no lock behind', async () => {
    const task = new CeleryTask(locks, 'tasks.add')
    const outcome = await task.submit([], {}, async (id, { lock }) => {
      expect(await task.done(id, lock)).toBe(true)
    })
    expect(outcome).toMatchObject({ status: 'started', guaranteed: true })
    expect(await redis.exists(outcome.lock)).toBe(0)
  })

  test('a fault of stateOf is the caller’s, and nothing is published', async () => {
    const broken = new Error('broken')
    const task = new CeleryTask(locks, 'tasks.add', { stateOf: () => Promise.reject(broken) })
    const { id, lock } = await task.submit([], {}, published)
    await expect(task.submit([], {}, never)).rejects.toBe(broken)
    expect(await redis.get(lock)).toBe(id)
  })
})

describe('bad input', () => {
  test.each([
    ['a name', [{}, '']],
    ['uniqueOn', [{ uniqueOn: 7 }]],
    ['parameters', [{ parameters: ['a', 'a'] }]],
    ['lockExpirySeconds', [{ lockExpirySeconds: 0.5 }]],
    ['graceMs', [{ graceMs: 0 }]],
    ['graceMs that is text', [{ graceMs: '5' }]],
    ['stateOf', [{ stateOf: true }]],
    ['onBackendFault', [{ onBackendFault: 'ignore' }]],
    ['isUnpublished', [{ isUnpublished: true }]],
    ['options', [null]],
    ['an option that there is not', [{ unique_on: ['a'] }]],
  ])('%s: refused where the task is made', (_, [options, name = 't']) => {
    expect(() => new CeleryTask(locks, String(name), options as never)).toThrow(refused)
  })

  test('locks that are none', () => {
    expect(() => new CeleryTask(redis as never, 't')).toThrow(refused)
  })

  test('refused where it is submitted, before anything is locked', async () => {
    const task = new CeleryTask(locks, 't', { uniqueOn: 'user' })
    const bad = [
      task.submit([], { user: () => 1 }, never),
      task.submit([], { user: 1, other: Symbol('s') }, never),
      task.submit([], { other: 1 }, never),
      task.submit([1], {}, never),
      task.submit(null as never, {}, never),
      task.submit([], null as never, never),
      task.submit([], { user: 1 }, undefined as never),
      task.submit([], { user: 1 }, never, { taskId: '' }),
      task.submit([], { user: 1 }, never, null as never),
      task.submit([], { user: 1 }, never, { taskID: 'a' } as never),
    ]
    for (const result of await Promise.allSettled(bad)) {
      expect(result).toMatchObject({ status: 'rejected', reason: refused })
    }
    expect(await redis.keys(`${prefix}*`)).toEqual([])
  })
})

describe('faults', () => {
  test('without Redis nothing is published', async () => {
    await using down = new CeleryLocks('redis://127.0.0.1:1', { callTimeoutMs: 300 })
    const task = new CeleryTask(down, 't')
    await expect(task.submit([], {}, never)).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(task.counts).toMatchObject({ started: 0, lapsed: 0 })
  })

  test('unless onBackendFault says so: then the outcome says that it is not guaranteed', async () => {
    await using down = new CeleryLocks('redis://127.0.0.1:1', { callTimeoutMs: 300 })
    const task = new CeleryTask(down, 't', { onBackendFault: 'enqueue', isUnpublished: () => true })
    const sent: string[] = []
    const outcome = await task.submit([], {}, async id => void sent.push(id))
    expect(outcome).toMatchObject({ status: 'started', id: sent[0], guaranteed: false })
    expect(task.counts).toMatchObject({ started: 1, lapsed: 1 })
    const unsent = new Error('no route')
    await expect(task.submit([], {}, () => Promise.reject(unsent))).rejects.toBe(unsent)
  })

  test('a Redis that dies while the task is published: the outcome says that it is not guaranteed', async () => {
    const server = await startRedis()
    await using dying = new CeleryLocks(server.url)
    const task = new CeleryTask(dying, 't')
    const outcome = await task.submit([], {}, () => server.kill())
    expect(outcome).toMatchObject({ status: 'started', guaranteed: false })
    expect(task.counts).toMatchObject({ started: 1, lapsed: 1 })
    await server.stop()
  })

  test('a Redis that dies when publishing failed: the error is the one of publish', async () => {
    const server = await startRedis()
    await using dying = new CeleryLocks(server.url)
    const task = new CeleryTask(dying, 't', { isUnpublished: () => true })
    const unsent = new Error('no route')
    const publish = async () => {
      await server.kill()
      throw unsent
    }
    await expect(task.submit([], {}, publish)).rejects.toBe(unsent)
    await server.stop()
  })

  test.each([
    [
      'ioredis',
      (at: string) => {
        const client = new Redis(at)
        client.on('error', () => {})
        return client
      },
    ],
    [
      'node-redis',
      async (at: string) => {
        const client = createClient({ url: at })
        client.on('error', () => {})
        return await client.connect()
      },
    ],
  ])('a lost reply costs nothing, over %s', async (_, open) => {
    const proxy = await startProxy(Number(new URL(url).port))
    const client = await open(proxy.url)
    await using faulty = new CeleryLocks(client, { prefix })
    const task = new CeleryTask(faulty, 't')
    const runs = (what: string) => (words: readonly string[]) =>
      /^eval$/i.test(String(words[0])) && String(words[1]).includes(what)

    const taken = proxy.dropReplyTo(runs('replaces'), 'reset')
    const sent: string[] = []
    let confirmed: Rule | undefined
    const outcome = await task.submit([], {}, async id => {
      await taken.hit
      sent.push(id)
      confirmed = proxy.dropReplyTo(runs('persist'), 'reset')
    })
    await confirmed?.hit
    expect(outcome).toMatchObject({ status: 'started', id: sent[0], guaranteed: true })
    expect(sent.length).toBe(1)
    expect(await redis.get(outcome.lock)).toBe(outcome.id)
    expect(await redis.pttl(outcome.lock)).toBe(-1)
    const unlocked = proxy.dropReplyTo(runs(`'del'`), 'reset')
    await task.done(outcome.id, outcome.lock)
    await unlocked.hit
    expect(await redis.exists(outcome.lock)).toBe(0)
    if (client instanceof Redis) client.disconnect()
    else client.destroy()
    await proxy.close()
  })
})
