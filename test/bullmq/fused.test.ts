// Guards invariant J5 of docs/guarantees.md.
import { setTimeout as sleep } from 'node:timers/promises'
import { type JobsOptions, Queue } from 'bullmq'
import { jobLockNaming } from 'soloist'
import { SingletonAdder, SingletonFlowProducer, SingletonQueue } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { Bench, bullmqMajor, connectionTo, type Data, type Recorder, until, untilIdle, useBench } from './support.js'

// A job and its lock are one step where the locks are on the queue's own Redis: neither is ever there without the other.

let bench: Bench
let runs: Recorder
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })
const lockOf = (key = 1, of = bench) =>
  jobLockNaming<Data>('sync', { uniqueOn: ['key'] }, `${of.prefix}:work`)({ key, value: 0 }).trigger

/** A server that nobody else uses, and a bench on it. */
async function ownServer(): Promise<{ readonly server: RedisServer; readonly alone: Bench }> {
  const server = await startRedis()
  bench.closeLater(() => server.stop())
  const alone = new Bench(server.url)
  alone.redis.on('error', error => alone.faults.push(error))
  bench.closeLater(() => alone.close())
  return { server, alone }
}

/** How many scripts clients have called on the server of a bench. */
async function scriptCalls({ redis }: Bench): Promise<number> {
  const calls = (await redis.info('commandstats')).matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm)
  return [...calls].reduce((sum, [, count]) => sum + Number(count), 0)
}

describe('one call adds', () => {
  const kinds: Record<string, JobsOptions> = {
    'a job': {},
    'a delayed job': { delay: 60_000 },
    'a prioritized job': { priority: 3 },
    'a job that goes first': { lifo: true },
  }
  test.each(Object.entries(kinds))('%s and its lock', async (_, opts) => {
    const { alone } = await ownServer()
    const queue = alone.queue({})
    await queue.waitUntilReady()
    // The server gets to know the script.
    const { id: other = '' } = await queue.add('sync', data(1, 2), opts)
    const before = await scriptCalls(alone)
    const { id = '' } = await queue.add('sync', data(1), opts)
    expect((await scriptCalls(alone)) - before).toBe(1)
    await queue.remove(other)
    expect(await alone.held()).toEqual({ [lockOf(1, alone)]: `bullmq:${queue.qualifiedName}:${id}` })
    expect((await queue.getJob(id))?.data).toEqual(data(1))
    expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'duplicate', id })
    await queue.remove(id)
    expect(await alone.held()).toEqual({})
  })

  test('many jobs and their locks', async () => {
    const { alone } = await ownServer()
    const queue = alone.queue({})
    await queue.waitUntilReady()
    const { id } = await queue.add('sync', data(1))
    const items = [data(2), data(3, 2), data(4, 2), data(5, 3)].map(of => ({ name: 'sync', data: of }))
    const added = await queue.addBulk([...items, { name: 'other', data: data(6) }])
    expect(added.map(({ singleton }) => singleton?.status)).toEqual([
      ...['duplicate', 'started', 'duplicate', 'started', undefined],
    ])
    expect([added[0]?.id, added[2]?.id]).toEqual([id, added[1]?.id])
    const owner = (of: string | undefined) => `bullmq:${queue.qualifiedName}:${of}`
    expect(await alone.held()).toEqual({
      [lockOf(1, alone)]: owner(id),
      [lockOf(2, alone)]: owner(added[1]?.id),
      [lockOf(3, alone)]: owner(added[3]?.id),
    })
    expect(await queue.getWaitingCount()).toBe(4)
    const before = await scriptCalls(alone)
    await queue.addBulk([8, 9].map(key => ({ name: 'sync', data: data(7, key) })))
    expect((await scriptCalls(alone)) - before).toBe(2)
  })
})

test('a free job that is added with others costs the commands of one that is added alone', async () => {
  const { alone } = await ownServer()
  const queue = alone.queue({})
  await queue.waitUntilReady()
  await queue.add('sync', data(1))
  const commands = async (adds: () => Promise<unknown>) => {
    await alone.redis.config('RESETSTAT')
    await adds()
    const calls = (await alone.redis.info('commandstats')).matchAll(/^cmdstat_(?!config|info)(\S+):calls=(\d+)/gm)
    return Object.fromEntries([...calls].map(([, command, count]) => [command, Number(count)]))
  }
  const items = (first: number) => [0, 1, 2].map(i => ({ name: 'sync', data: data(1, first + i) }))
  const together = await commands(() => queue.addBulk(items(10)))
  const oneByOne = await commands(async () => {
    for (const { name, data } of items(20)) await queue.add(name, data)
  })
  // BullMQ sends a pipeline as a transaction.
  delete together.multi
  delete together.exec
  expect(together).toEqual(oneByOne)
})

describe('the lock is that of everybody who shares it', () => {
  test('of a hundred at once from three queues, one is added', async () => {
    const queues = ['a', 'b', 'c'].map(name => bench.queue({ scope: 'name' }, {}, name))
    await Promise.all(queues.map(queue => queue.waitUntilReady()))
    const adds = Array.from({ length: 99 }, (_, i) => queues[i % 3]?.addUnique('sync', data(i)))
    const outcomes = (await Promise.all(adds)).map(added => added?.outcome)
    const [started, ...others] = outcomes.filter(outcome => outcome?.status === 'started')
    expect(others).toEqual([])
    expect(new Set(outcomes.map(outcome => outcome?.id))).toEqual(new Set([started?.id]))
    const counts = await Promise.all(queues.map(queue => queue.getWaitingCount()))
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1)
  })

  test('a function that holds it is met, and so is a job of another queue, and of a flow', async () => {
    const queue = bench.queue({ scope: 'name' })
    await queue.waitUntilReady()
    const { trigger } = jobLockNaming<Data>('sync', { uniqueOn: ['key'] })(data(1, 1))
    await bench.solo.jobs.take(trigger, 'a function')
    expect((await queue.addUnique('sync', data(2, 1))).outcome).toMatchObject({ status: 'duplicate', id: 'a function' })

    const other = await bench.queue({ scope: 'name' }, {}, 'other').add('sync', data(1, 2))
    expect((await queue.addUnique('sync', data(2, 2))).outcome).toMatchObject({ status: 'duplicate', id: other.id })

    const flows = new SingletonFlowProducer({
      connection: connectionTo(bench.url),
      prefix: bench.prefix,
      singleton: { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'], scope: 'name' } } },
    })
    bench.closeLater(() => flows.close())
    const { job } = await flows.add({ name: 'sync', queueName: 'work', data: data(1, 3) })
    expect((await queue.addUnique('sync', data(2, 3))).outcome).toMatchObject({ status: 'duplicate', id: job.id })
    expect(await queue.getWaitingCount()).toBe(1)
  })

  test('of a flow, and of one that was refused, nothing but locks of jobs is listed', async () => {
    const flows = bench.flows({ onDuplicate: 'reject' })
    const flow = (key: number) => ({ name: 'sync', queueName: 'work', data: data(1, key) })
    await flows.add({ ...flow(1), children: [flow(2)] })
    await expect(flows.add({ ...flow(3), children: [flow(2)] })).rejects.toMatchObject({ code: 'DUPLICATE_JOB' })
    const owners: string[] = []
    for await (const { holders } of bench.solo.list()) owners.push(...holders.map(({ owner }) => owner))
    expect([owners.length, owners.filter(owner => !owner.startsWith('bullmq:'))]).toEqual([2, []])
  })

  test('a flow and another queue meet it', async () => {
    const queue = bench.queue({ scope: 'name' })
    await queue.waitUntilReady()
    const { id } = await queue.add('sync', data(1))
    const flows = new SingletonFlowProducer({
      connection: connectionTo(bench.url),
      prefix: bench.prefix,
      singleton: {
        prefix: bench.lockPrefix,
        jobs: { sync: { uniqueOn: ['key'], onDuplicate: 'reject', scope: 'name' } },
      },
    })
    bench.closeLater(() => flows.close())
    const met = { code: 'DUPLICATE_JOB', id }
    await expect(flows.add({ name: 'sync', queueName: 'work', data: data(2) })).rejects.toMatchObject(met)
    const outcome = (await bench.queue({ scope: 'name' }, {}, 'other').addUnique('sync', data(4))).outcome
    expect(outcome).toMatchObject({ status: 'duplicate', id, queue: queue.qualifiedName })
  })

  test('a lock that only its last fence is left of is free, and fences go on rising', async () => {
    const queue = bench.queue({})
    const worker = bench.worker(runs.run)
    for (const value of [1, 2, 3]) {
      expect((await queue.addUnique('sync', data(value))).outcome.status).toBe('started')
      await runs.untilStarted(value)
      await untilIdle(bench, queue)
    }
    await worker.close()
    expect(runs.fences).toEqual(runs.fences.toSorted((a, b) => a - b))
    expect(new Set(runs.fences).size).toBe(3)
  })
})

describe('neither without the other', () => {
  test('what BullMQ refuses leaves no lock', async () => {
    const queue = bench.queue({})
    await queue.waitUntilReady()
    const parent = { id: 'none', queue: `${bench.prefix}:work` }
    await expect(queue.add('sync', data(1), { parent })).rejects.toThrow('Missing key for parent job')
    expect(await bench.held()).toEqual({})
  })

  test('what Redis refuses leaves no lock', async () => {
    const { alone: full } = await ownServer()
    const queue = full.queue({})
    await queue.waitUntilReady()
    await queue.add('sync', data(1, 1))
    await full.redis.config('SET', 'maxmemory', '1')
    await expect(queue.add('sync', data(1, 2))).rejects.toThrow('OOM')
    await full.redis.config('SET', 'maxmemory', '0')
    expect(Object.keys(await full.held())).toEqual([lockOf(1, full)])
    expect((await queue.addUnique('sync', data(1, 2))).outcome.status).toBe('started')
  })

  test("what BullMQ's own deduplication turns away leaves no lock", async () => {
    const queue = bench.queue({})
    await queue.waitUntilReady()
    const first = await queue.add('sync', data(1, 1), { deduplication: { id: 'same' } })
    const second = await queue.addUnique('sync', data(1, 2), { deduplication: { id: 'same' } })
    expect(second.outcome).toMatchObject({ status: 'duplicate', id: first.id })
    expect(Object.keys(await bench.held())).toEqual([lockOf(1)])
    const together = await queue.addBulk(
      [3, 4].map(key => ({ name: 'sync', data: data(1, key), opts: { deduplication: { id: 'same' } } })),
    )
    expect(together.map(({ id, singleton }) => [id, singleton?.status])).toEqual(Array(2).fill([first.id, 'duplicate']))
    expect(Object.keys(await bench.held())).toEqual([lockOf(1)])
  })

  test('a call that was carried out twice, since its reply was lost, adds one job and is told that it did', async () => {
    const proxy = await startProxy(connectionTo(bench.url).port)
    bench.closeLater(() => proxy.close())
    const queue = new SingletonQueue<Data>('work', {
      connection: { ...connectionTo(proxy.url), retryStrategy: () => 20 },
      prefix: bench.prefix,
      singleton: { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'], onDuplicate: 'reject' } } },
    })
    queue.on('error', () => {})
    bench.closeLater(() => queue.close())
    await queue.waitUntilReady()
    const isAdding = (words: readonly string[]) =>
      /^eval(sha)?$/i.test(words[0] ?? '') && words.includes(`${bench.prefix}:work:wait`)
    const dropped = proxy.dropReplyTo(isAdding, 'reset')
    const { job, outcome } = await queue.addUnique('sync', data(1))
    await dropped.hit
    expect(outcome.status).toBe('started')
    expect(await queue.getWaitingCount()).toBe(1)
    expect(await bench.held()).toEqual({ [lockOf()]: `bullmq:${queue.qualifiedName}:${job?.id}` })
  })

  test('a job that others removed blocks its key for no time', async () => {
    const queue = bench.queue({}, { graceMs: 60_000 })
    await queue.waitUntilReady()
    await queue.add('sync', data(1))
    const plain = new Queue('work', { connection: connectionTo(bench.url), prefix: bench.prefix })
    bench.closeLater(() => plain.close())
    await plain.drain()
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('recovered')
  })
})

describe('every mode takes one call, and a solo two', () => {
  const modes: Record<string, [object, JobsOptions | undefined]> = {
    untilExecuting: [{ mode: 'untilExecuting' }, undefined],
    untilAndWhileExecuting: [{ mode: 'untilAndWhileExecuting', onDuplicate: 'rerun' }, undefined],
    whileExecuting: [{ mode: 'whileExecuting' }, undefined],
    untilExpired: [{ mode: 'untilExpired', expiryMs: 60_000 }, undefined],
    'replace, described': [{ onDuplicate: 'replace', describe: () => 'a text' }, undefined],
    'a job under an id of the caller': [{}, { jobId: 'mine' }],
  }
  test.each(Object.entries(modes))('%s', async (_, [options, opts]) => {
    const { alone } = await ownServer()
    const queue = alone.queue(options)
    await queue.waitUntilReady()
    // The server gets to know the scripts.
    await queue.addUnique('sync', data(1, 7), opts && { jobId: 'another' })
    const before = await scriptCalls(alone)
    await queue.add('sync', data(1), opts)
    expect((await scriptCalls(alone)) - before).toBe(1)
  })

  test('locks that are where a solo has them; and one for a queue that the application has', async () => {
    const { alone } = await ownServer()
    const queue = alone.queue({}, { solo: alone.solo })
    const plain = new Queue('work', { connection: connectionTo(alone.url), prefix: alone.prefix })
    alone.closeLater(() => plain.close())
    const adder = new SingletonAdder<Data>(plain, {
      prefix: alone.lockPrefix,
      jobs: { sync: { uniqueOn: ['key'] } },
    })
    alone.closeLater(() => adder.close())
    await Promise.all([queue.waitUntilReady(), plain.waitUntilReady()])
    for (const [key, add] of [queue, adder].entries()) {
      await add.addUnique('sync', data(0, 10 + key))
      const before = await scriptCalls(alone)
      expect((await add.addUnique('sync', data(1, key))).outcome.status).toBe('started')
      expect((await scriptCalls(alone)) - before).toBe(key === 0 ? 2 : 1)
      expect((await add.addUnique('sync', data(2, key))).outcome.status).toBe('duplicate')
    }
  })

  test('a queue that has no connection: the wait for the lock has an end', async () => {
    const { server, alone } = await ownServer()
    const queue = new SingletonQueue<Data>('work', {
      connection: { ...connectionTo(server.url), retryStrategy: () => 50 },
      prefix: alone.prefix,
      singleton: { prefix: alone.lockPrefix, jobs: { sync: { uniqueOn: ['key'] } } },
    })
    queue.on('error', () => {})
    alone.closeLater(() => queue.close())
    await queue.waitUntilReady()
    const { client } =
      bullmqMajor >= 6 ? queue.getBackend() : (queue as unknown as { client: Promise<{ status: string }> })
    const connection = await client
    await server.kill()
    await until(() => connection.status !== 'ready')
    await expect(queue.add('sync', data(1))).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await server.restart()
    expect(await queue.getWaitingCount()).toBe(0)
  })

  test('a queue whose Redis does not answer: only those under way wait for it', async () => {
    const proxy = await startProxy(connectionTo(bench.url).port)
    bench.closeLater(() => proxy.close())
    const queue = new SingletonQueue<Data>('work', {
      connection: connectionTo(proxy.url),
      prefix: bench.prefix,
      singleton: { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'] } } },
    })
    bench.closeLater(() => queue.close())
    await queue.waitUntilReady()
    proxy.blackhole()
    const first = queue.addUnique('sync', data(1))
    // It counts as one that does not answer when the first has waited for five seconds; then a lock is asked for, as long.
    const others: Promise<unknown>[] = []
    let refusal: unknown = null
    await until(async () => {
      const other = queue.add('sync', data(2, 2))
      others.push(
        other.catch(error => {
          refusal ??= error
        }),
      )
      await Promise.race([other.catch(() => null), sleep(250)])
      return refusal !== null
    })
    expect(refusal).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    proxy.heal()
    expect((await first).outcome.status).toBe('started')
    await Promise.all(others)
  })
})

test("BullMQ's local event waiting comes for jobs that were added, and for no duplicate", async () => {
  const queue = bench.queue({})
  await queue.waitUntilReady()
  const told: unknown[] = []
  queue.on('waiting', ({ id }) => told.push(id))
  const { id } = await queue.add('sync', data(1))
  await queue.add('sync', data(2))
  expect(told).toEqual([id])
})

test('a job carries the name of its lock, and no id among its options: they can be given to another job', async () => {
  const queue = bench.queue({})
  await queue.waitUntilReady()
  const first = await queue.add('sync', data(1), { jobId: '', attempts: 3 })
  expect(first.singleton?.status).toBe('started')
  const stored = (await queue.getJob(first.id as string))?.opts
  expect(stored).toMatchObject({ attempts: 3, singleton: expect.stringContaining(lockOf()) })
  expect(stored).not.toHaveProperty('jobId')
  const second = await queue.add('sync', data(2, 2), stored)
  expect([second.singleton?.status, second.opts.attempts]).toEqual(['started', 3])
  expect(second.id).not.toBe(first.id)
})
