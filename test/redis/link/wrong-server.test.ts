import { Redis } from 'ioredis'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { expect, test } from 'vitest'
import { Stage } from '../../faults/support.js'
import { startRedis } from '../../support/redis-server.js'
import { queued, storeFault, storeFaults } from './support.js'

// A failover of a managed Redis: the name moves, and the open connections stay with the server that was the primary.

const PATIENCE = { timeout: 20_000 }
/** Nobody listens on this port. */
const NOBODY = 1

async function started() {
  const server = await startRedis({ config: 'repl-diskless-sync-delay 0\nrdbcompression no' })
  const admin = new Redis(server.url)
  const stop = async () => {
    admin.disconnect()
    await server.stop()
  }
  return { server, admin, [Symbol.asyncDispose]: stop }
}

async function replicaOf(stage: Stage) {
  const replica = await started()
  await replica.admin.replicaof('127.0.0.1', stage.server.port)
  await expect.poll(() => replica.admin.info('replication'), PATIENCE).toContain('master_link_status:up')
  return replica
}

test('a primary that was demoted is left for the new one: the lease is kept, and the waiter is told of its turn', async () => {
  await using stage = await Stage.open({ config: 'repl-diskless-sync-delay 0' })
  await using replica = await replicaOf(stage)
  const [solo, waiter] = [stage.behindProxy(), stage.behindProxy()]
  const lease = await solo.lock('held', { ttlMs: 60_000 })
  const { granted } = await queued(waiter, 'held')
  await stage.hears(waiter, 'held')
  // It is of the writes of its own connection that WAIT tells.
  await stage.admin.set('written', '1')
  expect(await stage.admin.wait(1, 10_000)).toBe(1)

  await replica.admin.replicaof('NO', 'ONE')
  stage.proxy.retarget(replica.server.port)
  await stage.admin.replicaof('127.0.0.1', replica.server.port)
  const fault = storeFault(solo)
  await lease.renew()
  expect(await fault).toMatchObject({ error: { cause: { message: expect.stringMatching(/^(READONLY|LOADING)/) } } })
  expect(await replica.admin.get('soloist:held')).toBe(lease.owner)
  await lease.release()
  const next = await granted
  expect(next.fence).toBeGreaterThan(lease.fence)
  expect(await replica.admin.get('soloist:held')).toBe(next.owner)
})

test('a server that lost its primary and tells no more is left for one that answers', async () => {
  await using stage = await Stage.open({ config: 'replica-serve-stale-data no' })
  await using other = await started()
  const solo = stage.behindProxy()
  await (await solo.lock('warm-up')).release()
  stage.proxy.retarget(other.server.port)
  await stage.admin.replicaof('127.0.0.1', NOBODY)
  const fault = storeFault(solo)
  const lease = await solo.lock('a')
  expect(await fault).toMatchObject({ error: { cause: { message: expect.stringContaining('MASTERDOWN') } } })
  await lease.release()
  await solo.close()
})

test.each([1, 3])(
  'a server that lost its replicas is left for one that takes writes, with %d steps in a call',
  async count => {
    await using stage = await Stage.open()
    await using other = await started()
    const solo = stage.behindProxy()
    await (await solo.lock('warm-up')).release()
    stage.proxy.retarget(other.server.port)
    await stage.admin.config('SET', 'min-replicas-to-write', '1')
    const fault = storeFault(solo)
    const names = Array.from({ length: count }, (_, i) => `lock ${i}`)
    const leases = await Promise.all(names.map(name => solo.tryLock(name)))
    expect(await fault).toMatchObject({ error: { cause: { message: expect.stringMatching(/^NOREPLICAS/) } } })
    expect(await other.admin.mget(names.map(name => `soloist:${name}`))).toEqual(leases.map(lease => lease?.owner))
    expect(await stage.admin.exists(names.map(name => `soloist:${name}`))).toBe(0)
    await Promise.all(leases.map(lease => lease?.release()))
  },
)

test('a server that loads the data of another is left for that one', async () => {
  await using stage = await Stage.open({ config: 'key-load-delay 100000\nloading-process-events-interval-bytes 1024' })
  await using other = await started()
  for (let i = 0; i < 100; i++) await other.admin.set(`key ${i}`, 'x'.repeat(1_000))
  const solo = stage.behindProxy()
  await (await solo.lock('warm-up')).release()
  await stage.admin.replicaof('127.0.0.1', other.server.port)
  const said = () => stage.admin.get('x').catch((error: Error) => error.message)
  await expect.poll(said, PATIENCE).toMatch(/^LOADING/)
  stage.proxy.retarget(other.server.port)
  const fault = storeFault(solo)
  const lease = await solo.tryLock('a')
  expect(await fault).toMatchObject({ error: { cause: { message: expect.stringMatching(/^LOADING/) } } })
  expect(await other.admin.get('soloist:a')).toBe(lease?.owner)
})

test('where there is no better server the call fails with what the server said, and connections are not opened without end', async () => {
  await using stage = await Stage.open()
  const solo = stage.behindProxy()
  await (await solo.lock('warm-up')).release()
  await stage.admin.replicaof('127.0.0.1', NOBODY)
  const faults = storeFaults(solo)
  const stats = async () => Number(/total_connections_received:(\d+)/.exec(await stage.admin.info('stats'))?.[1])
  const before = await stats()
  for (let i = 0; i < 10; i++) {
    await expect(solo.tryLock('a')).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      cause: { message: expect.stringContaining('READONLY') },
    })
  }
  expect((await stats()) - before).toBeLessThan(40)
  expect(faults).toHaveLength(1)
  await stage.admin.replicaof('NO', 'ONE')
  await (await solo.lock('b', { waitMs: 10_000 })).release()
})

test("a connection of the application's is not touched, and a fault tells of it", async () => {
  await using stage = await Stage.open()
  const client = new Redis(stage.proxy.url)
  await using solo = connect(redisBackend(client))
  await (await solo.lock('warm-up')).release()
  const id = await client.client('ID')
  await stage.admin.replicaof('127.0.0.1', NOBODY)
  const fault = storeFault(solo)
  await expect(solo.tryLock('a')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  expect(await fault).toMatchObject({ error: { message: expect.stringContaining('left as it is') } })
  await stage.admin.replicaof('NO', 'ONE')
  expect(await client.client('ID')).toBe(id)
  await solo.close()
  client.disconnect()
})
