import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { createClient } from 'redis'
import type { RedisClient } from 'soloist/redis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../support/redis-cluster.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { portClient } from './support.js'

// A client is told of its grants by one connection. Claims may come at any moment of its life: before it is there, in the
// middle of its greeting, and while it is opened again.

let server: RedisServer
let cluster: RedisCluster
beforeAll(async () => {
  ;[server, cluster] = await Promise.all([startRedis(), startCluster()])
})
afterAll(() => Promise.all([server.stop(), cluster.stop()]))

const destroy = (client: unknown) => (client as ReturnType<typeof createClient>).destroy()
const disconnect = (client: unknown) => (client as Redis | Cluster).disconnect()

/** A client whose claims each wait for a lock of their own, and another client, which holds these locks. */
function clientsOf(target: RedisClient) {
  const prefix = `${randomUUID()}:`
  const [holder, client] = [portClient(target, prefix), portClient(target, prefix)]
  const waiting: Promise<readonly [string, string]>[] = []
  const wait = async (i: number) => {
    const [held, claim] = [holder.claim(`lock ${i}`), client.claim(`lock ${i}`)]
    await holder.take(held)
    await client.queue(claim)
    return [claim.name, claim.owner] as const
  }
  /** As core does when it was told of a gap: what that grants is not pushed. */
  const granted = async () => {
    const claims = await Promise.all(waiting)
    return await Promise.all(claims.map(async ([name]) => (await holder.backend.inspect(name))?.holders[0]?.owner))
  }
  return {
    client,
    come: () => {
      const came = wait(waiting.length)
      waiting.push(came)
      return came
    },
    wereAllTold: async () => {
      const claims = await Promise.all(waiting)
      await client.hears()
      await Promise.all(claims.map(([name]) => client.acquire(client.claim(name))))
      const locks = await Promise.all(claims.map(([name]) => holder.backend.inspect(name)))
      // All at once: a grant that nobody confirms does not stand for long.
      await Promise.all(
        locks.map(async lock => {
          const [{ owner } = { owner: '' }] = lock?.holders ?? []
          await holder.backend.run([{ kind: 'release', name: String(lock?.name), owner, result: null }])
        }),
      )
      expect(await granted()).toEqual(claims.map(([, owner]) => owner))
      const told = () => client.events.flatMap(event => (event.type === 'granted' ? [event.owner] : []))
      await expect.poll(() => told().toSorted()).toEqual(claims.map(([, owner]) => owner).toSorted())
      await Promise.all([holder, client].map(({ backend }) => backend.close()))
    },
  }
}

test.each([
  ['ioredis', async () => new Redis(server.url), disconnect],
  ['a Cluster of ioredis', async () => new Cluster(cluster.addresses.split(',')), disconnect],
  ['node-redis', async () => await createClient({ url: server.url }).connect(), destroy],
])('claims that come while the connection is opened are told of their grants, through %s', async (_, open, close) => {
  const target = await open()
  const { come, wereAllTold } = clientsOf(target as RedisClient)
  for (let i = 0; i < 50; i += 1) {
    void come()
    await nextTurn()
  }
  await wereAllTold()
  close(target)
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

test('claims that come while the connection is opened again are told of their grants, through ioredis', async () => {
  const target = new Watched(server.url)
  const { client, come, wereAllTold } = clientsOf(target)
  await come()
  await client.hears()
  const gaps = () => client.events.filter(({ type }) => type === 'gap').length
  const before = gaps()
  const watching: Promise<unknown>[] = []
  target.onOpened = opened => {
    // This subscribes at once, in the middle of the greeting.
    opened.once('connect', () => {
      watching.push(client.backend.results?.watch({ name: 'lock', owner: 'nobody' }) as Promise<unknown>)
    })
  }
  target.opened[0]?.disconnect(true)
  // A few at a time: a slow machine would have more of them than it can tell of their grants while these stand.
  const comeAgain = async () => {
    while (gaps() === before) await come()
  }
  await Promise.all([comeAgain(), comeAgain(), comeAgain()])
  expect(await Promise.all(watching)).toEqual([{ status: 'gone' }])
  await wereAllTold()
  target.disconnect()
})
