import { type JobsOptions, Queue } from 'bullmq'
import { SoloistError } from 'soloist'
import {
  SingletonAdder,
  type SingletonJobOptions,
  SingletonProcessor,
  SingletonQueue,
  SingletonWorker,
} from 'soloist/bullmq'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Bench, connectionTo, type Data } from './support.js'

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

afterEach(async () => {
  await bench.close()
})

function refusal(make: () => unknown): unknown {
  try {
    make()
  } catch (error) {
    return error
  }
  return null
}

describe('options that are refused when the queue is made', () => {
  const cases: Record<string, unknown> = {
    'no options': null,
    'an unknown mode': { mode: 'always' },
    'an unknown strategy': { onDuplicate: 'ignore' },
    'an expiry without untilExpired': { expiryMs: 1_000 },
    'untilExpired without an expiry': { mode: 'untilExpired' },
    'an expiry that is no number': { mode: 'untilExpired', expiryMs: '1s' },
    'an expiry of nothing': { mode: 'untilExpired', expiryMs: 0 },
    'a merge that is no function': { onDuplicate: 'rerun', merge: true },
    'a merge without rerun': { merge: (a: Data) => a },
    'onRunning without replace': { onRunning: 'stop' },
    'an unknown onRunning': { onDuplicate: 'replace', onRunning: 'kill' },
    'onRunning where no run is in the way': { onDuplicate: 'replace', onRunning: 'stop', mode: 'untilExecuting' },
    'onRunning where runs do not exclude each other': {
      onDuplicate: 'replace',
      onRunning: 'stop',
      mode: 'untilExpired',
      expiryMs: 1_000,
    },
    'uniqueOn that is a string': { uniqueOn: 'key' },
    'a serialize that is no function': { serialize: 'json' },
    'an option that there is not': { uniqueon: ['key'] },
  }
  for (const [name, options] of Object.entries(cases)) {
    test(name, () => {
      const error = refusal(() =>
        bench.queue(options as SingletonJobOptions<Data>, { jobs: { sync: options as never } }),
      )
      expect(error).toBeInstanceOf(SoloistError)
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
    })
  }

  const settings: Record<string, object> = {
    'no jobs': { jobs: undefined },
    'a grace time of nothing': { jobs: {}, graceMs: 0 },
    'a setting that there is not': { jobs: {}, onbackendfault: 'enqueue' },
    'an unknown onBackendFault': { jobs: {}, onBackendFault: 'ignore' },
    'something else for solo': { jobs: {}, solo: {} },
    'a prefix that is no string': { jobs: {}, prefix: 7 },
    'a prefix that leaves no hash tag': { jobs: {}, prefix: 'a{}' },
  }
  for (const [name, singleton] of Object.entries(settings)) {
    test(name, () => {
      const connection = connectionTo(bench.url)
      const error = refusal(() => new SingletonQueue('work', { connection, singleton: singleton as never }))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
    })
  }

  test('a prefix for locks that have one already', async () => {
    expect(refusal(() => bench.queue({}, { solo: bench.solo, prefix: 'other:' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('contradicts singleton.solo'),
    })
  })

  test('of a worker', () => {
    const connection = connectionTo(bench.url)
    for (const singleton of [
      { onLapsed: 'run' },
      { onlapsed: 'fail' },
      { snoozeMs: 1 },
      { graceMs: Number.NaN },
      { solo: 1 },
      { prefix: 1 },
    ]) {
      const make = () => new SingletonWorker('work', async () => 0, { connection, singleton: singleton as never })
      expect(refusal(make)).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    expect(refusal(() => new SingletonProcessor('file.js' as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('data that is refused before anything is sent', () => {
  const cyclic: Record<string, unknown> = {}
  cyclic.self = cyclic
  const cases: Record<string, unknown> = {
    'a cycle': cyclic,
    'a function': { key: () => 1 },
    NaN: { key: Number.NaN },
    'a BigInt': { key: 1n },
    'a class instance': { key: new Date() },
  }
  for (const [name, data] of Object.entries(cases)) {
    test(name, async () => {
      const queue = bench.queue({ uniqueOn: undefined })
      await expect(queue.add('sync', data as Data)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(await bench.held()).toEqual({})
      expect((await queue.getJobCounts()).waiting).toBe(0)
    })
  }

  test('an absent field of uniqueOn', async () => {
    const queue = bench.queue({ uniqueOn: ['key'] })
    await expect(queue.add('sync', { value: 1 } as Data)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  test('serialize lets through what JSON cannot say', async () => {
    const serialize = (value: unknown) => String(value)
    const queue = bench.queue({ uniqueOn: data => BigInt(data.key), serialize })
    await queue.add('sync', { key: 1, value: 1 })
    expect((await queue.add('sync', { key: 1, value: 2 })).singleton?.status).toBe('duplicate')
    expect((await queue.add('sync', { key: 2, value: 2 })).singleton?.status).toBe('started')
  })

  test('addUnique of a name that has no options', async () => {
    const queue = bench.queue({})
    await expect(queue.addUnique('other', { key: 1, value: 1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  test('options BullMQ refuses leave no lock', async () => {
    const queue = bench.queue({})
    await expect(queue.add('sync', { key: 1, value: 1 }, { priority: 1.5 })).rejects.toThrow('Priority')
    expect(await bench.held()).toEqual({})
  })
})

describe.each(['one step', 'two steps'])('options of a job that BullMQ cannot take, in %s', steps => {
  const cyclic: Record<string, unknown> = {}
  cyclic.self = cyclic
  const refused: Record<string, object> = {
    'a cycle': { foo: cyclic },
    'an id that is a number': { jobId: 12 },
    'an id that is an object': { jobId: {} },
    'an id that is half a character': { jobId: '\ud800' },
    'the id of a list of the queue': { jobId: 'wait' },
    'the id of data of the queue': { jobId: 'meta' },
    'the id of what the locks keep of the queue': { jobId: 'soloist' },
    'a delay that is no number': { delay: Number.NaN },
    'a delay without end': { delay: Number.POSITIVE_INFINITY },
    'a priority that is no number': { priority: Number.NaN },
    'attempts that are no number': { attempts: Number.NaN },
    'a nested number that is none': { removeOnComplete: { age: Number.NaN } },
    'a date': { timestamp: new Date(0) },
    'a symbol': { foo: Symbol('foo') },
    'a delay that is an object': { delay: {} },
    'a delay that is true': { delay: true },
    'a timestamp that is a list': { timestamp: [1] },
    'a key of a scheduler that is an object': { repeatJobKey: {} },
    'a deduplication that is a number': { deduplication: 0 },
    'a deduplication whose id is an object': { deduplication: { id: {} } },
    'a deduplication whose id is true': { deduplication: { id: true } },
    'a deduplication whose time is a text': { deduplication: { id: 'mine', ttl: 'x' } },
    'a deduplication whose time is true': { deduplication: { id: 'mine', ttl: true, extend: true } },
    'a deduplication whose time is an object': { deduplication: { id: 'mine', ttl: {}, replace: true } },
    'a deduplication of half a millisecond': { deduplication: { id: 'mine', ttl: 1.5 } },
    'a deduplication for longer than Redis can count': { deduplication: { id: 'mine', ttl: 1e300 } },
    'a debounce whose time is a text': { debounce: { id: 'mine', ttl: '5' } },
    'what the scripts are told of a deduplication, as a number': { de: 1 },
  }
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })
  const adderOf = () => {
    const plain = new Queue(bench.queueName, { connection: connectionTo(bench.url), prefix: bench.prefix })
    bench.closeLater(() => plain.close())
    return new SingletonAdder<Data>(plain, {
      ...(steps === 'one step' ? { prefix: bench.lockPrefix } : solo()),
      jobs: { sync: { uniqueOn: ['key'] } },
    })
  }
  const data = { key: 1, value: 1 }
  const invalid = { name: 'SoloistError', code: 'INVALID_ARGUMENT' }

  test.each(Object.keys(refused))('%s', async what => {
    const queue = bench.queue({}, solo())
    const flows = bench.flows({}, solo())
    const adder = adderOf()
    await queue.waitUntilReady()
    const opts = refused[what] as JobsOptions
    const job = { name: 'sync', data, opts }
    const other = { name: 'sync', data: { key: 2, value: 2 } }
    const flow = { ...job, queueName: bench.queueName }
    const ways: Record<string, () => Promise<unknown>> = {
      add: () => queue.add('sync', data, opts),
      addUnique: () => queue.addUnique('sync', data, opts),
      addBulk: () => queue.addBulk([other, job]),
      adder: () => adder.addUnique('sync', data, opts),
      'bulk of the adder': () => adder.addBulkUnique([other, job]),
      flow: () => flows.add(flow),
      child: () => flows.add({ name: 'plain', queueName: bench.queueName, children: [flow] }),
      flows: () => flows.addBulk([flow]),
    }
    for (const [way, add] of Object.entries(ways)) {
      const error: unknown = await add().catch(reason => reason)
      expect([way, error]).toMatchObject([way, invalid])
      expect([way, await queue.count(), await bench.held()]).toEqual([way, 0, {}])
    }
  })

  test('a plain job that cannot be sent does not shift the ids of those it is added with', async () => {
    const queue = bench.queue({}, solo())
    const bulk = [
      { name: 'plain', data, opts: { foo: cyclic } as JobsOptions },
      { name: 'sync', data },
    ]
    await expect(queue.addBulk(bulk)).rejects.toMatchObject(invalid)
    expect([await queue.count(), await bench.held()]).toEqual([0, {}])
  })

  test('what is left out as BullMQ allows is no fault', async () => {
    const queue = bench.queue({}, solo())
    const none = { delay: false, timestamp: null, deduplication: false } as never
    expect((await queue.add('sync', data, none)).singleton?.status).toBe('started')
    const ttls = [false, null, -1, 0, 10n] as never[]
    for (const [key, ttl] of ttls.entries()) {
      const opts = { delay: '5' as never, deduplication: { id: `${key}`, ttl } }
      expect((await queue.add('sync', { key: key + 2, value: 1 }, opts)).singleton?.status).toBe('started')
    }
  })

  test('a parent that is not there: the others of the call are added', async () => {
    const queue = bench.queue({}, solo())
    const opts = { parent: { id: 'nobody', queue: `${bench.prefix}:nowhere` } }
    const cause = { code: -5 }
    await expect(queue.add('sync', data, opts)).rejects.toMatchObject({ ...invalid, cause })
    const bulk = [
      { name: 'sync', data, opts },
      { name: 'sync', data: { key: 2, value: 2 } },
    ]
    await expect(queue.addBulk(bulk)).rejects.toMatchObject({ ...invalid, cause })
    await expect(adderOf().addBulkUnique([{ name: 'plain', data, opts }])).rejects.toMatchObject({ ...invalid, cause })
    expect((await queue.getJobs()).map(job => job.data.value)).toEqual([2])
    expect(Object.keys(await bench.held())).toHaveLength(1)
    const flows = bench.flows({}, solo())
    const flow = { name: 'sync', data, queueName: bench.queueName, opts }
    await expect(flows.add(flow)).rejects.toMatchObject(invalid)
    await expect(flows.addBulk([flow])).rejects.toMatchObject(invalid)
    expect([await queue.count(), Object.keys(await bench.held()).length]).toEqual([1, 1])
    expect((await queue.add('sync', data)).singleton?.status).toBe('started')
  })

  test('what only a script refuses leaves no lock', async () => {
    const queue = bench.queue({}, solo())
    const flows = bench.flows({ onDuplicate: 'reject' }, solo())
    const opts = { deduplication: { id: 'mine', replace: true } }
    await queue.waitUntilReady()
    // Something else is where the script looks.
    await bench.redis.lpush(`${bench.prefix}:work:de:mine`, 'x')
    await expect(queue.add('sync', data, opts)).rejects.toBeInstanceOf(SoloistError)
    expect(await bench.held()).toEqual({})
    await expect(queue.add('sync', data, { ...opts, jobId: 'mine' })).rejects.toBeInstanceOf(SoloistError)
    expect(await bench.held()).toEqual({})
    const flow = { name: 'sync', data, queueName: bench.queueName, opts }
    await expect(flows.add(flow)).rejects.toBeInstanceOf(SoloistError)
    expect(await bench.held()).toEqual({})
  })
})

test('uniqueOn is checked against the data of the jobs', () => {
  const typed: SingletonJobOptions<Data>[] = [
    { uniqueOn: ['key'] },
    { uniqueOn: ({ key, value }) => [key, value] },
    // @ts-expect-error: there is no such field
    { uniqueOn: ['name'] },
    // @ts-expect-error: nor here
    { uniqueOn: ({ name }) => name },
  ]
  expect(typed).toHaveLength(4)
})

test("a queue without types takes jobs of any name and data, as BullMQ's own", async () => {
  const queue = new SingletonQueue('work', {
    connection: connectionTo(bench.url),
    prefix: bench.prefix,
    singleton: { solo: bench.solo, jobs: { account: { uniqueOn: ['id'] }, mail: { uniqueOn: ({ to }) => to } } },
  })
  bench.closeLater(() => queue.close())
  expect((await queue.add('account', { id: 7, cause: 'webhook' })).singleton?.status).toBe('started')
  expect((await queue.add('mail', { to: 'a', text: '' })).singleton?.status).toBe('started')
  expect((await queue.add('other', { any: 'thing' })).singleton).toBeUndefined()
})
