import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { type PortClient, portClient } from './support.js'

// Clients of the first layout of the keys, which knew no `:q2`, may run on the same store. Here they are the commands that
// their scripts ran.

const admin = new Redis(String(process.env.SOLOIST_TEST_REDIS))
let prefix: string
let a: PortClient
beforeEach(() => {
  prefix = `${randomUUID()}:`
  a = portClient(admin, prefix)
})
afterEach(() => a.backend.close())
afterAll(() => admin.disconnect())

const lockKey = (name: string) => `${prefix}${name}`
const sides = (name: string) =>
  ['s', 'q', 'w', 'd', 'f'].map(end => `{${lockKey(name)}}:${end}`) as [string, ...string[]]

/** Takes a free lock as the first layout did. @returns its fence, or `null` when something is in the way */
async function takeBefore(name: string, owner: string): Promise<number | null> {
  const [shared, queue, , details, fenceKey] = sides(name)
  if ((await admin.exists(lockKey(name), shared, String(queue), String(details))) > 0) return null
  const [last] = String((await admin.get(String(fenceKey))) ?? '0 ').split(' ')
  const [seconds, us] = await admin.time()
  const fence = Math.max(Number(last) + 1, Number(seconds) * 1_000_000 + Number(us))
  await admin.set(String(fenceKey), `${fence} ${owner}`, 'PX', 120_000)
  await admin.set(lockKey(name), owner, 'PX', 60_000)
  return fence
}

test('mutexes of both layouts exclude each other, and their fences rise', async () => {
  const fences: number[] = []
  for (let round = 0; round < 4; round += 1) {
    const claim = a.claim('lock')
    fences.push(await a.take(claim))
    expect(await takeBefore('lock', 'old')).toBe(null)
    await a.give(claim)
    fences.push(Number(await takeBefore('lock', 'old')))
    expect(await a.acquire(a.claim('lock'))).toMatchObject({ status: 'busy', holder: 'old' })
    await admin.del(lockKey('lock'))
  }
  expect(fences).toEqual(fences.toSorted((x, y) => x - y))
  expect(new Set(fences).size).toBe(8)
})

test('who waits for a holder of the first layout gets the lock when it asks again', async () => {
  await takeBefore('lock', 'old')
  const claim = a.claim('lock')
  const ticket = await a.queue(claim)
  await admin.del(lockKey('lock'))
  // It waits, and so a newcomer of the first layout that comes in between finds the lock free: there is no order across both.
  await a.take(claim, { ticket })
  expect(await takeBefore('lock', 'old')).toBe(null)
})

test('operators see the mutexes of the first layout, and none of its side keys', async () => {
  await takeBefore('lock', 'old')
  const [shared, queue, clients, details] = sides('shared')
  await admin.zadd(shared, Date.now() + 60_000, 'reader')
  await admin.zadd(String(queue), 1, 'x client waiter')
  await admin.hset(String(clients), 'client', '1')
  await admin.hset(String(details), 'limit', '2')
  const listed: unknown[] = []
  for await (const { name, holders } of a.backend.list('')) listed.push([name, holders])
  expect(listed).toEqual([['lock', [expect.objectContaining({ owner: 'old', fence: 0 })]]])
  await admin.del(shared, String(queue), String(clients), String(details))
})
