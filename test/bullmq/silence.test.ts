import { SingletonFlowProducer } from 'soloist/bullmq'
import { beforeEach, describe, expect, test } from 'vitest'
import { type Match, type RedisProxy, startProxy } from '../support/proxy.js'
import {
  type Bench,
  connectionThrough,
  connectionTo,
  RECOVERS,
  type Recorder,
  type TestQueue,
  until,
  useBench,
} from './support.js'

// One answer is lost, and its connection never says anything again, nor is it closed; new ones work. A plain worker has two
// connections, and waits for ever when one of these is so. What ours has beside them is replaced.

let bench: Bench
let runs: Recorder
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})

let proxy: RedisProxy
beforeEach(async () => {
  proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(() => proxy.close())
})

const data = (value: number, key = value) => ({ key, value })
const stall = (match: Match) => proxy.dropReplyTo(match, 'stall').hit

describe('lock and job are two steps', () => {
  test('a worker that looks at a job in another queue takes up the next one, and looks anew', async () => {
    const job = { scope: 'name', onDuplicate: 'delay' } as const
    const solo = bench.solo
    const [queue, other] = ['work', 'other'].map(name => bench.queue(job, { solo }, name)) as [TestQueue, TestQueue]
    // In their order: what has the lock, and what waits for it.
    const pair = async (key: number) => {
      await other.add('sync', data(key * 10, key))
      return await queue.add('sync', data(key * 10 + 1, key))
    }
    const silent = stall(words => words[1]?.startsWith(`${bench.prefix}:other:`) === true)
    await pair(1)
    bench.worker(runs.run, { connection: connectionThrough(proxy), concurrency: 1, singleton: { solo } })
    await silent
    await queue.add('sync', data(2))
    await runs.untilStarted(1)
    const second = await pair(3)
    await until(async () => (await second.getState()) === 'delayed')
    expect(runs.started).toEqual([2])
    bench.worker(runs.run, { queueName: 'other', singleton: { solo } })
    await runs.untilStarted(5)
    expect(runs.started.toSorted((a, b) => a - b)).toEqual([2, 10, 11, 30, 31])
  })

  test('a sweep does not keep later ones from finding a job that nobody has woken', async () => {
    const queue = bench.queue({ onDuplicate: 'delay' }, { solo: bench.solo })
    const singleton = { solo: bench.client() }
    bench.worker(runs.run, { connection: connectionThrough(proxy), stalledInterval: 100, singleton })
    runs.hold()
    for (const value of [0, 1]) await queue.add('sync', data(value, 1))
    await runs.untilStarted(1)
    await until(async () => (await queue.getJobCounts()).delayed === 1)
    await stall(words => words.includes(`${bench.prefix}:work:`) && words.includes('delayed'))
    // Nobody hears of the grant.
    const [[lock, owner] = ['', '']] = Object.entries(await bench.held())
    await bench.client().jobs.release(lock, owner)
    await runs.untilStarted(2)
  })

  test('what claims the locks on the Redis of the queue does so again', async () => {
    const prefix = `{${bench.lockPrefix}}`
    await bench.queue({}, { prefix }).add('sync', data(1))
    const silent = stall(words => words.some(word => word.startsWith(`${prefix}job:`)))
    bench.worker(runs.run, { connection: connectionThrough(proxy), singleton: { prefix } })
    await silent
    await runs.untilStarted(1)
  })
})

test.each(['one step', 'two steps'] as const)('a worker whose connections have a socketTimeout, %s', async steps => {
  const settings = steps === 'one step' ? {} : { solo: bench.solo }
  const queue = bench.queue({}, settings)
  const connection = { ...connectionThrough(proxy), socketTimeout: 3_000 }
  const worker = bench.worker(runs.run, { connection, drainDelay: 1, singleton: settings, ...RECOVERS })
  await worker.waitUntilReady()
  const silent = stall(words => words.includes(`${bench.prefix}:work:active`))
  await queue.add('sync', data(1))
  await silent
  await queue.add('sync', data(2))
  await runs.untilStarted(2)
})

describe('Redis is silent', () => {
  test.each(['one step', 'two steps'] as const)('a queue closes, and what it was asked fails, %s', async steps => {
    const queue = await bench.queueThrough(proxy, {}, 'work', steps)
    await queue.add('sync', data(1))
    proxy.blackhole()
    const asked = [queue.add('sync', data(2)), queue.getJob('none')]
    const told = Promise.allSettled(asked)
    await queue.close()
    expect(await told).toMatchObject([{ reason: { code: 'BACKEND_UNAVAILABLE' } }, { status: 'rejected' }])
  })

  test('a flow producer closes, and what it was asked fails; from then on it is closed', async () => {
    const flow = (value: number) => ({ name: 'sync', queueName: 'work', data: data(value) })
    const flows = new SingletonFlowProducer({
      connection: connectionThrough(proxy),
      prefix: bench.prefix,
      singleton: { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'] } } as never },
    })
    flows.on('error', () => {})
    await flows.add(flow(1))
    proxy.blackhole()
    const told = expect(flows.add(flow(2))).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await until(() => proxy.held > 0)
    const closing = flows.close()
    await expect(flows.add(flow(3))).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(flows.addBulk([flow(4)])).rejects.toMatchObject({ code: 'CLOSED' })
    await Promise.all([closing, told])
  })
})
