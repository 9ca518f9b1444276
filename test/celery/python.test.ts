import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { CeleryLocks, type CeleryOutcome, CeleryTask, celeryLockKey, pyFloat } from 'soloist/celery'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Python } from './python.js'

// A producer in Python and one in TypeScript on one Redis. Each finds the other's locks, and gives back its own.

const url = String(process.env.SOLOIST_TEST_REDIS)
let redis: Redis
let python: Python
let locks: CeleryLocks
/** Of this test alone, since the prefix is the one that Python has. */
let name: string
let task: CeleryTask

beforeAll(() => {
  redis = new Redis(url)
  python = new Python(url)
  locks = new CeleryLocks(redis)
})

afterAll(async () => {
  await python[Symbol.asyncDispose]()
  await locks.close()
  redis.disconnect()
})

beforeEach(() => {
  name = `tasks.${randomUUID()}`
  task = new CeleryTask(locks, name)
})

const published = async () => {}
const never = async () => expect.unreachable('the task is live already')

test('what Python has locked is a duplicate here, and free once its worker is done', async () => {
  const { lock } = await python.apply(name, [1, 'é'], { b: 2.5, a: null }, 'python-1')
  const args = [[1, 'é'], { a: null, b: 2.5 }] as const
  expect(task.lock(...args)).toBe(lock)
  expect(await task.submit(...args, never)).toMatchObject({ status: 'duplicate', id: 'python-1', owner: 'python-1' })
  expect(await locks.get(lock)).toBe('python-1')
  expect(await python.finish(name, JSON.stringify([...args, {}]))).toEqual({ lock, deleted: 1 })
  const outcome = await task.submit(...args, published)
  expect(outcome).toMatchObject({ status: 'started', lock, guaranteed: true })
  expect(await redis.get(lock)).toBe(outcome.id)
  expect(await redis.pttl(lock)).toBe(-1)
  expect(await task.done(outcome.id, lock)).toBe(true)
})

test('what is locked here is a duplicate in Python, whose worker gives it back', async () => {
  const args = [[1, 'é\u{1f600}'], { b: pyFloat(2), a: [10n ** 20n, pyFloat(1e16)] }] as const
  let body = ''
  const outcome = await task.submit(...args, async (id, message) => {
    expect(await redis.get(message.lock)).toBe(id)
    body = message.body
  })
  expect(await python.read(body)).toBe(
    "[[1, 'é😀'], {'b': 2.0, 'a': [100000000000000000000, 1e+16]}, " +
      "{'callbacks': None, 'errbacks': None, 'chain': None, 'chord': None}]",
  )
  expect(await python.finish(name, body)).toEqual({ lock: outcome.lock, deleted: 1 })
  // Nobody has it now: Python's turn.
  const plain = await task.submit([1], { b: 2 }, published)
  expect(await python.apply(name, [1], { b: 2 }, 'python-1')).toEqual({ lock: plain.lock, holder: plain.id })
  expect(await task.done(plain.id, plain.lock)).toBe(true)
  expect(await python.apply(name, [1], { b: 2 }, 'python-1')).toEqual({ lock: plain.lock, holder: 'python-1' })
  expect(await task.done(plain.id, plain.lock)).toBe(false)
  expect(await task.done('python-1', plain.lock)).toBe(true)
})

test('an expiry runs alike on both sides', async () => {
  const { lock } = await python.apply(name, [], {}, 'python-1', 100)
  expect(await redis.ttl(lock)).toBeGreaterThan(90)
  expect(await locks.unlock(lock, 'python-1')).toBe(true)
  expect(await locks.lock(lock, 'here-1', 100)).toEqual({ status: 'taken' })
  expect(await redis.ttl(lock)).toBeGreaterThan(90)
  expect(await python.apply(name, [], {}, 'python-1')).toEqual({ lock, holder: 'here-1' })
  await locks.unlock(lock, 'here-1')
})

test('where both sides go for the same locks each has one winner, and both name the same', async () => {
  const rounds = Array.from({ length: 200 }, (_, i) => i)
  const sent: string[] = []
  const publish = async (id: string) => void sent.push(id)
  const theirs: string[] = []
  const ours: CeleryOutcome[] = []
  const up = async (some: readonly number[]) => {
    for (const i of some) theirs[i] = (await python.apply(name, [i], {}, `python-${i}`)).holder
  }
  const down = async (some: readonly number[]) => {
    for (const i of some.toReversed()) ours[i] = await task.submit([i], {}, publish, { taskId: `here-${i}` })
  }
  // One goes up, one goes down: they meet in between. Each wins its first before the other can get there.
  await Promise.all([up(rounds.slice(0, 1)), down(rounds.slice(-1))])
  await Promise.all([up(rounds.slice(1)), down(rounds.slice(0, -1))])
  const holders = await Promise.all(rounds.map(i => redis.get(celeryLockKey(name, [i]))))
  expect(theirs).toEqual(holders)
  expect(ours.map(({ id }) => id)).toEqual(holders)
  expect(sent.toReversed()).toEqual(holders.filter(id => id?.startsWith('here-')))
  expect(sent.length).toBeGreaterThan(0)
  expect(sent.length).toBeLessThan(200)
  expect(task.counts).toMatchObject({ started: sent.length, duplicate: 200 - sent.length, lapsed: 0 })
  for (const { lock, id } of ours) expect(await locks.unlock(lock, id)).toBe(true)
})
