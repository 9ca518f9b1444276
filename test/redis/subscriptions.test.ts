import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { createClient } from 'redis'
import type { GrantEvent } from 'soloist'
import { type RedisClient, redisBackend } from 'soloist/redis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../support/redis-cluster.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'

// Clients of one backend are told of their grants by one connection. A new client may come at any moment of its life:
// before it is there, in the middle of its greeting, and while it is opened again.

let server: RedisServer
let cluster: RedisCluster
beforeAll(async () => {
  ;[server, cluster] = await Promise.all([startRedis(), startCluster()])
})
afterAll(() => Promise.all([server.stop(), cluster.stop()]))

const destroy = (client: unknown) => (client as ReturnType<typeof createClient>).destroy()
const disconnect = (client: unknown) => (client as Redis | Cluster).disconnect()

/** A backend, and clients of it that each wait for a lock of their own. */
function clientsOf(client: RedisClient) {
  const backend = redisBackend(client, { prefix: `${randomUUID()}:` })
  const pushes: GrantEvent[] = []
  backend.onGrant(event => pushes.push(event))
  const claim = (i: number, owner: string) => ({
    ...{ name: `lock ${i}`, owner: `${owner} ${i}`, client: `${owner}-${i}`, mode: 'exclusive' as const },
    ...{ limit: null, ttlMs: 60_000, meta: null },
  })
  const waiting: Promise<void>[] = []
  const wait = async (i: number) => {
    expect(await backend.acquire(claim(i, 'first'))).toMatchObject({ status: 'granted' })
    expect(await backend.acquire(claim(i, 'second'), { ticket: 'new' })).toMatchObject({ status: 'busy' })
  }
  return {
    backend,
    pushes,
    come: () => {
      const came = wait(waiting.length)
      waiting.push(came)
      return came
    },
    wereAllTold: async () => {
      await Promise.all(waiting)
      await Promise.all(waiting.map((_, i) => backend.release(claim(i, 'first'))))
      const told = () => pushes.flatMap(event => (event.type === 'granted' ? [`${event.name}: ${event.owner}`] : []))
      const expected = waiting.map((_, i) => `lock ${i}: second ${i}`)
      await expect.poll(() => told().toSorted()).toEqual(expected.toSorted())
      await backend.close()
    },
  }
}

test.each([
  ['ioredis', async () => new Redis(server.url), disconnect],
  ['a Cluster of ioredis', async () => new Cluster(cluster.addresses.split(',')), disconnect],
  ['node-redis', async () => await createClient({ url: server.url }).connect(), destroy],
])('clients that come while the connection is opened are told of their grants, through %s', async (_, open, close) => {
  const client = await open()
  const { come, wereAllTold } = clientsOf(client as RedisClient)
  for (let i = 0; i < 50; i += 1) {
    void come()
    await nextTurn()
  }
  await wereAllTold()
  close(client)
})

/** Shows the connections that are opened for pushes. */
class Watched extends Redis {
  readonly opened: Redis[] = []
  onOpened: (opened: Redis) => void = () => {}
  override duplicate(options?: Partial<RedisOptions>): Redis {
    const opened = super.duplicate(options)
    this.opened.push(opened)
    this.onOpened(opened)
    return opened
  }
}

test('clients that come while the connection is opened again are told of their grants, through ioredis', async () => {
  const client = new Watched(server.url)
  const { backend, pushes, come, wereAllTold } = clientsOf(client)
  await come()
  const watching: Promise<unknown>[] = []
  client.onOpened = opened => {
    // These subscribe at once, in the middle of the greeting.
    opened.once('connect', () => {
      for (const one of ['a', 'b']) watching.push(backend.watch('lock', 'nobody', one))
    })
  }
  client.opened[0]?.disconnect(true)
  while (!pushes.some(({ type }) => type === 'gap')) {
    void come()
    await nextTurn()
  }
  expect(await Promise.all(watching)).toEqual([{ status: 'gone' }, { status: 'gone' }])
  await wereAllTold()
  client.disconnect()
})
