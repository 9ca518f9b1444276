import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { connect, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../support/redis-server.js'

let server: RedisServer
let folder: string
let socket: string
let admin: Redis
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'soloist socket-'))
  socket = join(folder, 'redis.sock')
  server = await startRedis({ config: `unixsocket "${socket}"\nrequirepass s3cr:t/\n` })
  admin = new Redis({ port: server.port, password: 's3cr:t/', db: 2 })
})
afterAll(async () => {
  admin.disconnect()
  await server.stop()
  await rm(folder, { recursive: true })
})

async function handsOver(solo: Soloist): Promise<void> {
  const first = await solo.lock('lock')
  expect(await admin.get('soloist:lock')).toBe(first.owner)
  const second = solo.lock('lock')
  await once(solo, 'waiting')
  await first.release()
  await (await second).release()
  await solo.close()
}

describe('a Unix socket', () => {
  const encoded = () => encodeURI(socket)
  test.each<[string, () => string]>([
    ['redis+unix://:password@/path?db=2', () => `redis+unix://:s3cr%3At%2F@${encoded()}?db=2`],
    ['redis+unix://user:password@/path?db=2', () => `redis+unix://default:s3cr%3At%2F@${encoded()}?db=2`],
    ['unix://:password@/path?db=2', () => `unix://:s3cr%3At%2F@${encoded()}?db=2`],
  ])('%s', async (_, url) => {
    await handsOver(connect(url()))
  })

  test('by options of ioredis', async () => {
    await handsOver(connect(redisBackend({ path: socket, password: 's3cr:t/', db: 2 })))
  })

  test('that is not there: one clear error, without the password', async () => {
    await using solo = connect(`redis+unix://:s3cret@${folder}/none.sock`)
    const error: unknown = await solo.lock('lock').catch(reason => reason)
    expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: { code: 'ENOENT' } })
    for (let at: unknown = error; at instanceof Error; at = at.cause) expect(at.stack).not.toContain('s3cret')
  })
})

test('options of ioredis name the server, the database and the prefix; what else they say does not make a lock fail', async () => {
  const options = { host: server.host, port: server.port, password: 's3cr:t/', db: 2, keyPrefix: 'app:' }
  const habits = { enableOfflineQueue: false, lazyConnect: true, maxRetriesPerRequest: 0, commandTimeout: 1 }
  await using solo = connect(redisBackend({ ...options, ...habits }))
  const lease = await solo.lock('lock')
  expect(await admin.get('app:soloist:lock')).toBe(lease.owner)
  const second = solo.lock('lock')
  await once(solo, 'waiting')
  await lease.release()
  await (await second).release()
})

test.each([
  'redis+sentinel://',
  'redis+sentinel://:secret@host',
  'redis+sentinel://:secret@host:26379/',
  'redis+sentinel://:secret@host:port/name',
  'redis+sentinel://:secret@host,/name',
  'redis+sentinel://:secret@host/name/zero',
  'redis+sentinel://:secret@host/name/-1',
  'redis+sentinel://:secret@host/name/0/1',
  'redis+sentinel://:secret@host/name?sentinelPassword=secret',
  'redis+sentinel://:secret%@host/name',
  'redis+unix://:secret@host/path',
  'redis+unix:secret',
  'redis+unix:///secret?db=one',
  'redis+unix:///secret?password=secret',
  'unix://secret',
  'redis+other://secret',
])('%s is refused without being repeated', url => {
  for (const refuse of [() => connect(url), () => redisBackend(url)]) {
    expect(refuse).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    expect(refuse).not.toThrow(/secret/)
  }
})

test.each([{}, { port: 6379 }, { host: '' }, { path: 1 }, { sentinels: [] }, { sentinels: [{ host: 'a' }] }])(
  'options that name no server are refused: %o',
  options => {
    expect(() => redisBackend(options as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  },
)
