import { Job } from 'bullmq'
import { SingletonWorker } from 'soloist/bullmq'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { removeQueued } from '../../dist/adapters/bullmq/triggers.js'
import { type Bench, connectionTo, type Data, type Recorder, until, untilIdle, useBench } from './support.js'

// A trigger that changes a waiting job's data, against a worker that starts that job: at every point between their steps.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

afterEach(() => {
  vi.restoreAllMocks()
})

const data = (value: number) => ({ key: 1, value })

/** Somebody reaches a point, and goes on when the test lets it. */
class Gate {
  reach: () => void = () => {}
  open: () => void = () => {}
  readonly reached = new Promise<void>(resolve => {
    this.reach = resolve
  })
  readonly opened = new Promise<void>(resolve => {
    this.open = resolve
  })
}

/** A worker that comes to a halt when BullMQ has given it a job, before it claims anything. */
function haltingWorker(halt: Gate): void {
  class HaltingWorker extends SingletonWorker<Data, number> {
    protected override async callProcessJob(job: Job<Data, number>, token: string, signal?: AbortSignal) {
      halt.reach()
      await halt.opened
      return await super.callProcessJob(job, token, signal)
    }
  }
  const worker = new HaltingWorker('work', (job, _token, signal) => runs.run(job, signal as AbortSignal), {
    connection: connectionTo(bench.url),
    prefix: bench.prefix,
    concurrency: 3,
    singleton: { solo: bench.solo },
  })
  bench.closeLater(() => worker.close())
}

/** From now on a trigger comes to a halt when it is about to write a waiting job's data. */
function haltWrites(halt: Gate): void {
  const write = Job.prototype.updateData
  vi.spyOn(Job.prototype, 'updateData').mockImplementation(async function (this: Job, newer: unknown) {
    halt.reach()
    await halt.opened
    return await write.call(this, newer)
  })
}

for (const mode of ['untilExecuted', 'untilExecuting', 'untilAndWhileExecuting'] as const) {
  describe(mode, () => {
    test('data written after a worker has fetched the job, and before it starts, is what it runs', async () => {
      const queue = bench.queue({ mode, onDuplicate: 'rerun' })
      const halt = new Gate()
      haltingWorker(halt)
      await queue.add('sync', data(1))
      await halt.reached
      expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('duplicate')
      halt.open()
      await runs.untilStarted(1)
      await untilIdle(bench, queue)
      expect(runs.started).toEqual([2])
    })

    test('data written after the job has started counts for nothing: the trigger gets a run of its own', async () => {
      const queue = bench.queue({ mode, onDuplicate: 'rerun' })
      await queue.add('sync', data(1))
      const halt = new Gate()
      haltWrites(halt)
      const trigger = queue.addUnique('sync', data(2))
      await halt.reached
      runs.hold()
      bench.worker(runs.run)
      await runs.untilStarted(1)
      halt.open()
      const { outcome } = await trigger
      expect(outcome.status).toBe(mode === 'untilExecuted' ? 'deferred' : 'started')
      runs.letGo()
      await runs.untilStarted(2)
      await untilIdle(bench, queue)
      expect(runs.started).toEqual([1, 2])
    })

    test('data written after the job has ended counts for nothing either', async () => {
      const queue = bench.queue({ mode, onDuplicate: 'rerun' })
      await queue.add('sync', data(1))
      const halt = new Gate()
      haltWrites(halt)
      const trigger = queue.addUnique('sync', data(2))
      await halt.reached
      bench.worker(runs.run)
      await runs.untilStarted(1)
      await untilIdle(bench, queue)
      halt.open()
      expect((await trigger).outcome.status).toBe('started')
      await runs.untilStarted(2)
      await untilIdle(bench, queue)
      expect(runs.started).toEqual([1, 2])
    })
  })
}

describe('the follow-up', () => {
  test('runs with what was written before it let go of its slot, and what comes later gets another', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' })
    runs.hold()
    bench.worker(runs.run)
    await queue.add('sync', data(1))
    await runs.untilStarted(1)
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('deferred')
    const halt = new Gate()
    haltWrites(halt)
    const third = queue.addUnique('sync', data(3))
    await halt.reached
    runs.letGo()
    await runs.untilStarted(2)
    halt.open()
    await third
    await runs.untilStarted(3)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1, 2, 3])
    expect(runs.mostAtOnce).toBe(1)
  })

  test('is not lost when its data is written while a worker has fetched it', async () => {
    const queue = bench.queue({ mode: 'whileExecuting', onDuplicate: 'rerun' })
    runs.hold()
    bench.worker(runs.run, { concurrency: 1 })
    await queue.add('sync', data(1))
    await runs.untilStarted(1)
    await queue.add('sync', data(2))
    // Another worker fetches the follow-up, and halts.
    const halt = new Gate()
    haltingWorker(halt)
    await halt.reached
    expect((await queue.addUnique('sync', data(3))).outcome.status).toBe('deferred')
    runs.letGo()
    halt.open()
    await runs.untilStarted(2)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1, 3])
  })
})

test('replace follows a job that a worker has fetched: it may have started', async () => {
  const queue = bench.queue({ onDuplicate: 'replace' })
  const halt = new Gate()
  haltingWorker(halt)
  const old = await queue.add('sync', data(1))
  await halt.reached
  const followed = await queue.addUnique('sync', data(2))
  expect(followed.outcome.status).toBe('replaced')
  halt.open()
  await runs.untilStarted(2)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 2])
  expect(await old.getState()).toBe('completed')
})

test('a producer that dies between taking a place and removing who had it: the old job is removed before the new one runs', async () => {
  const queue = bench.queue({ onDuplicate: 'replace' })
  const old = await queue.add('sync', data(1), { delay: 60_000 })
  vi.spyOn(Job.prototype, 'remove').mockResolvedValue(undefined)
  expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('replaced')
  vi.restoreAllMocks()
  expect(await old.getState()).toBe('delayed')
  bench.worker(runs.run)
  await runs.untilStarted(1)
  await until(async () => (await queue.getJob(old.id as string)) === undefined)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([2])
})

test('a job that is to be replaced, and has started or ended since it was read, is kept', async () => {
  const queue = bench.queue({})
  const job = await queue.add('sync', data(1))
  const seen = await queue.getJob(job.id as string)
  runs.hold()
  bench.worker(runs.run)
  await runs.untilStarted(1)
  expect(await removeQueued(seen as Job)).toBe(false)
  runs.letGo()
  await until(async () => (await queue.getCompletedCount()) === 1)
  expect(await removeQueued(seen as Job)).toBe(false)
  expect((await queue.getJob(job.id as string))?.returnvalue).toBe(1)
})
