// Guards invariant J6 of docs/guarantees.md.
import { Job } from 'bullmq'
import { expect, test } from 'vitest'
import { type Bench, type Recorder, until, untilIdle, useBench } from './support.js'

let bench: Bench
let runs: Recorder
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})

test('a worker that was overtaken gives up the lock of a job that another has ended, where lock and job are two steps', async () => {
  const solo = { solo: bench.solo }
  const queue = bench.queue({}, solo)
  runs.hold()
  const worker = bench.worker(runs.run, { singleton: solo })
  const { id = '' } = await queue.add('sync', { key: 1, value: 1 })
  await runs.untilStarted(1)
  // As when BullMQ took it for stalled: another worker, which knows nothing of locks, has the job, and ends it.
  await bench.redis.set(`${bench.prefix}:work:${id}:lock`, 'another')
  await (await Job.fromId(queue, id))?.moveToCompleted(0, 'another', false)
  expect(Object.keys(await bench.held())).toHaveLength(1)
  const failed = new Promise(resolve => worker.once('error', resolve))
  runs.letGo()
  await failed
  await until(async () => Object.keys(await bench.held()).length === 0)
  await untilIdle(bench, queue)
})
