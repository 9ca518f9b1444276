import { once } from 'node:events'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'

// Anybody may publish on the channel by which a client is told of its grants: a tool, or a newer version of this package.

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

const STRAYS = [
  ...['', 'hello', '{', 'null', '1', '"soloist:x"', '{}', '[]', '[null]', '[1,2,3]', '[[],{}]', '{"length":2}'],
  ...['["soloist:x"]', '["soloist:x",7]', '["soloist:x",null,"1","x",false]', '[{"includes":1},"o","1","x"]'],
  ...['["soloist:x","o","one","x",false]', '["soloist:x","o","1","w",false]', '["soloist:x","o",{},"x",{}]'],
  ...[
    '["other:x","o","1","x",false]',
    '["soloist:","o","1","x",false]',
    '{"v":2,"grant":{"name":"x"}}',
    '\u0000',
    '[]]',
  ],
]

test.each([
  ['a URL', async () => ({ backend: redisBackend(server.url), end: () => {} })],
  [
    'ioredis',
    async () => {
      const client = new Redis(server.url)
      return { backend: redisBackend(client), end: () => client.disconnect() }
    },
  ],
  [
    'node-redis',
    async () => {
      const client = await createClient({ url: server.url }).connect()
      return { backend: redisBackend(client), end: () => client.destroy() }
    },
  ],
])('a message that is no grant changes nothing, through %s', async (_, open) => {
  const uncaught: unknown[] = []
  const note = (error: unknown) => uncaught.push(error)
  process.on('uncaughtException', note)
  const admin = new Redis(server.url)
  const { backend, end } = await open()
  const solo = connect(backend)
  const first = await solo.lock('x')
  const waiting = solo.lock('x')
  await once(solo, 'waiting')
  const [channel] = (await admin.pubsub('CHANNELS', 'soloist:grants:*')) as string[]
  for (const message of STRAYS) expect(await admin.publish(String(channel), message)).toBe(1)
  expect((await solo.inspect('x'))?.holders).toMatchObject([{ owner: first.owner }])
  // Its grant comes behind them, by the same connection.
  const other = connect(redisBackend(admin))
  await other.unlock('x', { owner: first.owner })
  const second = await waiting
  expect((await other.inspect('x'))?.holders).toMatchObject([{ owner: second.owner, fence: second.fence }])
  await second.release()
  await Promise.all([solo.close(), other.close()])
  end()
  admin.disconnect()
  process.off('uncaughtException', note)
  expect(uncaught).toEqual([])
})
