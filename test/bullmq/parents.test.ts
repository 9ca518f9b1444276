import { FlowProducer, type Job, Worker } from 'bullmq'
import { DuplicateJobError, type JobMode, type JobStrategy } from 'soloist'
import type { SingletonJobOptions } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import {
  type Bench,
  connectionTo,
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
const options = () => ({ connection: connectionTo(bench.url), prefix: bench.prefix })

interface Parent {
  readonly job: Job
  /** As an option of its children. */
  readonly of: { readonly id: string; readonly queue: string }
  /** Ends the child that has kept it waiting until now. */
  open(): Promise<void>
  children(): Promise<readonly string[]>
}

async function parent(): Promise<Parent> {
  const flows = new FlowProducer(options())
  bench.closeLater(() => flows.close())
  const { job, children = [] } = await flows.add({
    name: 'parent',
    queueName: 'parents',
    children: [{ name: 'gate', queueName: 'gates' }],
  })
  const gate = `${bench.prefix}:gates:${children[0]?.job.id}`
  const childrenOf = async () => ((await job.getDependencies()).unprocessed ?? []).filter(child => child !== gate)
  return {
    job,
    of: { id: job.id as string, queue: job.queueQualifiedName },
    open: async () => {
      const worker = new Worker('gates', async () => 'opened', options())
      bench.closeLater(() => worker.close())
      await until(async () => gate in ((await job.getDependencies()).processed ?? {}))
    },
    children: childrenOf,
  }
}

/** What its children's runs have returned, once a parent is run. */
function resultsOf(): Promise<readonly unknown[]> {
  return new Promise(resolve => {
    const take = async (job: Job) => resolve(Object.values(await job.getChildrenValues()))
    const worker = new Worker('parents', take, options())
    bench.closeLater(() => worker.close())
  })
}

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
    const { job, of, open: openGate, children } = await parent()
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
    const results = resultsOf()
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
      const [first, second] = [await parent(), await parent()]
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
    const { of, children } = await parent()
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
    const parents = [await parent(), await parent(), await parent()]
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

  test('reject: it is rejected, and its parent waits for nothing', async () => {
    const queue = bench.queue({ onDuplicate: 'reject' }, { solo: bench.solo })
    const { of, children } = await parent()
    await queue.add('sync', data(1))
    await expect(queue.add('sync', data(2), { parent: of })).rejects.toBeInstanceOf(DuplicateJobError)
    expect(await children()).toEqual([])
  })

  test('a function is asked, and its join keeps the parent waiting', async () => {
    const met: string[] = []
    const onDuplicate = ({ state }: { readonly state: string }) => {
      met.push(state)
      return 'join' as const
    }
    const queue = bench.queue({ onDuplicate }, { solo: bench.solo })
    const { of, children } = await parent()
    await queue.add('sync', data(1))
    const { outcome } = await queue.addUnique('sync', data(2), { parent: of })
    expect(met).toEqual(['queued'])
    expect(outcome.status).toBe('deferred')
    expect(await children()).toEqual([`${bench.prefix}:work:${outcome.id}`])
  })

  test('replace: one that was replaced before its answer, which was lost, came again is added', async () => {
    const solo = bench.client()
    const slow = bench.queue({ onDuplicate: 'replace' }, { solo })
    const queue = bench.queue({ onDuplicate: 'replace' }, { solo: bench.solo })
    const { of, children } = await parent()
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
    expect(outcome.status).toBe('replaced')
    expect(await children()).toEqual([`${bench.prefix}:work:${outcome.id}`])
    bench.worker(runs.run, { singleton: { solo: bench.solo } })
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([2, 1])
  })

  test('replace: a live job is asked to stop', async () => {
    const queue = bench.queue({ onDuplicate: 'replace', onRunning: 'stop' }, { solo: bench.solo })
    const { of, children } = await parent()
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

  test.each(strategies)('%s: one that would wait for its own parent is refused', async onDuplicate => {
    const queue = bench.queue({ onDuplicate }, { solo: bench.solo })
    const { id = '' } = await queue.add('sync', data(1))
    const before = await bench.held()
    const adding = queue.add('sync', data(2), { parent: { id, queue: queue.qualifiedName } })
    await expect(adding).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(await bench.held()).toEqual(before)
    bench.worker(runs.run, { singleton: { solo: bench.solo } })
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1])
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
      const { of, children } = await parent()
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
        for await (const { pending } of bench.solo.jobs.list()) if (pending !== null) return true
        return mode === 'untilExpired' && Object.keys(await bench.held()).length > 0
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
