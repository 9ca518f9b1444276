import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { Cluster as Cluster5 } from 'ioredis-5'
import { createCluster } from 'redis'
import { createCluster as createCluster5 } from 'redis-5'
import { connect, type Soloist } from 'soloist'
import { type RedisClient, redisBackend } from 'soloist/redis'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../../support/redis-cluster.js'
import { startRedis } from '../../support/redis-server.js'

// A URL names one server. That server may be all of a cluster, as managed ones often are, or one of several.

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})
function track(solo: Soloist): Soloist {
  closers.push(() => solo.close())
  return solo
}

test('a server in cluster mode that has all slots: any number of leases, each renewed', async () => {
  await using server = await alone()
  await using solo = connect(server.url)
  const leases = await Promise.all(Array.from({ length: 20 }, (_, i) => solo.lock(`lock ${i}`, { ttlMs: 6_000 })))
  const ends = () => leases.map(({ expiresAt }) => expiresAt.getTime())
  const before = ends()
  await expect.poll(() => ends().every((end, i) => end > Number(before[i]))).toBe(true)
  for (const lease of leases) lease.assertValid()
  const waiting = solo.lock('lock 0')
  await once(solo, 'waiting')
  await leases[0]?.release()
  await (await waiting).release()
  const names: string[] = []
  for await (const { name } of solo.list()) names.push(name)
  expect(names).toHaveLength(19)
})

async function alone() {
  const server = await startRedis({ config: 'cluster-enabled yes' })
  const admin = new Redis(server.url, { enableReadyCheck: false })
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383)
  await expect.poll(() => admin.call('CLUSTER', 'INFO')).toContain('cluster_state:ok')
  admin.disconnect()
  return { url: server.url, [Symbol.asyncDispose]: () => server.stop() }
}

describe('one of three servers', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster.stop())

  const addresses = () => cluster.addresses.split(',')
  const kinds: Record<string, () => Soloist | Promise<Soloist>> = {
    'by a URL': () => track(connect(`redis://${addresses()[0]}`)),
    'by a Cluster of ioredis': () => ofIoredis(Cluster),
    'by a Cluster of ioredis 5': () => ofIoredis(Cluster5 as unknown as typeof Cluster),
    'by a cluster of node-redis': () => ofNodeRedis(createCluster),
    'by a cluster of node-redis 5': () => ofNodeRedis(createCluster5 as unknown as typeof createCluster),
  }

  function ofIoredis(Class: typeof Cluster): Soloist {
    const client = new Class(addresses())
    closers.push(() => client.disconnect())
    return track(connect(redisBackend(client)))
  }

  async function ofNodeRedis(create: typeof createCluster): Promise<Soloist> {
    const client = create({ rootNodes: addresses().map(address => ({ url: `redis://${address}` })) })
    client.on('error', () => {})
    await client.connect()
    closers.push(() => client.destroy())
    return track(connect(redisBackend(client as unknown as RedisClient)))
  }

  test.each(Object.entries(kinds))('%s: every lock is taken, handed over and listed', async (kind, open) => {
    const [solo, waiter] = [await open(), await open()]
    const names = Array.from({ length: 20 }, (_, i) => `${kind} ${i}`)
    const leases = await Promise.all(names.map(name => solo.lock(name, { ttlMs: 60_000 })))
    await Promise.all(leases.map(lease => lease.renew()))
    const waiting = names.map(name => waiter.lock(name, { ttlMs: 60_000 }))
    await expect.poll(async () => (await listed(solo, kind)).filter(count => count === 1).length).toBe(20)
    await Promise.all(leases.map(lease => lease.release()))
    const next = await Promise.all(waiting)
    await Promise.all(next.map(lease => lease.release()))
    expect(await listed(solo, kind)).toEqual([])
  })

  async function listed(solo: Soloist, prefix: string): Promise<number[]> {
    const waiting: number[] = []
    for await (const state of solo.list({ prefix })) waiting.push(state.waiting)
    return waiting
  }

  test.each(Object.entries(kinds))(
    '%s: a free lock whose slot is moving is taken when it has moved',
    async (kind, open) => {
      const solo = await open()
      const name = `moving ${kind}`
      await (await solo.lock('warm-up')).release()
      const nodes = addresses().map(address => new Redis(`redis://${address}`))
      closers.push(() => nodes.map(node => node.disconnect()))
      const slot = Number(await nodes[0]?.call('CLUSTER', 'KEYSLOT', `soloist:${name}`))
      const ids = (await Promise.all(nodes.map(node => node.call('CLUSTER', 'MYID')))) as string[]
      const owns = await Promise.all(
        nodes.map(node =>
          node.get(`soloist:${name}`).then(
            () => true,
            () => false,
          ),
        ),
      )
      const from = owns.indexOf(true)
      const to = (from + 1) % nodes.length
      await nodes[to]?.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[from] as string)
      await nodes[from]?.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[to] as string)
      const taking = solo.tryLock(name, { ttlMs: 60_000 })
      // Long enough that whoever does not ask again has given up.
      await sleep(2_500)
      for (const node of [nodes[to], nodes[from]])
        await node?.call('CLUSTER', 'SETSLOT', slot, 'NODE', ids[to] as string)
      const lease = await taking
      expect(await nodes[to]?.get(`soloist:${name}`)).toBe(lease?.owner)
      await lease?.release()
    },
  )
})
