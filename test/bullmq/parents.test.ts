import type { JobMode, JobStrategy } from 'soloist'
import type { SingletonJobOptions } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { parentIn, resultsIn } from './parents.js'
import {
  type Bench,
  type Data,
  haltAfterTake,
  type Recorder,
  type TestQueue,
  until,
  untilIdle,
  useBench,
} from './support.js'

// A job that is added with a parent: whatever it meets, the parent waits for the job that its caller is answered.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number) => ({ key: 1, value })

const modes: readonly JobMode[] = [
  'untilExecuted',
  'untilExecuting',
  'whileExecuting',
  'untilAndWhileExecuting',
  'untilExpired',
]
const strategies: readonly JobStrategy[] = ['join', 'skip', 'rerun', 'replace', 'delay']
const cells = modes.flatMap(mode =>
  strategies.flatMap(strategy =>
    (['queued', 'running'] as const).flatMap(state =>
      (['addUnique', 'addBulk'] as const).map(call => [mode, strategy, state, call] as const),
    ),
  ),
)
const jobOf = (mode: JobMode, onDuplicate: JobStrategy): SingletonJobOptions<Data> =>
  ({ mode, onDuplicate, ...(mode === 'untilExpired' ? { expiryMs: 1_000 } : {}) }) as never

describe.each(['one step', 'two steps'] as const)('lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })
  const open = async (job: SingletonJobOptions<Data>): Promise<TestQueue> => {
    const queue = bench.queue(job, solo())
    await queue.waitUntilReady()
    return queue
  }

  test.each(cells)('%s, %s: a parent waits for what meets a %s job, by %s', async (mode, strategy, state, call) => {
    const queue = await open(jobOf(mode, strategy))
    const { job, of, open: openGate, children } = await parentIn(bench)
    const work = () => bench.worker(runs.run, { concurrency: 1, singleton: solo() })
    runs.hold()
    if (state === 'running') work()
    await queue.add('sync', data(1))
    if (state === 'running') await runs.untilStarted(1)
    const opts = { parent: of }
    const outcome =
      call === 'addUnique'
        ? (await queue.addUnique('sync', data(2), opts)).outcome
        : (await queue.addBulk([{ name: 'sync', data: data(2), opts }]))[0]?.singleton
    await openGate()
    expect(await children()).toEqual([`${bench.prefix}:work:${outcome?.id}`])
    expect(await job.getState()).toBe('waiting-children')
    const results = resultsIn(bench)
    if (state === 'queued') work()
    runs.letGo()
    const [result] = (await results).filter(value => value !== 'opened')
    expect(runs.ended).toContain(result)
    await untilIdle(bench, queue)
  })

  test.each(['join', 'skip', 'rerun'] as const)(
    '%s: one that meets the child of another parent is added and answered',
    async onDuplicate => {
      const queue = await open({ onDuplicate })
      const [first, second] = [await parentIn(bench), await parentIn(bench)]
      const { id } = await queue.add('sync', data(1), { parent: first.of })
      const { job, outcome } = await queue.addUnique('sync', data(2), { parent: second.of })
      expect(outcome).toMatchObject({ status: 'deferred', state: 'queued', owner: expect.stringContaining(`:${id}`) })
      expect(job?.id).toBe(outcome.id)
      expect(await first.children()).toEqual([`${bench.prefix}:work:${id}`])
      expect(await second.children()).toEqual([`${bench.prefix}:work:${outcome.id}`])
      bench.worker(runs.run, { singleton: solo() })
      await untilIdle(bench, queue)
      expect(runs.started).toEqual([1, 2])
    },
  )
})

describe.each(['one step', 'two steps'] as const)('a flow below a parent, lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })

  test.each(['join', 'skip'] as const)('%s: one whose root is live is added, and follows', async onDuplicate => {
    const queue = bench.queue({ onDuplicate }, solo())
    const flows = bench.flows({ onDuplicate }, solo())
    const { of, children } = await parentIn(bench)
    await queue.add('sync', data(1))
    const part = { name: 'sync', queueName: 'work', data: { key: 2, value: 2 } }
    const root = { name: 'sync', queueName: 'work', data: data(3), opts: { parent: of }, children: [part] }
    const { job } = await flows.add(root)
    expect(await children()).toEqual([`${bench.prefix}:work:${job.id}`])
    bench.worker(runs.run, { singleton: solo() })
    await untilIdle(bench, queue)
    expect(runs.ended.toSorted()).toEqual([1, 2, 3])
  })
})

describe('lock and job in two steps', () => {
  test('equal jobs of one call, each with a parent of its own', async () => {
    const queue = bench.queue({}, { solo: bench.solo })
    const parents = [await parentIn(bench), await parentIn(bench), await parentIn(bench)]
    const jobs = await queue.addBulk(
      parents.map(({ of }, value) => ({ name: 'sync', data: data(value), opts: { parent: of } })),
    )
    for (const [i, { children }] of parents.entries()) {
      expect(await children()).toEqual([`${bench.prefix}:work:${jobs[i]?.id}`])
    }
    bench.worker(runs.run, { singleton: { solo: bench.solo } })
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([0, 1, 2])
    expect(runs.mostAtOnce).toBe(1)
  })

  test('rerun: one that was replaced before its answer, which was lost, came again is added', async () => {
    const solo = bench.client()
    const slow = bench.queue({ onDuplicate: 'rerun' }, { solo })
    const queue = bench.queue({ onDuplicate: 'replace' }, { solo: bench.solo })
    const { of, children } = await parentIn(bench)
    const trigger = solo.jobs.trigger.bind(solo.jobs)
    let lost = false
    solo.jobs.trigger = async (...args) => {
      if (!lost) {
        lost = true
        await trigger(...args)
        await queue.add('sync', data(2))
      }
      return await trigger(...args)
    }
    const { outcome } = await slow.addUnique('sync', data(1), { parent: of })
    expect(outcome.status).toBe('deferred')
    expect(await children()).toEqual([`${bench.prefix}:work:${outcome.id}`])
    bench.worker(runs.run, { singleton: { solo: bench.solo } })
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([2, 1])
  })

  test('replace: a live job is asked to stop', async () => {
    const queue = bench.queue({ onDuplicate: 'replace', onRunning: 'stop' }, { solo: bench.solo })
    const { of, children } = await parentIn(bench)
    runs.hold()
    bench.worker(runs.run, { singleton: { solo: bench.solo } })
    await queue.add('sync', data(1))
    await runs.untilStarted(1)
    const { outcome } = await queue.addUnique('sync', data(2), { parent: of })
    expect(await children()).toEqual([`${bench.prefix}:work:${outcome.id}`])
    await runs.untilStarted(2)
    expect(runs.aborted).toEqual([1])
    runs.letGo()
    await untilIdle(bench, queue)
  })

  test.each([
    ['untilExecuted', 'granted'],
    ['untilExecuted', 'queued'],
    ['untilAndWhileExecuting', 'granted'],
    ['untilAndWhileExecuting', 'queued'],
    ['untilExpired', 'granted'],
  ] as const)(
    'replace, %s: one that was %s its place and is not in the queue yet is run when it has come',
    async (mode, course) => {
      const job = { ...jobOf(mode, 'replace'), ...(mode === 'untilExpired' ? { expiryMs: 60_000 } : {}) } as never
      const solo = bench.client()
      const slow = bench.queue(job, { solo })
      const queue = bench.queue(job, { solo: bench.solo })
      const { of, children } = await parentIn(bench)
      runs.hold()
      const work = () => bench.worker(runs.run, { singleton: { solo: bench.solo } })
      if (course === 'queued') {
        work()
        await queue.add('sync', data(0))
        await runs.untilStarted(1)
      }
      const letOn = haltAfterTake(solo)
      const adding = slow.addUnique('sync', data(1), { parent: of })
      await until(async () => {
        for await (const { waiting } of bench.solo.jobs.list()) if (course === 'granted' || waiting > 0) return true
        return false
      })
      await queue.add('sync', data(2))
      letOn()
      const { outcome } = await adding
      expect(await children()).toEqual([`${bench.prefix}:work:${outcome.id}`])
      if (course === 'granted') work()
      runs.letGo()
      await untilIdle(bench, queue)
      expect(runs.ended).toContain(1)
    },
  )
})
