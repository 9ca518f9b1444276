import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { connect, type Lease, type Soloist } from 'soloist'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'

const CLIENTS = 4
const WAITERS = 1_000

let server: RedisServer
let admin: Redis
beforeAll(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
})
afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

/** Queues a thousand claims of these clients, one after the other, and tells who is granted in which order. */
async function queue(clients: readonly Soloist[], name: string) {
  const granted: number[] = []
  const leases: Promise<void>[] = []
  for (let i = 0; i < WAITERS; i++) {
    const client = clients[i % clients.length] as Soloist
    const waiting = once(client, 'waiting')
    const served = client.lock(name).then(async lease => {
      granted.push(i)
      await lease.release()
    })
    leases.push(served)
    await waiting
  }
  return { granted, served: Promise.all(leases) }
}

async function withClients(run: (clients: readonly Soloist[], held: Lease, name: string) => Promise<void>) {
  const clients = Array.from({ length: CLIENTS }, () => connect(server.url))
  const holder = connect(server.url)
  try {
    await run(clients, await holder.lock('lock'), 'lock')
  } finally {
    await Promise.all([...clients, holder].map(client => client.close()))
  }
}

/** How many scripts clients have asked the server to run since its counters were reset. */
async function scriptCalls(): Promise<number> {
  const stats = await admin.info('commandstats')
  return [...stats.matchAll(/cmdstat_(?:evalsha|eval):calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0)
}

test('a thousand waiters of four clients are served in their order, with at most three script calls a hand-off', async () => {
  await withClients(async (clients, held, name) => {
    const { granted, served } = await queue(clients, name)
    expect((await clients[0]?.inspect(name))?.waiting).toBe(WAITERS)
    await admin.config('RESETSTAT')
    await held.release()
    await served
    expect(granted).toEqual(Array.from({ length: WAITERS }, (_, i) => i))
    expect(await scriptCalls()).toBeLessThanOrEqual(3 * WAITERS)
    expect(await clients[0]?.inspect(name)).toBe(null)
  })
}, 60_000)

test('a thousand waiters of one client are handed the lock by one script call each', async () => {
  await withClients(async ([client], _held, name) => {
    const first = await (client as Soloist).lock(`${name} of one`)
    const { granted, served } = await queue([client as Soloist], `${name} of one`)
    await admin.config('RESETSTAT')
    await first.release()
    await served
    expect(granted).toEqual(Array.from({ length: WAITERS }, (_, i) => i))
    // Each claim's release, and now and then a renewal.
    expect(await scriptCalls()).toBeLessThanOrEqual(WAITERS + 10)
  })
}, 60_000)

test('a thousand waiters of four clients that wait cost less than five commands a second', async () => {
  await withClients(async (clients, held, name) => {
    const { granted, served } = await queue(clients, name)
    const monitor = await admin.monitor()
    const commands: string[][] = []
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      if (source !== 'lua') commands.push(args)
    })
    // Time has to pass here: what is measured is how much happens in it.
    const sinceMs = performance.now()
    await sleep(8_000)
    monitor.disconnect()
    const seconds = (performance.now() - sinceMs) / 1_000
    expect(granted).toEqual([])
    // Each client has shown itself alive, so the count is not that of a queue that was given up.
    expect(commands.length).toBeGreaterThanOrEqual(CLIENTS)
    expect(commands.length / seconds).toBeLessThan(5)
    await held.release()
    await served
  })
}, 60_000)
