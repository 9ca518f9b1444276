import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { createCluster } from 'redis'
import type { Step } from 'soloist'
import type { RedisClient } from 'soloist/redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../support/redis-cluster.js'
import { startRedis } from '../support/redis-server.js'
import { acquire, type PortClient, portClient, release, renewal } from './support.js'

// Where all keys of a call have to be in one slot: lists are split, and what fails of one slot is a matter of its locks.

let cluster: RedisCluster
let nodes: Redis[]
beforeAll(async () => {
  cluster = await startCluster()
  nodes = cluster.nodes.map(({ url }) => new Redis(url))
})
afterAll(async () => {
  for (const node of nodes) node.disconnect()
  await cluster.stop()
})

const targets: [string, () => Promise<{ target: RedisClient; end: () => void }>][] = [
  [
    'ioredis',
    async () => {
      const target = new Cluster(cluster.addresses.split(','))
      return { target, end: () => target.disconnect() }
    },
  ],
  [
    'node-redis',
    async () => {
      const rootNodes = cluster.nodes.map(({ url }) => ({ url }))
      const target = createCluster({ rootNodes })
      await target.connect()
      return { target: target as unknown as RedisClient, end: () => target.destroy() }
    },
  ],
]

async function scriptCalls(): Promise<number> {
  const stats = await Promise.all(nodes.map(node => node.info('commandstats')))
  return stats.reduce((sum, text) => sum + Number(/cmdstat_evalsha:calls=(\d+)/.exec(text)?.[1] ?? 0), 0)
}

/** Sends what is to be sent again until all is answered. */
async function insist(client: PortClient, steps: readonly Step[]) {
  const answers = new Map<Step, { status: string }>()
  for (let left = steps; left.length > 0; left = left.filter(step => answers.get(step)?.status === 'again')) {
    const { steps: answered } = await client.run(...left)
    left.forEach((step, i) => {
      answers.set(step, answered[i] as { status: string })
    })
  }
  return steps.map(step => answers.get(step))
}

describe.each(targets)('through %s', (_, open) => {
  test('a list over many slots is done, and locks with one hash tag travel together', async () => {
    const { target, end } = await open()
    const a = portClient(target, `${randomUUID()}:`)
    const names = [
      ...Array.from({ length: 20 }, (_, i) => `lock ${i}`),
      ...Array.from({ length: 20 }, (_, i) => `{eu}:${i}`),
    ]
    const claims = names.map(name => a.claim(name))
    await a.run(...claims.map(claim => acquire(claim)))
    for (const node of nodes) await node.config('RESETSTAT')
    const { steps } = await a.run(...claims.map(claim => renewal(claim, 7)))
    expect(steps.every(({ status }) => status === 'held')).toBe(true)
    expect(await scriptCalls()).toBe(21)
    const listed: string[] = []
    for await (const { name } of a.backend.list('')) listed.push(name)
    expect(listed.toSorted()).toEqual(names.toSorted())
    const { steps: released } = await a.run(...claims.map(claim => release(claim)))
    expect(released.every(answer => answer.status === 'released' && answer.held)).toBe(true)
    await a.backend.close()
    end()
  })

  test('fences rise from holder to holder, also of locks that share a mark', async () => {
    const { target, end } = await open()
    const prefix = `${randomUUID()}:`
    const [a, b] = [portClient(target, prefix), portClient(target, prefix)]
    for (const name of ['lock', '{eu}:a', '{eu}:b']) {
      let last = 0
      for (let round = 0; round < 5; round += 1) {
        const claim = (round % 2 === 0 ? a : b).claim(name)
        const fence = await a.take(claim)
        expect(fence).toBeGreaterThan(last)
        last = fence
        await a.give(claim)
      }
    }
    await Promise.all([a, b].map(({ backend }) => backend.close()))
    end()
  })

  test('what fails of one slot is a fault of its steps alone', async () => {
    const { target, end } = await open()
    const prefix = `${randomUUID()}:`
    const a = portClient(target, prefix)
    const [good, bad, other] = [a.claim('good'), a.claim('bad'), a.claim('other')]
    const writer = new Cluster(cluster.addresses.split(','))
    await writer.rpush(`${prefix}bad`, 'x')
    writer.disconnect()
    const { steps } = await a.run(acquire(good), acquire(bad), renewal(bad), acquire(other))
    expect(steps.map(({ status }) => status)).toEqual(['granted', 'fault', 'fault', 'granted'])
    await a.backend.close()
    end()
  })

  test('while a slot moves a lease is kept, and a free lock is taken once it has moved', async () => {
    const { target, end } = await open()
    const prefix = `{${randomUUID()}}:`
    const slot = Number(await nodes[0]?.cluster('KEYSLOT', prefix))
    const third = Math.ceil(16_384 / 3)
    const from = Math.floor(slot / third)
    const [source, destination] = [nodes[from], nodes[(from + 1) % 3]] as [Redis, Redis]
    const [sourceId, destinationId] = (await Promise.all(
      [source, destination].map(node => node.call('CLUSTER', 'MYID')),
    )) as [string, string]
    const a = portClient(target, prefix)
    const [held, permit, free] = [a.claim('held'), a.claim('permit', { mode: 'shared', limit: 2 }), a.claim('free')]
    await a.run(acquire(held), acquire(permit))
    await destination.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', sourceId)
    await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', destinationId)

    const taken = insist(a, [acquire(free)])
    expect(await insist(a, [renewal({ ...held, ttlMs: 90_000 }), renewal({ ...permit, ttlMs: 90_000 })])).toMatchObject(
      [{ status: 'held' }, { status: 'held' }],
    )
    expect(await source.pttl(`${prefix}held`)).toBeGreaterThan(80_000)
    expect(await insist(a, [renewal(a.claim('held'))])).toEqual([{ status: 'lost' }])

    // The keys move, and then the slot.
    const { host, port } = cluster.nodes[(from + 1) % 3] as { host: string; port: number }
    const keys = (await source.call('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[]
    await source.call('MIGRATE', host, port, '', 0, 5_000, 'KEYS', ...keys)
    for (const node of [destination, source, ...nodes])
      await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', destinationId)
    expect(await taken).toMatchObject([{ status: 'granted' }])
    expect(await destination.get(`${prefix}free`)).toBe(free.owner)
    const { steps } = await a.run(renewal(held, 5), release(held), release(permit), release(free))
    expect(steps.map(({ status }) => status)).toEqual(['held', 'released', 'released', 'released'])
    await a.backend.close()
    end()
  }, 60_000)
})

test('a cluster of node-redis gets one connection more to listen with', async () => {
  const open = targets[1]?.[1] as (typeof targets)[0][1]
  const { target, end } = await open()
  const a = portClient(target, `${randomUUID()}:`)
  const connections = async () => {
    const lists = await Promise.all(nodes.map(node => node.client('LIST')))
    return lists.join('').split('\n').filter(Boolean).length
  }
  // Connections of earlier tests are gone by then, and every primary has been asked.
  for (let i = 0; i < 20; i++) await a.take(a.claim(`lock ${i}`))
  await expect.poll(connections).toBe(2 * nodes.length)
  await a.take(a.claim('held'))
  await a.queue(a.claim('held'))
  await a.hears()
  await expect.poll(connections).toBe(2 * nodes.length + 1)
  await a.backend.close()
  end()
})

test('a server that is a cluster by itself, behind a plain URL, has any number of locks', async () => {
  const server = await startRedis({ config: 'cluster-enabled yes' })
  const admin = new Redis(server.url)
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383)
  while (!(await admin.cluster('INFO')).includes('cluster_state:ok')) await sleep(50)
  const prefix = `${randomUUID()}:`
  for (const first of ['a list', 'one step', 'inspect', 'list']) {
    const [a, b] = [portClient(server.url, prefix), portClient(server.url, prefix)]
    const claims = Array.from({ length: 10 }, (_, i) => a.claim(`${first} ${i}`))
    if (first === 'one step') await a.take(a.claim('single'))
    if (first === 'inspect') expect(await a.backend.inspect('nothing')).toBe(null)
    if (first === 'list') for await (const { name } of a.backend.list('')) expect(name).toBeTypeOf('string')
    for (const kind of [acquire, renewal]) {
      const { steps } = await a.run(...claims.map(claim => kind(claim)))
      expect(steps.map(({ status }) => status)).toEqual(claims.map(() => (kind === acquire ? 'granted' : 'held')))
    }
    const next = b.claim(`${first} 0`)
    const ticket = await b.queue(next)
    await b.hears()
    await b.queue(next, ticket)
    const { steps } = await a.run(...claims.map(claim => release(claim)))
    expect(steps.every(answer => answer.status === 'released' && answer.held)).toBe(true)
    const { fence } = await b.pushed(next)
    expect(await b.renew(next)).toEqual({ status: 'held', fence })
    await b.give(next)
    await Promise.all([a, b].map(({ backend }) => backend.close()))
  }
  admin.disconnect()
  await server.stop()
})
