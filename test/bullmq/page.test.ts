import { SingletonWorker } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, connectionTo, type Data, type Recorder, type TestJob, untilIdle, useBench } from './support.js'

// What docs/adapters/bullmq.md says beside its tables.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })

describe.each(['one step', 'two steps'])('lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })

  test.each(['rerun', 'replace', 'delay'] as const)(
    '%s: under a known id the job gets another one',
    async onDuplicate => {
      const queue = bench.queue({ onDuplicate }, solo())
      bench.worker(runs.run, { singleton: solo() })
      await queue.add('sync', data(1), { jobId: 'mine' })
      await untilIdle(bench, queue)
      // The job of this id has ended: nothing is in the way.
      const { job, outcome } = await queue.addUnique('sync', data(2), { jobId: 'mine' })
      expect(outcome.status).toBe('started')
      expect(job?.id).not.toBe('mine')
      await untilIdle(bench, queue)
      expect(runs.started).toEqual([1, 2])
    },
  )

  test('a job between two attempts is told to be running', async () => {
    const queue = bench.queue({}, solo())
    const worker = bench.worker(
      async () => {
        throw new Error('as it should')
      },
      { singleton: solo() },
    )
    const failed = new Promise(resolve => worker.once('failed', resolve))
    const { id } = await queue.add('sync', data(1), { attempts: 2, backoff: 600_000 })
    await failed
    expect(await (await queue.getJob(id as string))?.getState()).toBe('delayed')
    expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({
      status: 'duplicate',
      id,
      state: 'running',
    })
  })

  test('untilExecuting: the run may overlap the next', async () => {
    const queue = bench.queue({ mode: 'untilExecuting' }, solo())
    runs.hold()
    bench.worker(runs.run, { singleton: solo() })
    for (const value of [1, 2]) {
      await queue.add('sync', data(value))
      await runs.untilStarted(value)
    }
    expect(runs.mostAtOnce).toBe(2)
  })

  test('a job that getNextJob gave is free for the next trigger when it was moved to completed', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' }, solo())
    await queue.add('sync', data(1))
    const hand = new SingletonWorker<Data, number, string>('work', null, {
      ...{ connection: connectionTo(bench.url), prefix: bench.prefix },
      singleton: steps === 'one step' ? { prefix: bench.lockPrefix } : solo(),
    })
    bench.closeLater(() => hand.close())
    await queue.add('sync', data(2))
    const job = (await hand.getNextJob('token')) as TestJob
    // In steps of their own it begins no run.
    expect(job.data.value).toBe(steps === 'one step' ? 2 : 1)
    await job.moveToCompleted(1, 'token', false)
    expect(Object.keys(await bench.held())).toHaveLength(steps === 'one step' ? 0 : 1)
    expect((await queue.addUnique('sync', data(3))).outcome.status).toBe('started')
  })
})

test('what the keys of a queue are, and that what a job leaves goes by itself', async () => {
  const queue = bench.queue({ onDuplicate: 'replace' })
  await queue.add('sync', data(1))
  await queue.add('sync', data(2))
  const keys = (await bench.redis.keys(`*${bench.lockPrefix}*`)).map(key => key.replace(/job:sync:.*?(?=$|})/, 'KEY'))
  expect(keys.map(key => key.replace(/:[0-9a-f]{40}:/, ':SHA:')).toSorted()).toEqual(
    [
      `${bench.lockPrefix}KEY`,
      `{${bench.lockPrefix}KEY}:SHA:r2`,
      `{${bench.lockPrefix}KEY}:d2`,
      `{${bench.lockPrefix}}:f2`,
    ].toSorted(),
  )
  const [left = ''] = await bench.redis.keys(`*${bench.lockPrefix}*:r2`)
  expect(await bench.redis.pttl(left)).toBeGreaterThan(0)
  expect(await bench.redis.pttl(left)).toBeLessThanOrEqual(60_000)
})
