import * as bullmq from 'bullmq'
import { Queue, Worker } from 'bullmq'
import { SoloistError } from 'soloist'
import { SingletonFlowProducer, type SingletonJobOptions, SingletonQueue } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import { type Bench, bullmqMajor, connectionTo, type Data, type TestQueue, useBench } from './support.js'

// The connection goes at each of the calls that the adapter makes: what is rejected is a SoloistError with the cause, and what was
// accepted is told.

let bench: Bench
useBench('may fail', fresh => {
  bench = fresh
})

const data = (value: number, key = 1) => ({ key, value })

/** A connection that is gone for good once this call on it was carried out, its answer lost. */
async function losing(call: number) {
  const proxy = await startProxy(connectionTo(bench.url).port)
  const told = { calls: 0, armed: false }
  proxy.dropReplyTo(() => told.armed && ++told.calls === call, 'reset')
  bench.closeLater(() => proxy.close())
  const connection = { ...connectionTo(proxy.url), retryStrategy: () => null, maxRetriesPerRequest: 0 }
  return { told, connection }
}

type Act = (queue: TestQueue) => Promise<unknown>
const acts: Record<string, Act> = {
  add: queue => queue.add('sync', data(2)),
  'add with an id': queue => queue.add('sync', data(2), { jobId: 'mine' }),
  addBulk: queue => queue.addBulk([1, 1, 2].map((key, value) => ({ name: 'sync', data: data(value, key) }))),
  sweep: queue => queue.sweep(),
}
const jobs: Record<string, SingletonJobOptions<Data>> = {
  join: {},
  reject: { onDuplicate: 'reject' },
  replace: { onDuplicate: 'replace' },
  whileExecuting: { mode: 'whileExecuting', onDuplicate: 'delay' },
}

describe.each(['one step', 'two steps'])('lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? { prefix: bench.lockPrefix } : { solo: bench.solo })

  /** Does something with a queue for each call at which the connection can go. @returns what came of each */
  async function each(name: string, job: SingletonJobOptions<Data>, act: Act) {
    const results: { error: unknown; result: unknown }[] = []
    for (let call = 1; ; call += 1) {
      const { told, connection } = await losing(call)
      const queueName = `${name}-${call}`.replaceAll(' ', '-')
      await bench.queue(job, solo(), queueName).add('sync', data(1))
      const queue: TestQueue = new SingletonQueue<Data, number, string>(queueName, {
        ...{ connection, prefix: bench.prefix },
        singleton: { ...solo(), jobs: { sync: { uniqueOn: ['key'], ...job } } },
      })
      queue.on('error', () => {})
      await queue.waitUntilReady()
      // Its locks' client, too, has its connection.
      await queue.sweep()
      told.armed = true
      let error: unknown = null
      const result = await act(queue).catch(reason => {
        error = reason
      })
      told.armed = false
      results.push({ error, result })
      await queue.close().catch(() => null)
      if (told.calls < call) return results
    }
  }

  test.each(Object.keys(acts))('%s', async what => {
    let rejected = 0
    // A client of locks rides out an outage first.
    for (const [name, job] of Object.entries(what === 'sweep' ? { join: {} } : jobs)) {
      for (const { error, result } of await each(`${what}-${name}`, job, acts[what] as Act)) {
        if (error === null) expect(result).toBeDefined()
        else {
          rejected += 1
          expect([name, error]).toEqual([name, expect.any(SoloistError)])
          const { code, cause } = error as SoloistError
          const gone = code === 'BACKEND_UNAVAILABLE' && cause instanceof Error
          expect([name, code === 'DUPLICATE_JOB' || gone, error]).toEqual([name, true, error])
        }
      }
    }
    expect(rejected).toBeGreaterThan(what === 'sweep' ? 0 : 2)
  })

  test('a duplicate whose live job cannot be read any more is told all the same', async () => {
    const results = await each('told', { onDuplicate: 'rerun' }, queue => queue.addUnique('sync', data(2)))
    const told = results.flatMap(({ result }) =>
      result === undefined ? [] : [result as Awaited<ReturnType<TestQueue['addUnique']>>],
    )
    expect(told.every(({ outcome }) => outcome.status === 'duplicate' && outcome.id.length > 1)).toBe(true)
    expect(told.map(({ job }) => job === null)).toContain(true)
    expect(told.at(-1)?.job).not.toBe(null)
  })

  test('a strategy that throws is refused, with what it threw', async () => {
    const thrown = new TypeError('as it should')
    const onDuplicate = () => {
      throw thrown
    }
    const queue = bench.queue({ onDuplicate }, steps === 'one step' ? {} : { solo: bench.solo })
    await queue.add('sync', data(1))
    const refused = { code: 'INVALID_ARGUMENT', cause: thrown }
    await expect(queue.add('sync', data(2))).rejects.toMatchObject(refused)
    await expect(queue.addBulk([{ name: 'sync', data: data(2) }])).rejects.toMatchObject(refused)
  })

  /** What BullMQ cannot take: it tells so by errors that say nothing of their kind. */
  const refused: Record<string, [data: object, opts: object, cause: unknown]> = {
    'data that JSON does not know': [{ key: 1, value: 1n }, {}, expect.any(TypeError)],
    'an option that is out of its range': [{ key: 1, value: 1 }, { priority: 1.5 }, expect.any(Error)],
  }
  test.each(Object.keys(refused))('%s is no outage', async what => {
    const [refusedData, opts, cause] = refused[what] as [Data, object, unknown]
    const queue = bench.queue({}, steps === 'one step' ? {} : { solo: bench.solo })
    const told = { name: 'SoloistError', code: 'INVALID_ARGUMENT', cause }
    await expect(queue.add('sync', refusedData, opts)).rejects.toMatchObject(told)
    const bulk = [
      { name: 'sync', data: data(3, 3) },
      { name: 'sync', data: refusedData, opts },
    ]
    await expect(queue.addBulk(bulk)).rejects.toMatchObject(told)
    await expect(queue.addBulk([{ name: 'plain', data: refusedData, opts }])).rejects.toMatchObject(told)
    const flows = new SingletonFlowProducer({
      ...{ connection: connectionTo(bench.url), prefix: bench.prefix },
      singleton: { ...solo(), jobs: { sync: { uniqueOn: ['key'] } } },
    })
    bench.closeLater(() => flows.close())
    const { queueName } = bench
    await expect(flows.add({ name: 'sync', queueName, data: refusedData, opts })).rejects.toMatchObject(told)
    await expect(flows.add({ name: 'plain', queueName, data: refusedData, opts })).rejects.toMatchObject(told)
    expect(await bench.held()).toEqual({})
    expect(await queue.count()).toBe(0)
  })

  test("BullMQ's own methods reject with BullMQ's own errors", async () => {
    const ours = bench.queue({}, steps === 'one step' ? {} : { solo: bench.solo })
    const plain = new Queue('plain', { connection: connectionTo(bench.url), prefix: bench.prefix })
    bench.closeLater(() => plain.close())
    const worker = (name: string) => {
      const made = new Worker(name, null, { connection: connectionTo(bench.url), prefix: bench.prefix })
      bench.closeLater(() => made.close())
      return made
    }
    const rejections = async (queue: Queue): Promise<unknown[]> => {
      await queue.add('sync', data(1))
      await worker(queue.name).getNextJob('token')
      const [job] = await queue.getJobs(['active'])
      const said = []
      for (const act of [() => job?.remove(), () => job?.retry(), () => queue.obliterate()]) {
        const error = await Promise.resolve(act()).catch((reason: Error) => reason)
        expect(error).not.toBeInstanceOf(SoloistError)
        const { constructor: kind, message, code } = error as Error & { code?: unknown }
        said.push({ kind, message: message.replaceAll(String(job?.id), 'ID'), code })
      }
      return said
    }
    const expected = await rejections(plain)
    const plainError = { kind: Error, message: expect.any(String) }
    expect(expected).toEqual([undefined, -3, undefined].map(code => ({ ...plainError, code })))
    expect(await rejections(ours as unknown as Queue)).toEqual(expected)
  })

  test('flows', async () => {
    for (let call = 1; ; call += 1) {
      const { told, connection } = await losing(call)
      const queueName = `flows-${call}`
      await bench.queue({}, solo(), queueName).add('sync', data(1))
      const flows = new SingletonFlowProducer({
        ...{ connection, prefix: bench.prefix },
        singleton: { ...solo(), jobs: { sync: { uniqueOn: ['key'] } } },
      })
      flows.on('error', () => {})
      const children = [{ name: 'sync', queueName, data: data(2) }]
      await flows.add({ name: 'other', queueName, data: {} })
      told.armed = true
      let error: unknown = null
      await flows.add({ name: 'sync', queueName, data: data(3, 3), children }).catch(reason => {
        error = reason
      })
      told.armed = false
      if (error !== null) {
        expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: expect.any(Error) })
      }
      await flows.close().catch(() => null)
      if (told.calls < call) break
    }
  })
})

test('an error of the language where something was sent is told as it is', async () => {
  const bug = new TypeError('a bug')
  const solo = bench.client()
  const queue = bench.queue({}, { solo })
  solo.jobs.trigger = () => Promise.reject(bug)
  solo.jobs.list = () => {
    throw bug
  }
  await expect(queue.add('sync', data(1))).rejects.toBe(bug)
  await expect(queue.addBulk([{ name: 'sync', data: data(1) }])).rejects.toBe(bug)
  await expect(queue.sweep()).rejects.toBe(bug)
})

// BullMQ 5 has no backends.
if (bullmqMajor >= 6) {
  test('where connections are many, a plain error of one is an outage', async () => {
    const backendFactory = (...args: Parameters<typeof bullmq.createRedisBackend>) => {
      const backend = bullmq.createRedisBackend(...args)
      // Like that for Postgres: no client, and a connection that ends by a plain error; the next call has another one.
      Object.defineProperty(backend, 'client', { value: undefined })
      backend.addJob = () => Promise.reject(new Error('Connection terminated unexpectedly'))
      return backend
    }
    const queue = new SingletonQueue<Data, number, string>(
      'elsewhere',
      {
        ...{ connection: connectionTo(bench.url), prefix: bench.prefix },
        singleton: { solo: bench.solo, jobs: { sync: { uniqueOn: ['key'] } } },
      },
      backendFactory,
    )
    bench.closeLater(() => queue.close())
    const gone = { code: 'BACKEND_UNAVAILABLE', cause: { message: 'Connection terminated unexpectedly' } }
    await expect(queue.add('sync', data(1))).rejects.toMatchObject(gone)
  })
}

test('what obliterate does beside BullMQ rejects as the rest of ours', async () => {
  const queueName = 'obliterated'
  const proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(() => proxy.close())
  const queue: TestQueue = new SingletonQueue<Data, number, string>(queueName, {
    connection: { ...connectionTo(proxy.url), retryStrategy: () => null, maxRetriesPerRequest: 0 },
    prefix: bench.prefix,
    singleton: { prefix: bench.lockPrefix, jobs: { sync: { uniqueOn: ['key'] } } },
  })
  queue.on('error', () => {})
  await queue.add('sync', data(1))
  // The last call: what the queue noted of its locks is forgotten.
  proxy.dropReplyTo(words => words.includes(`${bench.prefix}:${queueName}:soloist-swept`), 'reset')
  const error: unknown = await queue.obliterate().catch(reason => reason)
  expect(error).toBeInstanceOf(SoloistError)
  expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: expect.any(Error) })
  await queue.close()
})
