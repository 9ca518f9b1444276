import { once } from 'node:events'
import * as bullmq from 'bullmq'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { connect } from 'soloist'
import { SingletonAdder, SingletonFlowProducer, SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { bullmqMajor } from './support.js'

// The locks of a queue are on the queue's own Redis, whatever stands for it in `connection`. This server is not the one that
// a client without options would use.

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const later = <T>(made: T, close: (made: T) => unknown): T => {
  closing.push(() => close(made))
  return made
}
const singleton = { jobs: { sync: {} } }
const noted: unknown[] = []

/** Owners by lock, as any other client of that server sees them. */
async function held(): Promise<Record<string, string>> {
  await using solo = connect(server.url)
  const owners: Record<string, string> = {}
  for await (const { name, holders } of solo.jobs.list()) owners[name.split(':')[1] ?? ''] = String(holders[0]?.owner)
  return owners
}

const { createNodeRedisClient, createIORedisClient } = bullmq as Partial<typeof bullmq>
const nodeRedis = () => later(createClient({ url: server.url }), client => client.isOpen && client.destroy())
const ioredis = () => later(new Redis(server.url, { maxRetriesPerRequest: null }), client => client.disconnect())

describe('a job is live once', () => {
  const connections: [string, () => unknown][] = [
    ['options', () => ({ host: server.host, port: server.port })],
    ['options of no prototype', () => Object.assign(Object.create(null), { host: server.host, port: server.port })],
    ['a URL among the options', () => ({ url: server.url })],
    ['options without a queue for what comes too early', () => ({ url: server.url, enableOfflineQueue: false })],
    ['a client of ioredis', ioredis],
  ]
  // BullMQ 5 takes no other clients.
  if (bullmqMajor >= 6) {
    connections.push(
      ["BullMQ's adapter of ioredis", () => createIORedisClient?.(ioredis() as never)],
      ["BullMQ's adapter of node-redis", () => createNodeRedisClient?.(nodeRedis() as never)],
      ['a client of node-redis that is not connected yet', nodeRedis],
    )
  }
  test.each(connections)('with %s as the connection', async (_, make) => {
    const connection = make() as never
    const queue = later(new SingletonQueue('work', { connection, singleton }), made => made.close())
    queue.on('error', error => noted.push(error))
    const first = await queue.add('sync', { key: 1 })
    expect(await held()).toEqual({ sync: `bullmq:bull:work:${first.id}` })

    // Somebody who came by other ways.
    const options = { host: server.host, port: server.port }
    const plain = later(new Queue('work', { connection: options }), made => made.close())
    const adder = new SingletonAdder(plain, singleton)
    expect((await adder.addUnique('sync', { key: 1 })).outcome).toMatchObject({ status: 'duplicate', id: first.id })
    const flows = later(new SingletonFlowProducer({ connection, singleton }), made => made.close())
    await expect(flows.add({ name: 'sync', queueName: 'work', data: { key: 2 } })).resolves.toBeDefined()

    const ran: unknown[] = []
    const worker = new SingletonWorker('work', async job => void ran.push(job.data), { connection })
    later(worker, made => made.close())
    worker.on('error', error => noted.push(error))
    while (ran.length < 2) await once(worker, 'completed')
    expect(ran).toEqual(expect.arrayContaining([{ key: 1 }, { key: 2 }]))
    await expect.poll(held).toEqual({})
    await queue.obliterate({ force: true })
  })
})

describe('a connection that cannot be told is refused', () => {
  class Config {
    readonly host = '127.0.0.1'
  }
  const noop = () => {}
  test.each<[string, unknown]>([
    ['an object of a class', new Config()],
    ['a map', new Map([['host', '127.0.0.1']])],
    ['a URL by itself', 'redis://127.0.0.1:1'],
    ['a list', [{ host: '127.0.0.1' }]],
    ['a function', () => ({})],
    ['an adapter of another client', { connect: noop, disconnect: noop, duplicate: noop, raw: { send: noop } }],
    ['a client that sends in its own way', { connect: noop, disconnect: noop, duplicate: noop, send: noop }],
  ])('%s', (_, connection) => {
    const refused = expect.objectContaining({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('singleton.solo is needed'),
    })
    expect(() => new SingletonQueue('work', { connection: connection as never, singleton })).toThrow(refused)
    expect(() => new SingletonWorker('work', async () => 0, { connection: connection as never })).toThrow(refused)
    expect(() => new SingletonFlowProducer({ connection: connection as never, singleton })).toThrow(refused)
  })

  // BullMQ 5 has neither.
  if (bullmqMajor >= 6) {
    test('options that a client factory leads elsewhere', () => {
      const { RedisConnection } = bullmq
      const connection = { host: server.host, port: server.port }
      RedisConnection.clientFactory = (() => createIORedisClient?.(ioredis() as never)) as never
      try {
        expect(() => new SingletonQueue('work', { connection, singleton })).toThrow(/clientFactory/)
      } finally {
        RedisConnection.clientFactory = undefined as never
      }
    })

    test('a default backend that is not on Redis', () => {
      const { setDefaultBackendFactory, createRedisBackend } = bullmq
      setDefaultBackendFactory(((...args: Parameters<typeof createRedisBackend>) =>
        createRedisBackend(...args)) as never)
      try {
        expect(() => new SingletonQueue('work', { connection: {}, singleton })).toThrow(/singleton.solo is needed/)
      } finally {
        setDefaultBackendFactory()
      }
    })
  }
})

test.each([undefined, null, {}])(
  "a queue with %s as its connection uses the server that BullMQ's would",
  async none => {
    const queue = new SingletonQueue('nothing-of-this', { connection: none as never, singleton: { jobs: {} } })
    const refusals: unknown[] = []
    queue.on('error', error => refusals.push(error))
    const refused = new Promise<void>(resolve => {
      // One of BullMQ's client, and one of that for the locks. BullMQ 5 leaves a rejection behind when it is closed in the
      // event of an error, so this waits for the end of the connection, of which there is one per try.
      queue.on('ioredis:close', () => refusals.length >= 2 && resolve())
    })
    // Perhaps there is a server on this machine: then it answers both.
    const { solo } = queue.singleton
    const answered = Promise.all([queue.waitUntilReady(), solo.inspect('nothing')])
    await Promise.race([refused, answered])
    for (const refusal of refusals) expect(refusal).toMatchObject({ address: '127.0.0.1', port: 6379 })
    await Promise.allSettled([answered, queue.close()])
  },
)
