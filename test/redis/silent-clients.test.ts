import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import type { Backend, Claim, GrantEvent } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { afterAll, afterEach, expect, test } from 'vitest'

const url = String(process.env.SOLOIST_TEST_REDIS)
const prefix = `${randomUUID()}:`
const admin = new Redis(url)
const opened: Backend[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map(backend => backend.close()))
})
afterAll(() => admin.disconnect())

function client(name: string) {
  const backend = redisBackend(url, { prefix })
  opened.push(backend)
  const pushes: GrantEvent[] = []
  const told = new Promise<GrantEvent>(resolve => {
    backend.onGrant(event => {
      pushes.push(event)
      resolve(event)
    })
  })
  const claim = { owner: `${name}/1`, client: name, mode: 'exclusive', limit: null, ttlMs: 60_000, meta: null } as const
  return { backend, pushes, told, claim: (lock: string): Claim => ({ ...claim, name: lock }) }
}

test('a client that is connected but was silent for three beats is passed over', async () => {
  const [a, b, c] = [client('a'), client('b'), client('c')]
  await a.backend.acquire(a.claim('lock'))
  await b.backend.acquire(b.claim('lock'), { ticket: 'new' })
  await c.backend.acquire(c.claim('lock'), { ticket: 'new' })
  // As twelve seconds without a beat leave it.
  await admin.hset(`{${prefix}lock}:w`, 'b', '1')
  await a.backend.release(a.claim('lock'))
  expect(await c.told).toMatchObject({ owner: 'c/1' })
  expect((await a.backend.inspect('lock'))?.holders.map(({ owner }) => owner)).toEqual(['c/1'])
  expect(b.pushes).toEqual([])
})

test('a client whose connection is gone is passed over at once', async () => {
  const [a, b, c] = [client('a'), client('b'), client('c')]
  await a.backend.acquire(a.claim('other lock'))
  await b.backend.acquire(b.claim('other lock'), { ticket: 'new' })
  await c.backend.acquire(c.claim('other lock'), { ticket: 'new' })
  await b.backend.close()
  await expect.poll(() => admin.pubsub('NUMSUB', `${prefix}grants:b`)).toEqual([expect.anything(), 0])
  await a.backend.release(a.claim('other lock'))
  expect(await c.told).toMatchObject({ owner: 'c/1' })
  expect((await a.backend.inspect('other lock'))?.holders.map(({ owner }) => owner)).toEqual(['c/1'])
})
