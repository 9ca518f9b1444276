// Redis behind a Sentinel: a client of ioredis asks it who the primary is, and asks again after a failover.
import { Redis } from 'ioredis'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'

const NAME = 'locks'
/** A Sentinel demotes the old primary some ten seconds after it has promoted the new one. */
const SWITCH = { timeout: 40_000 }

let primary: RedisServer
let replica: RedisServer
let sentinel: RedisServer
let admin: Redis

beforeAll(async () => {
  primary = await startRedis()
  replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(primary.port)] })
  const config = [
    `sentinel monitor ${NAME} 127.0.0.1 ${primary.port} 1`,
    `sentinel down-after-milliseconds ${NAME} 20000`,
    `sentinel failover-timeout ${NAME} 20000`,
  ]
  sentinel = await startRedis({ sentinel: true, config: config.join('\n') })
  admin = new Redis(sentinel.port)
})

afterAll(async () => {
  admin.disconnect()
  await Promise.all([sentinel, replica, primary].map(server => server.stop()))
})

/** How many replicas the Sentinel knows that it could promote. */
async function goodReplicas(): Promise<number> {
  const replicas = (await admin.call('SENTINEL', 'REPLICAS', NAME)) as string[][]
  return replicas.filter(fields => fields[fields.indexOf('master-link-status') + 1] === 'ok').length
}

/** The port of the server that this client is connected to. */
async function portOf(client: Redis): Promise<number> {
  const [, port] = (await client.config('GET', 'port')) as string[]
  return Number(port)
}

test('locks, waiters and hand-overs go on after the Sentinel has made the replica the primary', async () => {
  await expect.poll(goodReplicas).toBe(1)
  const clients = [1, 2].map(() => new Redis({ sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: NAME }))
  // Between two primaries there is none for a moment, which ioredis reports and gets over.
  for (const client of clients) client.on('error', () => {})
  const [one, two] = clients.map(client => connect(redisBackend(client))) as [
    ReturnType<typeof connect>,
    ReturnType<typeof connect>,
  ]

  const first = await one.lock('report', { ttlMs: 60_000 })
  const second = two.lock('report', { ttlMs: 60_000 })
  await expect.poll(async () => (await one.inspect('report'))?.waiting).toBe(1)

  await clients[0]?.wait(1, 10_000)
  await admin.call('SENTINEL', 'FAILOVER', NAME)
  // Until the Sentinel has demoted the old primary, that one still answers.
  for (const client of clients) await expect.poll(() => portOf(client), SWITCH).toBe(replica.port)
  await first.renew()
  expect((await one.inspect('report'))?.holders.map(({ owner }) => owner)).toEqual([first.owner])

  await first.release()
  const lease = await second
  expect(lease.fence).toBeGreaterThan(first.fence)
  const promoted = new Redis(replica.port)
  expect(await promoted.get('soloist:report')).toBe(lease.owner)
  promoted.disconnect()

  await Promise.all([one.close(), two.close()])
  for (const client of clients) client.disconnect()
}, 90_000)
