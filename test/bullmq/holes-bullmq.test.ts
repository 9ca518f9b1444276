import { Job, Queue, Worker } from 'bullmq'
import { DuplicateJobError } from 'soloist'
import { singletonRun } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, connectionTo, type Recorder, until, untilIdle, useBench } from './support.js'

// What BullMQ's own deduplication and job ids leave open, each shown to be closed here.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number) => ({ key: 1, value })

describe('a lock never outlives its job', () => {
  test('a job whose hash vanished blocks nobody', async () => {
    const queue = bench.queue({})
    const { id } = await queue.add('sync', data(1))
    await bench.redis.del(`${bench.prefix}:work:${id}`)
    const { job, outcome } = await queue.addUnique('sync', data(2))
    expect(outcome.status).toBe('recovered')
    expect(job?.id).not.toBe(id)
  })

  const removals: Record<string, (queue: ReturnType<Bench['queue']>, id: string) => Promise<unknown>> = {
    drain: queue => queue.drain(true),
    clean: queue => queue.clean(0, 10, 'wait'),
    obliterate: queue => queue.obliterate(),
    'queue.remove': (queue, id) => queue.remove(id),
    'job.remove': async (queue, id) => await (await queue.getJob(id))?.remove(),
  }
  for (const [name, remove] of Object.entries(removals)) {
    test(`${name} of a queued job leaves no blocked key and no second live job`, async () => {
      const queue = bench.queue({})
      const { id } = await queue.add('sync', data(1))
      await remove(queue, id as string)
      const added = await queue.addUnique('sync', data(2))
      expect(['started', 'recovered']).toContain(added.outcome.status)
      expect((await queue.addUnique('sync', data(3))).outcome).toMatchObject({
        status: 'duplicate',
        id: added.outcome.id,
      })
      bench.worker(runs.run)
      await runs.untilStarted(1)
      await untilIdle(bench, queue)
      expect(runs.started).toEqual([2])
    })
  }

  for (const name of ['drain', 'obliterate'] as const) {
    test(`${name} while the job runs and a follow-up waits leaves no blocked key`, async () => {
      const queue = bench.queue({ onDuplicate: 'rerun' })
      runs.hold()
      bench.worker(runs.run, { lockDuration: 1_000 })
      await queue.add('sync', data(1))
      await runs.untilStarted(1)
      await queue.add('sync', data(2))
      // Snoozing, it is delayed.
      if (name === 'drain') await queue.drain(true)
      else await queue.obliterate({ force: true })
      runs.letGo()
      await until(async () => Object.keys(await bench.held()).length === 0)
      bench.faults.length = 0
      const added = await queue.addUnique('sync', data(3))
      expect(['started', 'recovered']).toContain(added.outcome.status)
      await until(() => runs.started.includes(3))
      await until(async () => (await queue.getJobCounts()).active === 0)
      // A lock whose job is gone is honoured for the grace time, also by a sweep.
      await until(async () => {
        await queue.sweep()
        return Object.keys(await bench.held()).length === 0
      })
      bench.faults.length = 0
    })
  }

  test('a sweep takes what nobody asks for, and nothing of the living', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' })
    const gone = await queue.add('sync', { key: 1, value: 1 })
    const live = await queue.add('sync', { key: 2, value: 2 })
    await bench.redis.del(`${bench.prefix}:work:${gone.id}`)
    expect(await queue.sweep()).toBe(1)
    expect(Object.values(await bench.held())).toEqual([`bullmq:${bench.prefix}:work:${live.id}`])
  })
})

describe('a job that is retried by hand', () => {
  async function failed(): Promise<{ queue: ReturnType<Bench['queue']>; job: Job }> {
    const queue = bench.queue({})
    let fails = true
    const worker = bench.worker(async (job, signal) => {
      await runs.run(job, signal)
      if (!fails) return 0
      fails = false
      throw new Error('as it should')
    })
    const ended = new Promise(resolve => worker.once('failed', resolve))
    const { id } = await queue.add('sync', data(1))
    await ended
    await untilFree()
    return { queue, job: (await queue.getJob(id as string)) as Job }
  }
  const untilFree = () => until(async () => Object.keys(await bench.held()).length === 0)

  test('takes its key again', async () => {
    const { queue, job } = await failed()
    await queue.pause()
    await job.retry()
    expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'duplicate', id: job.id })
    await queue.resume()
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1, 1])
  })

  test('is refused while another one is live, and stays failed', async () => {
    const { queue, job } = await failed()
    await queue.pause()
    const second = await queue.add('sync', data(2))
    await expect(job.retry()).rejects.toBeInstanceOf(DuplicateJobError)
    expect(await job.getState()).toBe('failed')
    await queue.resume()
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1, 2])
    expect(await second.getState()).toBe('completed')
  })

  test('past this adapter, as by a dashboard, waits at its start for the live one', async () => {
    const { queue, job } = await failed()
    runs.hold()
    await queue.add('sync', data(2))
    await runs.untilStarted(2)
    const plain = new Queue('work', { connection: connectionTo(bench.url), prefix: bench.prefix })
    bench.closeLater(() => plain.close())
    await (await plain.getJob(job.id as string))?.retry()
    await until(async () => (await queue.getJobCounts()).delayed === 1)
    expect(runs.running).toBe(1)
    runs.letGo()
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1, 2, 1])
    expect(runs.mostAtOnce).toBe(1)
  })
})

test('a job that was added by id and has completed is told as what it is', async () => {
  const queue = bench.queue({})
  bench.worker(runs.run)
  await queue.add('sync', data(1), { jobId: 'mine' })
  await until(async () => (await queue.getJob('mine'))?.finishedOn !== undefined)
  await untilIdle(bench, queue)
  const { outcome } = await queue.addUnique('sync', data(1), { jobId: 'mine' })
  expect(outcome).toMatchObject({ status: 'duplicate', id: 'mine', state: 'finished' })
  expect(await bench.held()).toEqual({})
})

test('ids with colons and percent signs are told apart', async () => {
  const queue = bench.queue({})
  const ids = ['a:b:c', 'a%3Ab:c:d', 'a#run', 'a']
  for (const [key, jobId] of ids.entries()) await queue.add('sync', { key, value: key }, { jobId })
  for (const [key, jobId] of ids.entries()) {
    expect((await queue.addUnique('sync', { key, value: 9 })).outcome).toMatchObject({ status: 'duplicate', id: jobId })
  }
  bench.worker(runs.run)
  await runs.untilStarted(4)
  await untilIdle(bench, queue)
  expect(runs.started.toSorted()).toEqual([0, 1, 2, 3])
})

test('no event tells of jobs that were not added', async () => {
  const queue = bench.queue({})
  const waiting: (string | undefined)[] = []
  queue.on('waiting', job => waiting.push(job.id))
  const { id } = await queue.add('sync', data(1))
  await queue.add('sync', data(2))
  expect(waiting).toEqual([id])
})

test('replace takes the place of any job that has not started, not only of a delayed one', async () => {
  const queue = bench.queue({ onDuplicate: 'replace' })
  for (const opts of [{ delay: 60_000 }, { priority: 3 }, {}]) {
    await queue.drain(true)
    await queue.sweep()
    const old = await queue.add('sync', data(1), opts)
    const { outcome } = await queue.addUnique('sync', data(2))
    expect(outcome).toMatchObject({ status: 'replaced' })
    expect(await queue.getJob(old.id as string)).toBeUndefined()
    expect((await queue.getJobCounts()).waiting).toBe(1)
  }
})

test("a throttle's window stands although the job is done, and is not freed with it", async () => {
  const queue = bench.queue({ mode: 'untilExpired', expiryMs: 5_000 })
  bench.worker(runs.run, { removeOnComplete: { count: 0 } })
  const startedAt = performance.now()
  const { id } = await queue.add('sync', data(1))
  await until(async () => (await queue.getJob(id as string)) === undefined)
  expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'duplicate', id, state: 'finished' })
  await until(async () => (await queue.addUnique('sync', data(3))).outcome.status === 'started')
  expect(performance.now() - startedAt).toBeGreaterThan(4_990)
})

test("a throttle's window stands although its job was removed, beyond the grace time", async () => {
  const queue = bench.queue({ mode: 'untilExpired', expiryMs: 60_000 }, { graceMs: 1 })
  const { id } = await queue.add('sync', data(1))
  await queue.drain()
  await until(async () => {
    const { outcome } = await queue.addUnique('sync', data(2))
    expect(outcome).toMatchObject({ status: 'duplicate', id })
    return (outcome.ageMs ?? 10) > 5
  })
})

test('the last of many triggers while the job runs is kept, however the job ends', async () => {
  const queue = bench.queue({ onDuplicate: 'rerun' })
  runs.hold()
  bench.worker(async (job, signal) => {
    await runs.run(job, signal)
    if (job.data.value === 1) throw new Error('as it should')
    return 0
  })
  await queue.add('sync', data(1))
  await runs.untilStarted(1)
  for (const value of [2, 3, 4]) await queue.add('sync', data(value))
  runs.letGo()
  await runs.untilStarted(2)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 4])
})

test('a worker that stalled is told so, its run cannot free the key, and the fence tells the runs apart', async () => {
  const queue = bench.queue({ onDuplicate: 'delay' })
  runs.hold()
  // It renews nothing at BullMQ, as if its event loop had been blocked.
  let stuckEnds: () => void = () => {}
  const stuck = bench.worker(
    async job => {
      runs.started.push(job.data.value)
      const run = singletonRun(job)
      runs.fences.push(run.fence)
      await new Promise<void>(resolve => {
        stuckEnds = resolve
      })
      expect(() => run.assertValid()).toThrow(expect.objectContaining({ code: 'LEASE_LOST' }))
      return 0
    },
    { lockDuration: 1_000, concurrency: 1, skipLockRenewal: true, skipStalledCheck: true },
  )
  const { id } = await queue.add('sync', data(1))
  await until(() => runs.started.length === 1)
  const healthy = bench.worker(runs.run, { stalledInterval: 200, concurrency: 1 })
  await new Promise(resolve => healthy.once('stalled', resolve))
  await runs.untilStarted(2)
  const { job: next } = await queue.addUnique('sync', data(2))
  // The old run ends beside the new one, and BullMQ refuses its result.
  stuckEnds()
  await until(() => bench.faults.length > 0)
  expect(Object.values(await bench.held())).toEqual([`bullmq:${queue.qualifiedName}:${id}`])
  expect(await next?.getState()).toBe('delayed')
  await stuck.close()
  runs.letGo()
  await runs.untilStarted(3)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 1, 2])
  expect(runs.fences[1]).toBeGreaterThan(runs.fences[0] as number)
  bench.faults.length = 0
})

test('deduplication of BullMQ beside ours: what it did not add holds no lock', async () => {
  const queue = bench.queue({})
  const opts = { deduplication: { id: 'one' } }
  const { id } = await queue.add('sync', { key: 1, value: 1 }, opts)
  const second = await queue.addUnique('sync', { key: 2, value: 2 }, opts)
  expect(second.outcome).toMatchObject({ status: 'duplicate', id })
  expect(Object.values(await bench.held())).toEqual([`bullmq:${bench.prefix}:work:${id}`])
})

test('plain jobs pass through both classes as they are', async () => {
  const queue = bench.queue({})
  bench.worker(runs.run)
  const job = await queue.add('other', data(5))
  expect(job.singleton).toBeUndefined()
  await runs.untilStarted(1)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([5])
  expect(job).toBeInstanceOf(Job)
})

test('a plain worker runs singleton jobs without their guarantee, and their keys are free afterwards', async () => {
  // Its end stays news: later, its lock would be one that was left behind.
  const queue = bench.queue({}, { graceMs: 30_000 })
  const worker = new Worker('work', async () => 0, { connection: connectionTo(bench.url), prefix: bench.prefix })
  bench.closeLater(() => worker.close())
  const ended = new Promise(resolve => worker.once('completed', resolve))
  await queue.add('sync', data(1))
  await ended
  expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('started')
})
