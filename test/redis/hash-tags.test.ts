import { randomUUID } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { createCluster } from 'redis'
import { type Backend, type Claim, connect, type Soloist } from 'soloist'
import { type RedisBackendOptions, type RedisClient, redisBackend } from 'soloist/redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HashTags, slotOf } from '../../dist/backends/redis/slots.js'
import { type RedisCluster, startCluster } from '../support/redis-cluster.js'
import { acquire, type PortClient, portClient, release, renewal } from './support.js'

// All locks of a prefix in a few slots of a cluster: calls for many of them are few.

const TAGS = 16
const names = Array.from({ length: 200 }, (_, i) => `lock ${i}`)

let cluster: RedisCluster
let nodes: Redis[]
let clients: Record<'ioredis' | 'node-redis', RedisClient>
let endClients: () => void
beforeAll(async () => {
  cluster = await startCluster()
  nodes = cluster.nodes.map(({ url }) => new Redis(url))
  const ioredis = new Cluster(cluster.addresses.split(','))
  const nodeRedis = createCluster({ rootNodes: cluster.nodes.map(({ url }) => ({ url })) })
  await nodeRedis.connect()
  clients = { ioredis, 'node-redis': nodeRedis as unknown as RedisClient }
  endClients = () => {
    ioredis.disconnect()
    nodeRedis.destroy()
  }
})
afterAll(async () => {
  endClients()
  for (const node of nodes) node.disconnect()
  await cluster.stop()
})

async function scriptCalls(run: () => Promise<unknown>): Promise<number> {
  for (const node of nodes) await node.config('RESETSTAT')
  await run()
  const stats = await Promise.all(nodes.map(node => node.info('commandstats')))
  return stats.reduce((sum, text) => sum + Number(/cmdstat_evalsha:calls=(\d+)/.exec(text)?.[1] ?? 0), 0)
}

async function taken(client: PortClient, name: string): Promise<Claim> {
  const claim = client.claim(name)
  await client.take(claim)
  return claim
}

async function listed(from: Soloist | Backend, prefix = ''): Promise<string[]> {
  const found: string[] = []
  for await (const { name } of 'tryLock' in from ? from.list({ prefix }) : from.list(prefix)) found.push(name)
  return found.toSorted()
}

describe.each(['ioredis', 'node-redis'] as const)('with hashTags, through %s', kind => {
  const open = (options: RedisBackendOptions) => connect(redisBackend(clients[kind], options))

  test('keys are in exactly so many slots, all servers have some, and each says who holds its lock', async () => {
    const prefix = `${randomUUID()}:`
    await using solo = open({ prefix, hashTags: TAGS })
    const leases = await Promise.all(names.map(name => solo.lock(name)))
    const shared = await Promise.all(names.map(name => solo.semaphore(`${name} of two`, 2).lock({ meta: 'm' })))
    const keys = (await Promise.all(nodes.map(node => node.keys(`*${prefix}*`)))).map(found =>
      found.filter(key => key.startsWith(prefix)),
    )
    expect(keys.every(found => found.length > 0)).toBe(true)
    const slots = await Promise.all(keys.flat().map(key => nodes[0]?.cluster('KEYSLOT', key)))
    expect(new Set(slots).size).toBe(TAGS)
    for (const { name, owner } of leases) {
      const key = keys.flat().find(found => found.startsWith(`${prefix}{16.`) && found.endsWith(`}:${name}`))
      const shown = await Promise.allSettled(nodes.map(node => node.get(String(key))))
      expect(shown.map(result => result.status === 'fulfilled' && result.value)).toContain(owner)
    }
    await Promise.all([...leases, ...shared].map(lease => lease.release()))
  })

  test('a list takes at most one call for each tag to take, to renew, to show and to give back', async () => {
    const prefix = `${randomUUID()}:`
    const client = portClient(clients[kind], prefix, randomUUID(), { hashTags: TAGS })
    const apart = portClient(clients[kind], `${randomUUID()}:`)
    const some = names.slice(0, 100)
    const callsOf = async (on: PortClient) => {
      await on.give(await taken(on, 'warm-up'))
      const claims = some.map(name => on.claim(name))
      const calls = []
      for (const step of [acquire, renewal, release]) {
        if (step === release) calls.push(await scriptCalls(() => listed(on.backend)))
        calls.push(await scriptCalls(() => on.run(...claims.map(claim => step(claim)))))
      }
      return calls
    }
    expect(new Set(await callsOf(client))).toEqual(new Set([TAGS]))
    expect(new Set(await callsOf(apart))).toEqual(new Set([some.length]))
    await Promise.all([client, apart].map(({ backend }) => backend.close()))
  })

  test('a lock excludes, is handed on in order, and its fence rises', async () => {
    const prefix = `${randomUUID()}:`
    await using a = open({ prefix, hashTags: TAGS })
    await using b = open({ prefix, hashTags: TAGS })
    for (const name of ['a', 'with {a tag}', '{', '}', ':q2', '{16.1}:a', 'ü']) {
      const first = await a.lock(name)
      expect(await b.tryLock(name), name).toBeNull()
      const second = b.lock(name)
      await expect.poll(async () => (await a.inspect(name))?.waiting).toBe(1)
      const third = a.lock(name)
      await expect.poll(async () => (await a.inspect(name))?.waiting).toBe(2)
      await first.release()
      const next = await second
      expect(next.fence).toBeGreaterThan(first.fence)
      expect((await a.inspect(name))?.holders).toMatchObject([{ owner: next.owner }])
      await next.release()
      const last = await third
      expect(last.fence).toBeGreaterThan(next.fence)
      await last.release()
    }
  })

  test('list, inspect and clear find every lock under its own name, and nothing else', async () => {
    const prefix = `${randomUUID()}:`
    await using solo = open({ prefix, hashTags: TAGS })
    await using fewer = open({ prefix, hashTags: 3 })
    await using without = open({ prefix })
    const mine = ['a:1', 'a:2', 'a*', '{eu}:a', 'a:q2', 'b']
    await Promise.all(mine.map(name => solo.lock(name)))
    const other = await Promise.all([fewer.lock('a:1'), without.lock('a:1')])
    expect(await listed(solo)).toEqual(mine.toSorted())
    expect(await listed(solo, 'a:')).toEqual(['a:1', 'a:2', 'a:q2'])
    expect(await listed(fewer)).toEqual(['a:1'])
    expect((await solo.inspect('a:1'))?.holding).toBe(1)
    expect(await solo.clear('a:')).toBe(3)
    expect(await listed(solo)).toEqual(['a*', 'b', '{eu}:a'])
    expect(await solo.clear('')).toBe(3)
    expect(await listed(solo)).toEqual([])
    // With another number, or none, it is another lock.
    for (const lease of other) await lease.renew()
    await Promise.all(other.map(lease => lease.release()))
  })

  test('a client without them has the lock under the name that begins with its tag', async () => {
    const prefix = `${randomUUID()}:`
    await using solo = open({ prefix, hashTags: TAGS })
    await using without = open({ prefix })
    const lease = await solo.lock('report')
    const [name = ''] = await listed(without)
    expect(name).toMatch(/^\{16\.\d+\}:report$/)
    expect(await without.tryLock(name)).toBeNull()
    expect((await without.inspect(name))?.holders).toMatchObject([{ owner: lease.owner }])
    expect(await without.unlock(name, { force: true })).toBe(true)
    await expect(lease.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })
})

test('a name is found by the slot that the cluster says, and each tag has its equal part of the slots', async () => {
  for (const key of ['a', 'lock 1', '{eu}:a', 'a{}b', '{', '}{', '{{a}}', 'ü', '😀{ü}']) {
    expect(slotOf(key), key).toBe(await nodes[0]?.cluster('KEYSLOT', key))
  }
  for (const count of [1, 2, 3, 16, 100, 1_024]) {
    const tags = new HashTags(count)
    const used = new Set<string>()
    for (let i = 0; used.size < count && i < 100_000; i += 1) used.add(tags.of(`name ${i}`))
    const parts = [...used].map(tag => Math.floor((slotOf(tag) * count) / 16_384))
    expect(parts.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i))
  }
  const tags = new HashTags(TAGS)
  expect(new Set(names.map(name => tags.of(`{eu}:${name}`))).size).toBe(1)
})

test('what is no small number is refused, and where it would do nothing', () => {
  const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' })
  const url = 'redis://127.0.0.1:1'
  for (const hashTags of [0, -1, 1.5, 1_025, Number.NaN, Infinity, '16', null, true, [16]] as never[]) {
    expect(() => redisBackend(url, { hashTags }), String(hashTags)).toThrow(invalid)
    expect(() => connect(url, { hashTags }), String(hashTags)).toThrow(invalid)
  }
  expect(() => connect(url, { hashTags: 16, prefix: '{app}:' })).toThrow(invalid)
  expect(() => connect(url, { hashTags: 16, prefix: 'app{' })).toThrow(invalid)
  for (const store of ['memory:', 'sqlite:locks.db']) expect(() => connect(store, { hashTags: 16 })).toThrow(invalid)
  expect(() => connect(redisBackend(url), { hashTags: 16 })).toThrow(invalid)
})

test('a server that is no cluster takes them too', async () => {
  const url = String(process.env.SOLOIST_TEST_REDIS)
  const prefix = `${randomUUID()}:`
  await using a = connect(url, { prefix, hashTags: TAGS })
  await using b = connect(url, { prefix, hashTags: TAGS })
  const lease = await a.lock('a')
  expect(await b.tryLock('a')).toBeNull()
  expect(await listed(b)).toEqual(['a'])
  await lease.release()
})
