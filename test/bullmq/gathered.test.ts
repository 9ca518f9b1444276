// Guards invariant J5 of docs/guarantees.md, where many jobs are added in one turn of the event loop.
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { FlowProducer, type JobsOptions, Queue, Worker } from 'bullmq'
import { connect } from 'soloist'
import { SingletonQueue } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { textsFor } from '../../dist/adapters/bullmq/fused/texts.js'
import { KeyNames } from '../../dist/adapters/bullmq/fused/words.js'
import { startProxy } from '../support/proxy.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { Bench, connectionTo, type Data, numbers, type TestQueue, until, useBench } from './support.js'

let bench: Bench
useBench('may fail', fresh => {
  bench = fresh
})

type Scripts = Record<string, { readonly content: string; readonly keys: number }>
const scripts: Scripts = createRequire(import.meta.url)('bullmq/dist/cjs/scripts/index.js')

/** A server that nobody else uses, and a bench on it. */
async function ownServer(): Promise<Bench> {
  const server: RedisServer = await startRedis()
  bench.closeLater(() => server.stop())
  const alone = new Bench(server.url)
  alone.redis.on('error', error => alone.faults.push(error))
  bench.closeLater(() => alone.close())
  return alone
}

describe('words', () => {
  const names = new KeyNames('wait <2> of:<1> marker')
  const lua = `${names.lua}\nlocal all = { KEYS }\nfor i = 2, #lists do all[i] = lists[i] end\nreturn all`
  const texts = [0, 1, 10, 11, 31, 32, 255, 65_535, 65_536, 300_000].flatMap(length => [
    'a'.repeat(length),
    'ü€😀'.repeat(length / 4),
  ])
  const args = ['some', 'more', ...texts, 7, -0.5, null, undefined, Buffer.from([0, 255, 200]), Buffer.alloc(70_000, 3)]
  const asText = (word: unknown): string =>
    (Buffer.isBuffer(word) ? word : Buffer.from(String(word ?? ''))).toString('hex')
  const hex = (reply: unknown): unknown =>
    Array.isArray(reply) ? reply.map(hex) : Buffer.isBuffer(reply) ? reply.toString('hex') : reply

  test('a script gets the keys and arguments that it was called with', async () => {
    const keys = ['q:wait', 'q:more', 'q:of:some', 'q:marker']
    const words = names.wordsOf([
      [...keys, ...args],
      [...keys, ...args.slice(0, 2), 'another'],
    ]) as (string | Buffer)[]
    const reply = await bench.redis.callBuffer('eval', lua, 1, ...words)
    expect(words[1]?.length).toBeLessThan(args.reduce((sum: number, arg) => sum + asText(arg).length / 2 + 5, 200))
    expect(hex(reply)).toEqual([keys, args, [...args.slice(0, 2), 'another']].map(list => list.map(asText)))
  })

  test('keys that are called otherwise travel', async () => {
    for (const [i, other] of [...'abcd'].entries()) {
      const keys = ['q:wait', 'q:more', 'q:of:some', 'q:marker'].map((key, k) => (k === i ? other : key))
      const words = names.wordsOf([[...keys, 'some', 'more']]) as string[]
      const reply = await bench.redis.callBuffer('eval', lua, 1, ...words)
      expect(hex(reply)).toEqual([keys, ['some', 'more']].map(list => list.map(asText)))
    }
  })
})

test('the keys that scripts make themselves are those that BullMQ gives them', async () => {
  const alone = await ownServer()
  const names = new Map(Object.entries(scripts).map(([name, { content }]) => [sha1(content), name]))
  const given = new Map<string, string[]>()
  const client = alone.redis.duplicate()
  const monitor = await client.monitor()
  bench.closeLater(async () => {
    monitor.disconnect()
    client.disconnect()
  })
  monitor.on('monitor', (_, [command = '', script = '', count = '0', ...words]: string[]) => {
    const name = /^evalsha$/i.test(command) ? names.get(script) : names.get(sha1(script))
    if (name !== undefined) given.set(name, words.slice(0, Number(count) + 8))
  })
  const connection = connectionTo(alone.url)
  const queue = new Queue('plain', { connection, prefix: alone.prefix })
  const flows = new FlowProducer({ connection, prefix: alone.prefix })
  const worker = new Worker('plain', async ({ name }) => name, { connection, prefix: alone.prefix })
  bench.closeLater(() => Promise.all([worker.close(), flows.close(), queue.close()]).then(() => {}))
  const ended = new Promise<void>(resolve => {
    let left = 6
    worker.on('completed', () => --left === 0 && resolve())
  })
  // The first call of each has its text, which MONITOR writes in its own way.
  for (let i = 0; i < 2; i += 1) {
    await queue.add('a', {})
    await queue.add('b', {}, { delay: 1 })
    await queue.add('c', {}, { priority: 1 })
    await flows.add({ name: 'd', queueName: 'plain', children: [{ name: 'e', queueName: 'elsewhere' }] })
  }
  await ended
  const texts = [...(textsFor(scripts as never, 'snooze') ?? [])].filter(([, { names }]) => names !== undefined)
  expect(texts.map(([name]) => name)).toEqual([
    ...['addStandardJob', 'addDelayedJob', 'addPrioritizedJob', 'addParentJob', 'moveToActive', 'moveToFinished'],
  ])
  for (const [name, { names }] of texts) {
    await expect.poll(() => given.get(name), { message: name, timeout: 10_000 }).toBeDefined()
    const args = given.get(name) as string[]
    // Two that are of one queue need no keys to travel.
    expect([name, names?.areOfOneQueue(args, args)]).toEqual([name, true])
  }
})

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex')
}

/** How many scripts clients have called on the server of a bench. */
async function scriptCalls({ redis }: Bench): Promise<number> {
  const calls = (await redis.info('commandstats')).matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm)
  return [...calls].reduce((sum, [, count]) => sum + Number(count), 0)
}

describe.each([['in one step'], ['in two steps']])('jobs that are added in one turn, %s', steps => {
  const queueOf = async (alone: Bench, opts = {}): Promise<TestQueue> => {
    let settings = {}
    if (steps === 'in two steps') {
      const locks = await ownServer()
      const solo = connect(locks.url)
      bench.closeLater(() => solo.close())
      settings = { solo }
    }
    const queue = alone.queue(opts, settings)
    await queue.waitUntilReady()
    return queue
  }
  const data = (key: number): Data => ({ key, value: key })

  test('travel together, in their order', async () => {
    const alone = await ownServer()
    const queue = await queueOf(alone)
    await queue.add('sync', data(-1))
    const before = await scriptCalls(alone)
    const jobs = await Promise.all(numbers(1_000).map(key => queue.add('sync', data(key))))
    expect((await scriptCalls(alone)) - before).toBeLessThanOrEqual(130)
    expect(new Set(jobs.map(({ singleton }) => singleton?.status))).toEqual(new Set(['started']))
    const waiting = await queue.getWaiting()
    expect(waiting.map(job => job.data.key)).toEqual(numbers(1_001, -1))
  })

  test('and come in the order in which they were asked for, whatever their options', async () => {
    const alone = await ownServer()
    const queue = await queueOf(alone)
    const kinds: JobsOptions[] = [{}, { priority: 2 }, { delay: 60_000 }]
    const jobs = await Promise.all(numbers(60).map(key => queue.add('sync', data(key), { ...kinds[key % 3] })))
    // The queue's counter of ids is what tells.
    expect(await alone.redis.get(`${alone.prefix}:work:id`)).toBe('60')
    const [waiting, prioritized, delayed] = await Promise.all([
      ...[queue.getWaiting(), queue.getPrioritized(), queue.getDelayed()],
    ])
    expect(waiting?.map(({ id }) => id)).toEqual(jobs.filter((_, i) => i % 3 === 0).map(({ id }) => id))
    expect(prioritized?.map(({ id }) => id)).toEqual(jobs.filter((_, i) => i % 3 === 1).map(({ id }) => id))
    expect(new Set(delayed?.map(({ id }) => id))).toEqual(
      new Set(jobs.filter((_, i) => i % 3 === 2).map(({ id }) => id)),
    )
  })

  test('one that Redis fails at fails alone', async () => {
    const alone = await ownServer()
    const queue = await queueOf(alone)
    await queue.add('sync', data(-1))
    // BullMQ has a string there.
    await alone.redis.rpush(`${alone.prefix}:work:de:broken`, 'a list')
    const deduplication = { id: 'broken' }
    const added = await Promise.allSettled(
      numbers(8).map(key => queue.add('sync', data(key), key === 3 ? { deduplication } : {})),
    )
    expect(added.map(({ status }) => status)).toEqual(numbers(8).map(key => (key === 3 ? 'rejected' : 'fulfilled')))
    expect((added[3] as PromiseRejectedResult).reason).toMatchObject({
      name: 'SoloistError',
      cause: { message: expect.stringMatching(/^WRONGTYPE/) },
    })
  })

  test('when Redis takes nothing, each hears what it says', async () => {
    const alone = await ownServer()
    const queue = await queueOf(alone)
    await queue.add('sync', data(-1))
    await alone.redis.config('SET', 'min-replicas-to-write', 1)
    const added = await Promise.allSettled(numbers(20).map(key => queue.add('sync', data(key))))
    for (const one of added) {
      expect((one as PromiseRejectedResult).reason).toMatchObject({
        code: 'BACKEND_UNAVAILABLE',
        cause: { message: expect.stringMatching(/^NOREPLICAS/) },
      })
    }
    await alone.redis.config('SET', 'min-replicas-to-write', 0)
    const again = await Promise.all(numbers(20).map(key => queue.add('sync', data(key))))
    expect(new Set(again.map(({ singleton }) => singleton?.status))).toEqual(new Set(['started']))
  })

  test('and keep their order with jobs that are no singletons', async () => {
    const alone = await ownServer()
    const queue = await queueOf(alone)
    await queue.add('sync', data(-1))
    const names = ['sync', 'other', 'other'] as const
    const adds = numbers(60).map(key => queue.add(names[key % 3] as string, data(key)))
    const ids = (await Promise.all(adds)).map(({ id }) => id)
    const waiting = (await queue.getWaiting()).slice(1)
    if (steps === 'in one step') expect(waiting.map(({ id }) => id)).toEqual(ids)
    expect(new Set(waiting.map(({ id }) => id))).toEqual(new Set(ids))
  })
})

test('jobs that are added while their queue is connected come before those that are added later', async () => {
  const proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(() => proxy.close())
  // The answer to what is asked when a queue is connected.
  proxy.delayReplies(60)
  const queue = new SingletonQueue<Data, number, string>('work', {
    connection: connectionTo(proxy.url),
    prefix: bench.prefix,
    singleton: { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'] } } },
  })
  bench.closeLater(() => queue.close())
  const adds: Promise<unknown>[] = []
  for (const tick of numbers(40)) {
    for (const i of numbers(4)) adds.push(queue.add('sync', { key: tick * 4 + i, value: 0 }))
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  await Promise.all(adds)
  expect((await queue.getWaiting()).map(job => job.data.key)).toEqual(numbers(160))
})

test('of many jobs that stall at once each is told', async () => {
  const queue = bench.queue({})
  const dead = bench.worker(() => new Promise(() => {}), {
    concurrency: 8,
    lockDuration: 500,
    lockRenewTime: 400,
    stalledInterval: 200,
  })
  const taken = new Promise<void>(resolve => {
    let left = 8
    dead.on('active', () => --left === 0 && resolve())
  })
  await Promise.all(numbers(8).map(key => queue.add('sync', { key, value: 0 })))
  await taken
  await dead.close(true)
  const stalled = new Set<string>()
  const worker = bench.worker(async () => 0, { concurrency: 8, stalledInterval: 200, maxStalledCount: 9 })
  worker.on('stalled', id => stalled.add(id))
  await until(async () => (await queue.getJobCounts()).completed === 8)
  expect([stalled.size, bench.faults]).toEqual([8, []])
})

test('a client hears that Redis takes nothing as the failure of its call', async () => {
  const alone = await ownServer()
  const heard: string[] = []
  const reconnectOnError = ({ message }: Error) => {
    heard.push(message)
    return false
  }
  const queue = new SingletonQueue<Data, number, string>('work', {
    connection: { ...connectionTo(alone.url), reconnectOnError },
    prefix: alone.prefix,
    singleton: { prefix: alone.lockPrefix, jobs: { sync: { uniqueOn: ['key'] } } },
  })
  bench.closeLater(() => queue.close())
  await queue.add('sync', { key: -1, value: 0 })
  await alone.redis.config('SET', 'min-replicas-to-write', 1)
  await Promise.allSettled(numbers(8).map(key => queue.add('sync', { key, value: 0 })))
  await alone.redis.config('SET', 'min-replicas-to-write', 0)
  expect(heard).toContainEqual(expect.stringMatching(/^NOREPLICAS/))
})
