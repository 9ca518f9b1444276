import { describe, expect, test } from 'vitest'
import {
  type Bench,
  bullmqMajor,
  RECOVERS,
  type Recorder,
  type TestWorker,
  until,
  untilIdle,
  useBench,
} from './support.js'

// A worker that is late between taking a job up and its run, or in the run: no processor is called, and none goes on, once
// BullMQ's lock of the job has run out.

let bench: Bench
let runs: Recorder
// BullMQ tells of each lock that it could not renew.
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number) => ({ key: 1, value })
/** Its locks run out soon. */
const SHORT = { lockDuration: 1_000, stalledInterval: 200, maxStalledCount: 100 }

interface Taking {
  moveToActive(...args: unknown[]): Promise<readonly unknown[]>
}

/** The first job that this worker takes up comes to it late. @returns when it was taken up, and lets it come */
function held(worker: TestWorker): { readonly taken: Promise<void>; readonly letCome: () => void } {
  const { scripts } = worker as unknown as { scripts: Taking }
  const taking = bullmqMajor === 5 ? scripts : (worker.getBackend() as unknown as Taking)
  const take = taking.moveToActive.bind(taking)
  let letCome = () => {}
  const gate = new Promise<void>(resolve => {
    letCome = resolve
  })
  const taken = new Promise<void>(resolve => {
    taking.moveToActive = async (...args) => {
      const answer = await take(...args)
      if (answer[1]) {
        resolve()
        await gate
      }
      return answer
    }
  })
  return { taken, letCome }
}

describe.each(['untilExecuted', 'whileExecuting'] as const)('in two steps, %s', mode => {
  test('a job that another worker runs by then is not run, and keeps its lock', async () => {
    const queue = bench.queue({ mode }, { solo: bench.solo })
    const ran: number[] = []
    const late = bench.worker(async job => ran.push(job.data.value), {
      ...SHORT,
      autorun: false,
      singleton: { solo: bench.client() },
    })
    const { taken, letCome } = held(late)
    void late.run()
    await queue.add('sync', data(1))
    await taken
    runs.hold()
    bench.worker(runs.run, { ...RECOVERS, singleton: { solo: bench.solo } })
    await runs.untilStarted(1)
    const owners = Object.values(await bench.held())
    expect(owners).toHaveLength(1)
    const lapsed = new Promise(resolve => late.singleton.once('lapsed', resolve))
    const after = late as unknown as { processJob(...args: unknown[]): Promise<unknown> }
    const processJob = after.processJob.bind(late)
    const processed = new Promise<void>(resolve => {
      after.processJob = async (...args) => await processJob(...args).finally(resolve)
    })
    letCome()
    expect(await lapsed).toMatchObject({ action: 'ended' })
    await processed
    expect(Object.values(await bench.held())).toEqual(owners)
    expect([ran, runs.aborted]).toEqual([[], []])
    await late.close()
    runs.letGo()
    await untilIdle(bench, queue)
    expect([ran, runs.ended]).toEqual([[], [1]])
  })
})

test("in two steps, a job whose lock proves to be the worker's own still is run", async () => {
  const queue = bench.queue({}, { solo: bench.solo })
  const late = bench.worker(runs.run, {
    lockDuration: 3_000,
    skipStalledCheck: true,
    autorun: false,
    singleton: { solo: bench.solo },
  })
  const { taken, letCome } = held(late)
  void late.run()
  const { id } = await queue.add('sync', data(1))
  await taken
  const lock = `${bench.prefix}:work:${id}:lock`
  await bench.redis.persist(lock)
  const sinceMs = performance.now()
  await until(() => performance.now() - sinceMs > 3_000)
  letCome()
  await runs.untilStarted(1)
  await untilIdle(bench, queue)
  expect(runs.ended).toEqual([1])
  expect(late.singleton.counts().lapsed).toBe(0)
})

test.each(['one step', 'two steps'])('the signal of a run aborts when its lock runs out: %s', async steps => {
  const singleton = steps === 'one step' ? {} : { solo: bench.solo }
  const queue = bench.queue({}, singleton)
  const reasons: unknown[] = []
  const options = { ...SHORT, skipLockRenewal: true, skipStalledCheck: true }
  const worker = bench.worker(
    async (job, signal) => {
      signal.addEventListener('abort', () => reasons.push(signal.reason))
      // Of two timers that are due, the one that was due first fires first, however late both are.
      setTimeout(() => reasons.push('too late'), SHORT.lockDuration + 2_000)
      return await runs.run(job, signal)
    },
    { ...options, singleton },
  )
  runs.hold()
  await queue.add('sync', data(1))
  await until(() => reasons.length > 0)
  expect(reasons).toEqual([expect.objectContaining({ code: 'LEASE_LOST' })])
  await until(() => worker.singleton.counts().lapsed === 1)
})
