import { SingletonFlowProducer, SingletonQueue, type SingletonSettings } from 'soloist/bullmq'
import { beforeEach, describe, expect, test } from 'vitest'
import { type RedisProxy, startProxy } from '../support/proxy.js'
import {
  type Bench,
  connectionThrough,
  connectionTo,
  type Data,
  haltAfterTake,
  type Merged,
  merging,
  type TestQueue,
  until,
  untilIdle,
  useBench,
  valuesOf,
} from './support.js'

// Lock and job are two steps, and the way to the queue is slow or cut while that to the locks is not.

let bench: Bench
useBench('may fail', fresh => {
  bench = fresh
})

let proxy: RedisProxy
beforeEach(async () => {
  proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(async () => {
    proxy.heal()
    await proxy.close()
  })
})

const data = (value: number) => ({ key: 1, value })
const node = (value: number, key: number) => ({ name: 'sync', queueName: 'work', data: { key, value } })
const options = (settings: Partial<SingletonSettings<Data>>) => ({
  connection: connectionThrough(proxy),
  prefix: bench.prefix,
  singleton: { solo: bench.solo, jobs: { sync: merging }, ...settings } as never,
})

/** A queue that is connected through the proxy, while its locks are not. */
async function through(settings: Partial<SingletonSettings<Data>> = {}): Promise<TestQueue> {
  const queue: TestQueue = new SingletonQueue<Data, number, string>('work', options(settings))
  queue.on('error', () => {})
  bench.closeLater(async () => {
    proxy.heal()
    await queue.close()
  })
  await queue.waitUntilReady()
  return queue
}

async function flowsThrough(): Promise<SingletonFlowProducer> {
  const flows = new SingletonFlowProducer(options({}))
  flows.on('error', () => {})
  bench.closeLater(async () => {
    proxy.heal()
    await flows.close()
  })
  await flows.waitUntilReady()
  return flows
}

/** Locks whose next trigger is followed by this, before anybody hears of it. */
function afterTrigger(act: () => void) {
  const solo = bench.client()
  const trigger = solo.jobs.trigger.bind(solo.jobs)
  solo.jobs.trigger = async (...args) => {
    const told = await trigger(...args)
    solo.jobs.trigger = trigger
    act()
    return told
  }
  return solo
}

const codeOf = (adding: Promise<unknown>) =>
  adding.then(
    () => 'added',
    (error: { code?: unknown }) => error.code,
  )

/** Runs all there is, the first run held until another job has come to its start. */
async function runAll(queue: TestQueue): Promise<{ readonly values: number[][]; readonly mostAtOnce: number }> {
  const values: number[][] = []
  let [running, mostAtOnce] = [0, 0]
  let letGo = () => {}
  const gate = new Promise<void>(resolve => {
    letGo = resolve
  })
  const run = async (job: { readonly data: Data }) => {
    running += 1
    mostAtOnce = Math.max(mostAtOnce, running)
    values.push([...valuesOf(job.data as Merged)])
    await gate
    running -= 1
    return 0
  }
  const solo = bench.solo
  const worker = bench.worker(run, { singleton: { solo, jobs: { sync: merging } as never }, stalledInterval: 200 })
  await until(async () => (await queue.getJobCounts()).delayed !== 0)
  letGo()
  await untilIdle(bench, queue)
  await worker.close()
  return { values, mostAtOnce }
}

test('what was left with a run that others gave up, before its job came, is in another run', async () => {
  const late = bench.client()
  const letOn = haltAfterTake(late)
  const graceMs = 300
  const first = bench.queue(merging, { solo: late, graceMs })
  const third = bench.queue(merging, { solo: bench.solo, graceMs })
  const slow = await through({ solo: afterTrigger(() => proxy.blackhole()), graceMs })
  const adding = first.addUnique('sync', data(0))
  await until(async () => Object.keys(await bench.held()).length === 1)
  // It leaves its data, and then asks for the job.
  const leaving = slow.addUnique('sync', data(1))
  await until(() => proxy.held > 0)
  expect((await third.addUnique('sync', data(2))).outcome.status).toBe('recovered')
  letOn()
  const { job, outcome } = await adding
  proxy.heal()
  await leaving
  const { values, mostAtOnce } = await runAll(first)
  expect(values.flat().toSorted()).toEqual([0, 1, 2])
  expect([outcome.status, mostAtOnce]).toEqual(['started', 1])
  expect(await first.getJob(job?.id as string)).toMatchObject({ returnvalue: 0 })
})

describe("the queue's Redis does not answer", () => {
  test('at all: no add takes a lock, and nothing is queued', async () => {
    const [queue, flows] = await Promise.all([through(), flowsThrough()])
    proxy.blackhole()
    const adds = [
      queue.add('sync', data(0)),
      queue.addUnique('sync', data(1)),
      queue.addBulk([2, 3].map(value => ({ name: 'sync', data: data(value) }))),
      flows.add({ ...node(4, 2), children: [node(5, 3)] }),
    ]
    const codes = await Promise.all(adds.map(codeOf))
    expect(codes).toEqual(codes.map(() => 'BACKEND_UNAVAILABLE'))
    expect(await bench.held()).toEqual({})
    proxy.heal()
    expect(await queue.getJobCountByTypes('waiting', 'delayed')).toBe(0)
    expect((await queue.addUnique('sync', data(6))).outcome.status).toBe('started')
  })

  test.each(['add', 'addBulk', 'flow'])(
    'once the lock is taken, %s: the job may come later, and keeps its lock',
    async how => {
      const solo = afterTrigger(() => proxy.blackhole())
      const queue = await through(how === 'flow' ? {} : { solo })
      const flows = new SingletonFlowProducer(options({ solo }))
      flows.on('error', () => {})
      bench.closeLater(() => flows.close())
      await flows.waitUntilReady()
      const adding =
        how === 'add'
          ? queue.add('sync', data(0))
          : how === 'addBulk'
            ? queue.addBulk([{ name: 'sync', data: data(0) }])
            : flows.add(node(0, 1))
      expect(await codeOf(adding)).toBe('BACKEND_UNAVAILABLE')
      expect(Object.keys(await bench.held())).toHaveLength(1)
      proxy.heal()
      await until(async () => (await queue.getJobCountByTypes('waiting')) === 1)
      // What is part of a flow runs with its own data.
      const follows = how === 'flow'
      expect((await queue.addUnique('sync', data(1))).outcome.status).toBe(follows ? 'deferred' : 'duplicate')
      const seen: (readonly number[])[] = []
      const run = async (job: { readonly data: Data }) => seen.push(valuesOf(job.data))
      bench.worker(run, { singleton: { solo: bench.solo, jobs: { sync: merging } as never } })
      await untilIdle(bench, queue)
      expect(seen).toEqual(follows ? [[0], [1]] : [[0, 1]])
    },
  )

  test('and is gone: adds reject, and it can be closed', async () => {
    const [queue, flows] = await Promise.all([through(), flowsThrough()])
    await Promise.all([queue.add('sync', data(0)), flows.add(node(0, 2))])
    const lost = new Promise(resolve => queue.once('error', resolve))
    // Nobody listens there.
    proxy.retarget(1)
    proxy.resetAll()
    await lost
    const adds = [queue.add('sync', data(1)), flows.add(node(1, 2)), queue.addBulk([{ name: 'sync', data: data(2) }])]
    const codes = await Promise.all(adds.map(codeOf))
    expect(codes).toEqual(codes.map(() => 'BACKEND_UNAVAILABLE'))
    // What a client keeps for when it is connected again stands before BullMQ's word that this is the end.
    const kept = [queue.getJob('none'), flows.getFlow({ queueName: 'work', id: 'none' })].map(codeOf)
    await Promise.all([queue.close(), flows.close()])
    expect(await Promise.all(kept)).not.toContain('added')
  })
})
