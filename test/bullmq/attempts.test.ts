import { DelayedError } from 'bullmq'
import { expect, test } from 'vitest'
import { type Bench, type Recorder, type TestJob, until, untilIdle, useBench } from './support.js'

// Where lock and job are two steps, and only a run has the lock: an attempt gives it up late, and the next attempt has the same owner.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number) => ({ key: 1, value })

/** A client of the locks whose next release is sent late. */
function late() {
  const solo = bench.client()
  const release = solo.jobs.release.bind(solo.jobs)
  let [letOn, tell] = [() => {}, () => {}]
  const gate = new Promise<void>(resolve => {
    letOn = resolve
  })
  const reached = new Promise<void>(resolve => {
    tell = resolve
  })
  solo.jobs.release = async (...args) => {
    tell()
    await gate
    return await release(...args)
  }
  bench.closeLater(async () => letOn())
  return { solo, reached, letOn }
}

const ENDS = {
  fails: async () => {
    throw new Error('the first attempt')
  },
  'puts the job back': async (job: TestJob) => {
    await job.moveToDelayed(Date.now(), job.token)
    throw new DelayedError()
  },
} as const

const cells = (['whileExecuting', 'untilAndWhileExecuting'] as const).flatMap(mode =>
  (Object.keys(ENDS) as (keyof typeof ENDS)[]).map(how => [mode, how] as const),
)

test.each(cells)(
  '%s: an attempt that %s, and whose worker gives the lock up late, leaves the next its lock',
  async (mode, how) => {
    const job = { mode, onDuplicate: 'delay' } as const
    const queue = bench.queue(job, { solo: bench.solo })
    const { solo, reached, letOn } = late()
    let end = () => {}
    const ended = new Promise<void>(resolve => {
      end = resolve
    })
    let taken = false
    const first = bench.worker(
      async one => {
        taken = true
        await ended
        return await ENDS[how](one)
      },
      { singleton: { solo }, concurrency: 1 },
    )
    const one = await queue.add('sync', data(1), { attempts: 2 })
    await until(() => taken)
    // It takes up no other.
    const closed = first.close()
    runs.hold()
    const second = bench.worker(runs.run, { singleton: { solo: bench.solo } })
    await second.waitUntilReady()
    end()
    await reached
    // Where the job can be taken up by then, it is.
    if ((await one.getState()) !== 'active' || runs.started.length > 0) await runs.untilStarted(1)
    letOn()
    await closed
    await runs.untilStarted(1)
    const two = await queue.add('sync', data(2))
    await until(async () => runs.started.length > 1 || (await two.getState()) === 'delayed')
    expect([runs.started, runs.mostAtOnce]).toEqual([[1], 1])
    runs.letGo()
    await untilIdle(bench, queue)
    expect([runs.started, runs.mostAtOnce]).toEqual([[1, 2], 1])
  },
)
