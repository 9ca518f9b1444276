import { expect, test } from 'vitest'
import { type Bench, RECOVERS, type Recorder, type TestJob, until, untilIdle, useBench } from './support.js'

// Where lock and job are two steps: a request to stop (`replace` with `onRunning: 'stop'`) belongs to one run, and is gone with it.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const stopping = { onDuplicate: 'replace', onRunning: 'stop' } as const
const data = (value: number) => ({ key: 1, value })

/** The locks of jobs that are there for ever. */
async function forEver(): Promise<string[]> {
  const keys = await bench.redis.keys(`${bench.lockPrefix}job:*`)
  const left = await Promise.all(keys.map(async key => ((await bench.redis.pttl(key)) === -1 ? [key] : [])))
  return left.flat()
}

test('a request that is made just as the run ends leaves nothing, and the next run can be stopped', async () => {
  const solo = bench.client()
  const queue = bench.queue(stopping, { solo })
  const worker = bench.worker(runs.run, { singleton: { solo: bench.solo } })
  runs.hold()
  await queue.add('sync', data(1))
  await runs.untilStarted(1)
  // What runs was looked at by then, and whatever is written comes when it has ended.
  const ended = async () => {
    runs.letGo()
    await until(async () => Object.keys(await bench.held()).every(name => name.endsWith(':stop')))
  }
  const [trigger, take] = [solo.jobs.trigger.bind(solo.jobs), solo.jobs.take.bind(solo.jobs)]
  solo.jobs.trigger = async (...args) => await ended().then(() => trigger(...args))
  solo.jobs.take = async (...args) => await ended().then(() => take(...args))
  await queue.add('sync', data(2))
  solo.jobs.trigger = trigger
  solo.jobs.take = take
  await runs.untilStarted(2)
  await until(async () => (await queue.getJobCounts()).completed === 2)
  await until(async () => Object.keys(await bench.held()).every(name => name.endsWith(':stop')))
  expect(await forEver()).toEqual([])
  runs.hold()
  await queue.add('sync', data(3))
  await runs.untilStarted(3)
  expect((await queue.addUnique('sync', data(4))).outcome).toMatchObject({ status: 'replaced', state: 'running' })
  await runs.untilStarted(4)
  expect(runs.aborted).toEqual([3])
  runs.letGo()
  await untilIdle(bench, queue)
  expect(await forEver()).toEqual([])
  expect(worker.singleton.counts().lapsed).toBe(0)
})

test('a request whose job never came into the queue stops nobody', async () => {
  const queue = bench.queue(stopping, { solo: bench.solo, graceMs: 100 })
  let looks = 0
  const inspect = bench.solo.jobs.inspect.bind(bench.solo.jobs)
  bench.solo.jobs.inspect = async name => {
    looks += 1
    return await inspect(name)
  }
  bench.worker(runs.run, { singleton: { solo: bench.solo, graceMs: 100 } })
  runs.hold()
  await queue.add('sync', data(1))
  await runs.untilStarted(1)
  const [lock = ''] = Object.keys(await bench.held())
  // A producer that died then.
  const owner = `bullmq:${queue.qualifiedName}:${'x'.repeat(22)}`
  await bench.client().jobs.trigger(lock, owner, { running: 'follow', pending: 'displace', begins: true })
  const before = looks
  await until(() => looks > before + 2)
  expect(runs.aborted).toEqual([])
  // The next is in its place.
  await queue.add('sync', data(2))
  await runs.untilStarted(2)
  expect(runs.aborted).toEqual([1])
  runs.letGo()
  await untilIdle(bench, queue)
  expect(await forEver()).toEqual([])
})

test('the run of a killed worker is not run again where it is recovered', async () => {
  const queue = bench.queue(stopping, { solo: bench.solo })
  let first: ReturnType<Bench['worker']> | undefined
  await new Promise<void>(resolve => {
    first = bench.worker(
      async () => {
        resolve()
        // As if its process was gone.
        return await new Promise(() => {})
      },
      { ...RECOVERS, singleton: { solo: bench.client() } },
    )
    void queue.add('sync', data(1))
  })
  await first?.close(true)
  runs.hold()
  expect((await queue.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'replaced', state: 'running' })
  const worker = bench.worker(runs.run, { ...RECOVERS, singleton: { solo: bench.solo } })
  const replaced: unknown[] = []
  worker.singleton.on('replaced', ({ id }) => replaced.push(id))
  await runs.untilStarted(1)
  expect(runs.started).toEqual([2])
  const [failed] = await queue.getFailed()
  expect([failed?.data.value, failed?.failedReason, replaced]).toEqual([
    1,
    expect.stringMatching(/^replaced by bullmq:/),
    [failed?.id],
  ])
  runs.letGo()
  await untilIdle(bench, queue)
  expect(await forEver()).toEqual([])
})

test('a run that was before the newer job in the line is not stopped', async () => {
  const queue = bench.queue({ ...stopping, mode: 'whileExecuting' }, { solo: bench.solo })
  let looks = 0
  const inspect = bench.solo.jobs.inspect.bind(bench.solo.jobs)
  bench.solo.jobs.inspect = async name => {
    looks += 1
    return await inspect(name)
  }
  for (const value of [1, 2]) await queue.add('sync', data(value))
  runs.hold()
  bench.worker(runs.run, { singleton: { solo: bench.solo } })
  await runs.untilStarted(1)
  const [lock = ''] = Object.keys(await bench.held())
  const looking = bench.client()
  await until(async () => (await looking.jobs.inspect(lock))?.waiting === 1)
  expect((await queue.addUnique('sync', data(3))).outcome).toMatchObject({ status: 'replaced', state: 'running' })
  await runs.untilStarted(2)
  expect(runs.aborted).toEqual([1])
  const before = looks
  await until(() => looks > before + 2)
  expect([runs.aborted, runs.started]).toEqual([[1], [1, 2]])
  runs.letGo()
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 2, 3])
  expect(await forEver()).toEqual([])
})

const cells = (['untilExecuted', 'whileExecuting'] as const).flatMap(mode =>
  (['one step', 'two steps'] as const).flatMap(steps =>
    (['when its signal aborts', 'before it hears of it'] as const).map(when => [mode, steps, when] as const),
  ),
)

test.each(cells)('%s, %s: a stopped job that fails %s is not tried again', async (mode, steps, when) => {
  const singleton = steps === 'one step' ? {} : { solo: bench.solo }
  const queue = bench.queue({ ...stopping, mode }, singleton)
  const ran: number[] = []
  let fail = () => {}
  const failing = new Promise<void>(resolve => {
    fail = resolve
  })
  const run = async (job: TestJob, signal: AbortSignal) => {
    ran.push(job.data.value)
    if (job.data.value !== 1) return 0
    if (when === 'before it hears of it') await failing
    else await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
    throw new Error('it was stopped')
  }
  const worker = bench.worker(run, { singleton })
  const replaced: unknown[] = []
  worker.singleton.on('replaced', ({ id }) => replaced.push(id))
  const first = await queue.add('sync', data(1), { attempts: 3 })
  await until(() => ran.length === 1)
  const second = await queue.add('sync', data(2))
  fail()
  await until(async () => (await first.getState()) === 'failed')
  await untilIdle(bench, queue)
  const { failedReason, stacktrace } = (await queue.getJob(first.id as string)) as TestJob
  expect([ran, failedReason, replaced]).toEqual([
    [1, 2],
    `replaced by bullmq:${queue.qualifiedName}:${second.id}`,
    [first.id],
  ])
  expect(stacktrace?.join()).toContain('it was stopped')
  expect(await forEver()).toEqual([])
})
