import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { connect, type Soloist } from 'soloist'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'

// Claims made in one turn of the event loop travel together. Each is answered as if it had been alone.

let server: RedisServer
let admin: Redis
let solo: Soloist
let prefix: string
beforeEach(async () => {
  server ??= await startRedis()
  admin ??= new Redis(server.url)
  prefix = `${randomUUID()}:`
  solo = connect(server.url, { prefix })
  await (await solo.lock('warm-up')).release()
})
afterEach(() => solo.close())
afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

async function scriptCalls(): Promise<number> {
  const stats = await admin.info('commandstats')
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0)
}

const owners = (names: readonly string[]) => Promise.all(names.map(name => admin.get(`${prefix}${name}`)))

test('many locks are taken by few calls, each by its own owner', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `lock ${i}`)
  await admin.config('RESETSTAT')
  const leases = await Promise.all(names.map(name => solo.lock(name)))
  expect(await scriptCalls()).toBe(1)
  expect(await owners(names)).toEqual(leases.map(({ owner }) => owner))
})

test('of claims on one lock that travel together the first is granted', async () => {
  const [first, ...others] = await Promise.all(Array.from({ length: 5 }, () => solo.tryLock('lock')))
  expect(others).toEqual([null, null, null, null])
  expect(await owners(['lock'])).toEqual([first?.owner])
})

test('a claim that fails spoils none of those it travels with', async () => {
  await admin.rpush(`${prefix}list`, 'no lock')
  const names = ['a', 'list', 'b']
  const [a, list, b] = await Promise.allSettled(names.map(name => solo.lock(name, { ttlMs: 60_000 })))
  expect(list).toMatchObject({ status: 'rejected', reason: { code: 'BACKEND_UNAVAILABLE' } })
  const held = [a, b].map(one => (one?.status === 'fulfilled' ? one.value : null))
  expect(await owners(['a', 'b'])).toEqual(held.map(lease => lease?.owner))
  for (const lease of held) lease?.assertValid()
})

test('what is given up in the turn it is asked for in leaves nothing held', async () => {
  const abort = new AbortController()
  const refused = expect(solo.lock('lock', { signal: abort.signal })).rejects.toMatchObject({ code: 'ABORTED' })
  abort.abort()
  await refused
  const lease = await solo.lock('lock', { waitMs: 15_000 })
  expect(await owners(['lock'])).toEqual([lease.owner])
})
