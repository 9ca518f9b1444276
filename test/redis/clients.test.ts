import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type RedisOptions as IoredisOptions, Redis } from 'ioredis'
import { createClient, createClientPool } from 'redis'
import { type Claim, connect } from 'soloist'
import { CeleryLocks } from 'soloist/celery'
import { redisBackend } from 'soloist/redis'
import { describe, expect, test } from 'vitest'
import { freePort, type RedisOptions, startRedis } from '../support/redis-server.js'
import { begin, portClient, release, trigger } from './support.js'

const url = String(process.env.SOLOIST_TEST_REDIS)
const tlsFile = (name: string) => fileURLToPath(new URL(`../support/tls/${name}`, import.meta.url))

/** Takes a lock, waits for it a second time, gives it back, closes, and is done. */
const HAND_OVER = `
  import { once } from 'node:events'
  import { connect } from 'soloist'
  const solo = connect(process.argv[1])
  const held = await solo.lock('ends', { ttlMs: 60_000 })
  const waiting = solo.lock('ends', { ttlMs: 60_000 })
  await once(solo, 'waiting')
  await held.release()
  await (await waiting).release()
  await solo.close()
  console.log('closed')`

/** Runs a script in a process of its own, until it ends by itself, and tells what it printed. */
async function runScript(
  script: string,
  given: string | readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const args = ['--input-type=module', '-e', script, ...[given].flat()]
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    timeout: 28_000,
    env: { ...process.env, ...env },
  })
  return stdout
}

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), 'soloist-clients-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

async function started(options: RedisOptions) {
  const server = await startRedis(options)
  return { port: server.port, [Symbol.asyncDispose]: () => server.stop() }
}

/** How many connections with this database listen for pushes. Other tests, which use the same server, have others. */
async function subscribers(admin: Redis, database: number): Promise<number> {
  const list = String(await admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub'))
  return list.split('\n').filter(line => line.includes(` db=${database} `)).length
}

describe('a client of the application', () => {
  test('of ioredis is used as it is: its database, its key prefix; it is not closed, and no subscription is left', async () => {
    const admin = new Redis(url)
    const client = new Redis(url, { db: 3, keyPrefix: 'app:' })
    const solo = connect(redisBackend(client, { prefix: 'locks:' }))
    const lease = await solo.lock('a')
    await admin.select(3)
    expect(await admin.get('app:locks:a')).toBe(lease.owner)
    const waiting = solo.lock('a')
    await once(solo, 'waiting')
    await expect.poll(() => subscribers(admin, 3)).toBe(1)
    // A connection that listens or blocks could not answer this.
    expect(await client.set('mine', '1', 'EX', 60)).toBe('OK')
    await lease.release()
    const next = await waiting
    expect(await client.get('locks:a')).toBe(next.owner)
    const names = []
    for await (const { name } of solo.list()) names.push(name)
    expect(names).toEqual(['a'])
    await next.release()
    await solo.close()
    expect(client.status).toBe('ready')
    expect(await client.get('mine')).toBe('1')
    await expect.poll(() => subscribers(admin, 3)).toBe(0)
    await client.del('mine')
    client.disconnect()
    admin.disconnect()
  })

  test('of node-redis is used as it is: its database, its key prefix; it is not closed, and no subscription is left', async () => {
    const admin = new Redis(url, { db: 4 })
    const client = await createClient({ url, database: 4, keyPrefix: 'app:' }).connect()
    const solo = connect(redisBackend(client, { prefix: 'locks:' }))
    const lease = await solo.lock('a')
    expect(await admin.get('app:locks:a')).toBe(lease.owner)
    const waiting = solo.lock('a')
    await once(solo, 'waiting')
    await expect.poll(() => subscribers(admin, 4)).toBe(1)
    expect(await client.set('mine', '1', { EX: 60 })).toBe('OK')
    await lease.release()
    await (await waiting).release()
    await solo.close()
    expect(client.isReady).toBe(true)
    expect(await client.get('mine')).toBe('1')
    await expect.poll(() => subscribers(admin, 4)).toBe(0)
    await client.del('mine')
    client.destroy()
    admin.disconnect()
  })

  test('that answers with buffers, or with strings for numbers, is understood', async () => {
    const client = await createClient({ url, commandOptions: { typeMapping: { 36: Buffer } } }).connect()
    const texts = new Redis(url, { stringNumbers: true })
    for (const backend of [redisBackend(client), redisBackend(texts)]) {
      await using solo = connect(backend)
      const lease = await solo.lock('buffers', { meta: 'why' })
      const waiting = solo.lock('buffers')
      await once(solo, 'waiting')
      expect(await solo.inspect('buffers')).toMatchObject({
        waiting: 1,
        holders: [{ owner: lease.owner, fence: lease.fence, meta: 'why' }],
      })
      await lease.release()
      expect((await waiting).fence).toBeGreaterThan(lease.fence)
      await (await waiting).release()
    }
    client.destroy()
    texts.disconnect()
  })

  test.each<[string, IoredisOptions & { replyMapping?: 'resp3' }]>([
    ['as they are by default', {}],
    ['enableOfflineQueue: false', { enableOfflineQueue: false }],
    ['lazyConnect', { lazyConnect: true }],
    ['both', { lazyConnect: true, enableOfflineQueue: false }],
    ['maxRetriesPerRequest: 0', { maxRetriesPerRequest: 0 }],
    ['maxRetriesPerRequest: null', { maxRetriesPerRequest: null }],
    ['enableAutoPipelining', { enableAutoPipelining: true }],
    ['enableReadyCheck: false', { enableReadyCheck: false }],
    ['commandTimeout', { commandTimeout: 2_000 }],
    ['autoResubscribe: false', { autoResubscribe: false }],
    ['keyPrefix', { keyPrefix: 'app:' }],
    ['readOnly', { readOnly: true }],
    ['RESP3', { protocol: 3, replyMapping: 'resp3' }],
    ['no reconnection', { retryStrategy: () => null }],
  ])('of ioredis hands a lock over by a push, with its options %s', async (_, options) => {
    const client = new Redis(url, { ...options, db: 5 })
    // An application that wants no queue waits until it is connected.
    if (client.status === 'wait') await client.connect()
    else await once(client, 'ready')
    const prefix = `${randomUUID()}:`
    const solo = connect(redisBackend(client, { prefix }))
    const other = connect(redisBackend(client, { prefix }))
    const first = await other.lock('a')
    const waiting = solo.lock('a')
    await once(solo, 'waiting')
    await first.release()
    const second = await waiting
    expect((await other.inspect('a'))?.holders).toMatchObject([{ owner: second.owner }])
    await second.release()
    await Promise.all([solo.close(), other.close()])
    client.disconnect()
  })

  test.each<[string, string, () => Promise<{ client: unknown; end: () => unknown }>]>([
    [
      "node-redis' createClientPool",
      'give a client of createClient',
      async () => {
        const client = createClientPool({ url })
        await client.connect()
        return { client, end: () => client.destroy() }
      },
    ],
    [
      'ioredis in subscriber mode',
      'subscriber mode',
      async () => {
        const client = new Redis(url, { protocol: 2 })
        await client.subscribe('anything')
        return { client, end: () => client.disconnect() }
      },
    ],
    [
      'ioredis in monitor mode',
      'monitor mode',
      async () => {
        // A monitor is sent the commands of all clients: on the server that tests share these are those of other tests.
        const server = await startRedis()
        const parent = new Redis(server.url)
        const client = (await parent.monitor()) as Redis
        parent.disconnect()
        return {
          client,
          end: async () => {
            client.disconnect()
            await server.stop()
          },
        }
      },
    ],
  ])('of %s is refused with what to give instead: %s', async (_, advice, open) => {
    const { client, end } = await open()
    expect(() => redisBackend(client as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(advice) }),
    )
    expect(() => new CeleryLocks(client as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    await end()
  })

  test('of ioredis that starts to listen later fails with a text that says so, and holds nothing', async () => {
    const client = new Redis(url, { protocol: 2 })
    await using solo = connect(redisBackend(client, { prefix: `${randomUUID()}:` }))
    await client.subscribe('anything')
    await expect(solo.lock('a')).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      cause: { message: expect.stringContaining('subscriber mode') },
    })
    client.disconnect()
  })

  test('is nothing else', () => {
    for (const target of [null, undefined, 1, {}, [], new Map(), { sendCommand() {} }]) {
      expect(() => redisBackend(target as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
  })
})

describe('a URL', () => {
  test.each([
    'redis://',
    'http://127.0.0.1',
    'redis://:secret@127.0.0.1:6379/zero',
    'redis://:secret@127.0.0.1:6379/-1',
    'redis://:secret@127.0.0.1:6379/1.5',
    'redis://:secret@127.0.0.1:6379/0/1',
    'redis://:secret@127.0.0.1:6379/2147483647',
    'redis://:secret@127.0.0.1:6379?db=zero',
    'redis://:secret@127.0.0.1:99999',
    'not a url with secret',
  ])('that cannot be taken (%s) is refused without being repeated', target => {
    const refuse = () => redisBackend(target)
    expect(refuse).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    expect(refuse).not.toThrow(/secret/)
  })

  test('with user, password and database: a user with the rights the documentation lists can do everything', async () => {
    const commands =
      '+evalsha +eval +get +mget +set +del +exists +pexpire +persist +pttl +time +publish +subscribe +scan ' +
      '+zadd +zrem +zcard +zcount +zscore +zrange +hset +hget +hmget +hdel +hlen +hexists ' +
      '+hello +info +select +ping +client|setname'
    const rights = `resetkeys ~soloist:* ~{soloist:* resetchannels &soloist:* -@all ${commands}`
    await using server = await started({ config: `user locks on >s3cret ${rights}` })
    await using solo = connect(`redis://locks:s3cret@127.0.0.1:${server.port}/2`)
    const held = await solo.lock('a', { meta: 'why' })
    const waiting = solo.lock('a')
    await once(solo, 'waiting')
    await held.renew()
    await held.release()
    const next = await waiting
    await using permit = await solo.semaphore('s', 2).lock({ meta: 'why' })
    const names = []
    for await (const { name, holders } of solo.list()) names.push([name, holders[0]?.owner])
    expect(names.sort()).toEqual([
      ['a', next.owner],
      ['s', permit.owner],
    ])
    expect(await solo.clear('a')).toBe(1)

    // What jobs need of the store.
    const one = portClient(`redis://locks:s3cret@127.0.0.1:${server.port}/2`, 'soloist:')
    const [first, second, third] = [1, 2, 3].map(() => one.claim('job', { durable: true })) as [Claim, Claim, Claim]
    const displacing = { running: 'displace', pending: 'displace' } as const
    const { steps: jobs } = await one.run(
      ...[trigger(first), trigger(second), trigger(third, displacing), trigger(one.claim('job'))],
      ...[release(first, { text: 'result', keepMs: 1_000 }), begin(third), release(third), begin(second)],
    )
    expect(jobs.map(({ status }) => status)).toEqual([
      ...['granted', 'busy', 'busy', 'met', 'released', 'begun', 'released', 'displaced'],
    ])
    await one.backend.close()

    await using wrong = connect(`redis://locks:wr0ng@127.0.0.1:${server.port}`)
    const error = await wrong.lock('a').catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    for (let at: unknown = error; at instanceof Error; at = at.cause) expect(`${at.stack}`).not.toContain('wr0ng')
  })

  test('with TLS: a certificate that is trusted is used, another is refused', async () => {
    const port = await freePort()
    const tls = [`tls-port ${port}`, `tls-cert-file ${tlsFile('cert.pem')}`, `tls-key-file ${tlsFile('key.pem')}`]
    await using _server = await started({ config: [...tls, 'tls-auth-clients no'].join('\n') })
    const trusting = await runScript(HAND_OVER, `rediss://127.0.0.1:${port}`, {
      NODE_EXTRA_CA_CERTS: tlsFile('cert.pem'),
    })
    expect(trusting).toBe('closed\n')
    await using untrusting = connect(`rediss://127.0.0.1:${port}`)
    await expect(untrusting.inspect('a')).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
    })
  })
})

test('a process that has closed its locks ends by itself', async () => {
  expect(await runScript(HAND_OVER, url)).toBe('closed\n')
})

/** Holds a lock, closes nothing, and tells if it ends by itself. What keeps it is given so many milliseconds. */
const LEFT_OPEN = `
  import { connect } from 'soloist'
  await connect(process.argv[1]).lock('left', { ttlMs: 3_000 })
  process.once('beforeExit', () => console.log('ended by itself'))
  setTimeout(() => process.exit(), Number(process.argv[2])).unref()`

test.each([
  ['memory:', 'ended by itself\n'],
  ['sqlite:', 'ended by itself\n'],
  ['redis:', ''],
])('a process that has not closed its locks is kept by a connection alone: %s', async (kind, printed) => {
  await using folder = await temporaryFolder()
  const targets: Record<string, string> = { 'redis:': url, 'sqlite:': `sqlite:${folder.path}/locks.db` }
  const keptMs = printed === '' ? 1_000 : 15_000
  expect(await runScript(LEFT_OPEN, [targets[kind] ?? kind, String(keptMs)])).toBe(printed)
})
