import { Job, Worker } from 'bullmq'
import type { Soloist } from 'soloist'
import { SingletonWorker } from 'soloist/bullmq'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Bench, connectionTo, type Data, type Recorder, until, untilIdle, useBench } from './support.js'

// A trigger against a worker that takes a job up, at the points between their steps.

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

/** A worker that comes to a halt when BullMQ has given it a job, before its processor is called. */
function haltingWorker(halt: Gate, singleton: object): void {
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
    singleton,
  })
  bench.closeLater(() => worker.close())
}

for (const mode of ['untilExecuted', 'untilExecuting', 'untilAndWhileExecuting'] as const) {
  test(`${mode}: what a worker has taken up has begun: a trigger gets a run of its own`, async () => {
    const queue = bench.queue({ mode, onDuplicate: 'rerun' })
    const halt = new Gate()
    haltingWorker(halt, { prefix: bench.lockPrefix })
    await queue.add('sync', data(1))
    await halt.reached
    const { outcome } = await queue.addUnique('sync', data(2))
    expect(outcome.status).toBe(mode === 'untilExecuting' ? 'started' : 'deferred')
    halt.open()
    await runs.untilStarted(2)
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual([1, 2])
    if (mode !== 'untilExecuting') expect(runs.mostAtOnce).toBe(1)
  })

  test(`${mode}, two steps: what was left with a job that a worker has taken up, and not begun, is what it runs`, async () => {
    const solo = { solo: bench.solo }
    const queue = bench.queue({ mode, onDuplicate: 'rerun' }, solo)
    const halt = new Gate()
    haltingWorker(halt, solo)
    await queue.add('sync', data(1))
    await halt.reached
    const adding = queue.addUnique('sync', data(2))
    const lefts = async () =>
      (await bench.solo.jobs.inspect(Object.keys(await bench.held())[0] as string))?.pending?.notes
    await until(async () => (await lefts()) === 2)
    halt.open()
    expect((await adding).outcome.status).toBe('duplicate')
    await runs.untilStarted(1)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([2])
  })
}

/** Calls of this method come to a halt: before they are made, or with their answer. */
function halting(solo: Soloist, method: 'begin' | 'inspect' | 'queue' | 'trigger', when: 'before' | 'after'): Gate {
  const gate = new Gate()
  const jobs = solo.jobs as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
  const call = (jobs[method] as (...args: unknown[]) => Promise<unknown>).bind(solo.jobs)
  jobs[method] = async (...args) => {
    const answer = when === 'after' ? await call(...args) : null
    gate.reach()
    await gate.opened
    return when === 'after' ? answer : await call(...args)
  }
  return gate
}

test('two steps: a job whose place is taken after its grant, and before it begins, is not run', async () => {
  const [triggering, running] = [bench.client(), bench.client()]
  const first = bench.queue({ onDuplicate: 'replace' }, { solo: bench.solo })
  const second = bench.queue({ onDuplicate: 'replace' }, { solo: triggering })
  runs.hold()
  bench.worker(runs.run, { singleton: { solo: running } })
  await first.add('sync', data(1))
  await runs.untilStarted(1)
  const claims = halting(running, 'queue', 'before')
  const { id } = await first.add('sync', data(2))
  // A worker has seen that it has not got its lock, and is about to claim it.
  await claims.reached
  const triggers = halting(triggering, 'trigger', 'before')
  const adding = second.addUnique('sync', data(3))
  await triggers.reached
  const begins = halting(running, 'begin', 'before')
  runs.letGo()
  await until(async () => Object.values(await bench.held()).some(owner => owner.endsWith(`:${id}`)))
  claims.open()
  await begins.reached
  triggers.open()
  expect((await adding).outcome.status).toBe('replaced')
  begins.open()
  await untilIdle(bench, first)
  expect([runs.started, runs.mostAtOnce]).toEqual([[1, 3], 1])
})

test('two steps: a run that a plain worker ended is known not to have begun, whoever gives its lock up', async () => {
  const waiting = bench.client()
  const first = bench.queue({ onDuplicate: 'rerun' }, { solo: waiting })
  const second = bench.queue({ onDuplicate: 'rerun' }, { solo: bench.solo })
  const plain = new Worker('work', null, { connection: connectionTo(bench.url), prefix: bench.prefix })
  bench.closeLater(() => plain.close())
  await first.add('sync', data(1))
  const job = await plain.getNextJob('by-hand')
  const looks = halting(waiting, 'inspect', 'before')
  const adding = first.addUnique('sync', data(2))
  await looks.reached
  await job.moveToCompleted(0, 'by-hand', false)
  expect((await second.addUnique('sync', data(3))).outcome.status).toBe('started')
  const next = await plain.getNextJob('by-hand')
  await next.moveToCompleted(0, 'by-hand', false)
  looks.open()
  expect((await adding).job?.id).not.toBe(job.id)
  bench.worker(runs.run, { singleton: { solo: bench.solo } })
  await untilIdle(bench, first)
  expect(runs.started).toEqual([2])
})

describe.each(['one step', 'two steps'])('lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })

  test('a follow-up runs with the newest data, and what comes later gets another', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' }, solo())
    runs.hold()
    bench.worker(runs.run, { singleton: solo() })
    await queue.add('sync', data(1))
    await runs.untilStarted(1)
    for (const value of [2, 3]) {
      expect((await queue.addUnique('sync', data(value))).outcome.status).toBe('deferred')
    }
    runs.letGo()
    await runs.untilStarted(2)
    await queue.add('sync', data(4))
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1, 3, 4])
    expect(runs.mostAtOnce).toBe(1)
  })

  test('triggers and runs that race: the last trigger is always covered, and no two runs overlap', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' }, solo())
    bench.worker(runs.run, { singleton: solo() })
    const adding: Promise<unknown>[] = []
    for (let value = 1; value <= 300; value += 1) {
      const added = queue.add('sync', data(value))
      adding.push(added)
      if (value % 3 === 0) await added
    }
    await Promise.all(adding)
    await untilIdle(bench, queue)
    expect(runs.started.at(-1)).toBe(300)
    expect(runs.started).toEqual(runs.started.toSorted((a, b) => a - b))
    expect(runs.mostAtOnce).toBe(1)
  })
})

test('replace follows a job that a worker has taken up', async () => {
  const queue = bench.queue({ onDuplicate: 'replace' })
  const halt = new Gate()
  haltingWorker(halt, { prefix: bench.lockPrefix })
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

test('two steps: a producer that dies before it has removed the job whose place it took: that is not run', async () => {
  const solo = { solo: bench.solo }
  const queue = bench.queue({ onDuplicate: 'replace' }, solo)
  const old = await queue.add('sync', data(1))
  vi.spyOn(Job.prototype, 'remove').mockResolvedValue(undefined)
  expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('replaced')
  vi.restoreAllMocks()
  expect(await old.getState()).toBe('waiting')
  const worker = bench.worker(runs.run, { singleton: solo })
  const replaced: string[] = []
  worker.singleton.on('replaced', ({ id }) => replaced.push(id))
  await runs.untilStarted(1)
  await until(async () => (await old.getState()) === 'unknown')
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([2])
  expect(replaced).toEqual([old.id])
})

test('two steps, untilAndWhileExecuting: replace of a job of a flow that has its lock, and has not come, follows it', async () => {
  const job = { mode: 'untilAndWhileExecuting', onDuplicate: 'replace' } as const
  const late = bench.client()
  const [halt, replaced] = [new Gate(), new Gate()]
  const trigger = late.jobs.trigger.bind(late.jobs)
  late.jobs.trigger = async (...args) => {
    const told = await trigger(...args)
    halt.reach()
    await replaced.opened
    return told
  }
  const flows = bench.flows(job, { solo: late, graceMs: 20_000 })
  const queue = bench.queue(job, { solo: bench.solo, graceMs: 20_000 })
  const child = { name: 'sync', queueName: 'work', data: data(1) }
  const adding = flows.add({ name: 'other', queueName: 'work', data: { key: 2, value: 0 }, children: [child] })
  await halt.reached
  await queue.add('sync', data(2))
  replaced.open()
  await adding
  bench.worker(runs.run, { singleton: { solo: bench.solo } })
  await untilIdle(bench, queue)
  expect(runs.started.toSorted()).toEqual([0, 1, 2])
})
