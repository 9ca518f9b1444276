import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../support/redis-server.js'
import { storeFault, storeFaults } from './support.js'

// A Redis that is set up as a cache throws away locks, which nobody notices before two clients hold the same one.

let server: RedisServer
let admin: Redis
beforeAll(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
})
afterEach(async () => {
  await admin.config('SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction')
})
afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

const asCache = (policy: string, memory = '100mb') =>
  admin.config('SET', 'maxmemory', memory, 'maxmemory-policy', policy)

describe.each(['allkeys-lru', 'volatile-ttl'])('%s', policy => {
  test('is told once, by a fault that names it', async () => {
    await asCache(policy)
    await using solo = connect(server.url)
    const faults = storeFaults(solo)
    const fault = storeFault(solo)
    for (let i = 0; i < 3; i++) await (await solo.lock('a')).release()
    expect(await fault).toMatchObject({
      name: null,
      error: { code: 'BACKEND_UNSAFE', message: expect.stringContaining(policy) },
    })
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await expect.poll(async () => (await solo.lock('a')).release().then(() => 'ok')).toBe('ok')
    expect(faults.filter(message => message.includes(policy))).toHaveLength(1)
  })
})

test("is told of a client of the application's, too", async () => {
  await asCache('allkeys-lfu')
  const client = await createClient({ url: server.url }).connect()
  await using solo = connect(redisBackend(client))
  const fault = storeFault(solo)
  await (await solo.lock('a')).release()
  expect(await fault).toMatchObject({ error: { code: 'BACKEND_UNSAFE' } })
  await solo.close()
  client.destroy()
})

test('the process is warned, once', async () => {
  await asCache('volatile-lru')
  const script = `
    import { connect } from 'soloist'
    for (let i = 0; i < 2; i++) {
      const solo = connect(process.argv[1])
      const told = new Promise(resolve => solo.once('fault', resolve))
      await (await solo.lock('a')).release()
      await told
      await solo.close()
    }`
  const args = ['--input-type=module', '-e', script, server.url]
  const { stderr } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 })
  expect(stderr.match(/SOLOIST_EVICTION/g)).toHaveLength(1)
  expect(stderr).toContain('maxmemory-policy volatile-lru')
})

test.each([
  ['a policy that evicts nothing', () => asCache('noeviction')],
  ['a memory without bound', () => asCache('allkeys-lru', '0')],
])('%s is told to nobody', async (_, set) => {
  await set()
  await using solo = connect(server.url)
  const faults = storeFaults(solo)
  const asked = expect.poll(async () => await admin.info('commandstats')).toMatch(/cmdstat_info:calls=/)
  await (await solo.lock('a')).release()
  await asked
  await (await solo.lock('b')).release()
  expect(faults).toEqual([])
})

test('a user who may not ask takes locks all the same, and is told nothing', async () => {
  await asCache('allkeys-lru')
  await admin.call('ACL', 'SETUSER', 'blind', 'on', '>pw', '~*', '&*', '+@all', '-info', '-config')
  const client = new Redis({ port: server.port, username: 'blind', password: 'pw', enableReadyCheck: false })
  await using solo = connect(redisBackend(client))
  const faults = storeFaults(solo)
  for (const name of ['a', 'b']) await (await solo.lock(name)).release()
  expect(faults).toEqual([])
  await solo.close()
  client.disconnect()
})
