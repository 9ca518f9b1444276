import { SoloistError } from 'soloist'
import { type SingletonJobOptions, SingletonProcessor, SingletonQueue, SingletonWorker } from 'soloist/bullmq'
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
