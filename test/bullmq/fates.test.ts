import { Queue, Worker } from 'bullmq'
import { jobLockNaming, type Soloist, SoloistError } from 'soloist'
import { SingletonFlowProducer, type SingletonJobOptions } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import {
  type Bench,
  connectionTo,
  type Data,
  haltAfterTake,
  numbers,
  type Recorder,
  type TestJob,
  type TestQueue,
  until,
  untilIdle,
  useBench,
} from './support.js'

// Where lock and job are two steps: what becomes of what a trigger left with a run, and of jobs that others run or have ended.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

interface Listed extends Data {
  readonly values: readonly number[]
}
const data = (value: number, key = 1) => ({ key, value, values: [value] }) as Data
const merge = (a: Data, b: Data) => ({ ...b, values: [...(a as Listed).values, ...(b as Listed).values] })
const valuesOf = (job: TestJob) => (job.data as Listed).values
const merging = { onDuplicate: 'rerun', merge } as const
const lockOf = (queue: TestQueue) =>
  jobLockNaming<{ key: number }>('sync', { uniqueOn: ['key'] }, queue.qualifiedName)({ key: 1 }).trigger
const defined = (job: object, solo = bench.solo) => ({ solo, jobs: { sync: { uniqueOn: ['key'], ...job } } as never })

/** A worker that knows nothing of locks, and whose runs wait. */
function stranger(concurrency = 1) {
  let letGo = () => {}
  const gate = new Promise<void>(resolve => {
    letGo = resolve
  })
  const taken: number[] = []
  const options = { connection: connectionTo(bench.url), prefix: bench.prefix, concurrency }
  const run = async (job: { readonly data: Data }) => {
    taken.push(job.data.value)
    await gate
  }
  const worker = new Worker<Data>('work', run, options)
  const end = async () => {
    // It takes up no other.
    const closed = worker.close()
    letGo()
    await closed
  }
  return { taken, end }
}

/** Its workers wait before they begin a run until they are let on. */
function haltsBegin(): { readonly solo: Soloist; readonly halted: Promise<void>; readonly letOn: () => void } {
  const solo = bench.client()
  let [letOn, tell] = [() => {}, () => {}]
  const gate = new Promise<void>(resolve => {
    letOn = resolve
  })
  const halted = new Promise<void>(resolve => {
    tell = resolve
  })
  const begin = solo.jobs.begin.bind(solo.jobs)
  solo.jobs.begin = async (...args) => {
    tell()
    await gate
    return await begin(...args)
  }
  return { solo, halted, letOn }
}

/** Does something before BullMQ removes a job for the first time. */
function beforeRemoval(one: TestJob, act: () => Promise<void>): void {
  interface Removing {
    remove(this: unknown): Promise<void>
  }
  let all: Removing = one
  for (let next = one as object | null; next !== null; next = Object.getPrototypeOf(next)) {
    if (Object.hasOwn(next, 'remove')) all = next as Removing
  }
  const { remove } = all
  const value = async function (this: unknown) {
    all.remove = remove
    await act()
    await remove.call(this)
  }
  all.remove = value
  bench.closeLater(async () => {
    all.remove = remove
  })
}

interface Adding {
  [method: string]: (...args: unknown[]) => Promise<unknown>
}

/** The next call of a method of BullMQ's own fails, `there`: after it was carried out. */
function fails(of: object, method: 'addJob' | 'add', there: boolean): void {
  const all = Object.getPrototypeOf(Object.getPrototypeOf(of)) as Adding
  const before = all[method] as Adding[string]
  const mend = async () => {
    all[method] = before
  }
  all[method] = async function (this: unknown, ...args) {
    await mend()
    if (there) await before.apply(this, args)
    throw Object.assign(new Error('the connection is lost'), { code: 'ECONNRESET' })
  }
  bench.closeLater(mend)
}

describe('what was left with a run', () => {
  test('untilExpired: a follow-up whose grant nobody hears of has it, however long that takes', async () => {
    const job = { mode: 'untilExpired', expiryMs: 4_000, ...merging } as const
    const queue = bench.queue(job, { solo: bench.solo })
    for (const value of [0, 1, 2]) await queue.add('sync', data(value))
    const lock = lockOf(queue)
    const other = bench.client()
    const look = () => other.jobs.trigger(lock, 'nobody', { running: 'meet', pending: 'meet' })
    await until(async () => {
      await look()
      return (await bench.solo.jobs.inspect(lock))?.waiting === 0
    })
    // Its period would be over.
    const sinceMs = performance.now()
    await until(() => performance.now() - sinceMs > 4_500)
    await look()
    const seen: (readonly number[])[] = []
    bench.worker(async one => seen.push(valuesOf(one)), { singleton: defined(job), stalledInterval: 200 })
    await until(() => seen.length === 2)
    // The period of the first is over as well, so they may run side by side.
    expect(seen.toSorted()).toEqual([[0], [1, 2]])
    // And its period ends.
    await until(async () => Object.keys(await bench.held()).length === 0)
  })

  test('a job with an id of its own that is put off behind another call is in one run', async () => {
    const first = bench.client()
    const letOn = haltAfterTake(first)
    const adding = bench.queue(merging, { solo: first, graceMs: 20_000 }).add('sync', data(0))
    const queue = bench.queue(merging, { solo: bench.solo, graceMs: 20_000 })
    await until(async () => (await bench.solo.jobs.inspect(lockOf(queue))) !== null)
    const bulk = queue.addBulk(numbers(3, 1).map(i => ({ name: 'sync', data: data(i), opts: { jobId: `mine-${i}` } })))
    await until(async () => ((await bench.solo.jobs.inspect(lockOf(queue)))?.pending?.notes ?? 0) === 4)
    letOn()
    await Promise.all([adding, bulk])
    const seen: (readonly number[])[] = []
    bench.worker(async one => seen.push(valuesOf(one)), { singleton: defined(merging) })
    await untilIdle(bench, queue)
    expect(seen).toEqual([[0, 1, 2, 3]])
  })

  test('a worker that stands still between taking a job up and its start has all of it', async () => {
    const queue = bench.queue(merging, { solo: bench.solo })
    await queue.add('sync', data(0))
    await queue.add('sync', data(1))
    const seen: (readonly number[])[] = []
    const { solo, halted, letOn } = haltsBegin()
    bench.worker(async one => seen.push(valuesOf(one)), { singleton: defined(merging, solo) })
    await halted
    const told = await Promise.all(numbers(50, 2).map(value => queue.addUnique('sync', data(value))))
    expect(new Set(told.map(({ outcome }) => outcome.status))).toEqual(new Set(['duplicate']))
    letOn()
    await untilIdle(bench, queue)
    expect(seen.map(values => values.toSorted((a, b) => a - b))).toEqual([numbers(52)])
  })

  test('where it takes a job up that waits for its lock, the same', async () => {
    const queue = bench.queue(merging, { solo: bench.solo })
    const seen: (readonly number[])[] = []
    let letGo = () => {}
    const gate = new Promise<void>(resolve => {
      letGo = resolve
    })
    const work = async (one: TestJob) => {
      seen.push(valuesOf(one))
      await gate
      return 0
    }
    const first = bench.worker(work, { singleton: defined(merging), concurrency: 1 })
    await queue.add('sync', data(0))
    await until(() => seen.length === 1)
    const { solo, halted, letOn } = haltsBegin()
    bench.worker(work, { singleton: defined(merging, solo) })
    await queue.add('sync', data(1))
    await halted
    const told = await Promise.all(numbers(50, 2).map(value => queue.addUnique('sync', data(value))))
    expect(new Set(told.map(({ outcome }) => outcome.status))).toEqual(new Set(['deferred']))
    letOn()
    letGo()
    await untilIdle(bench, queue)
    expect(seen.map(values => values.toSorted((a, b) => a - b))).toEqual([[0], numbers(51, 1)])
    await first.close()
  })
})

describe('jobs that others run or have ended', () => {
  test('replace of a job that a worker is about to put back removes it', async () => {
    const job = { onDuplicate: 'replace' } as const
    const queue = bench.queue(job, { solo: bench.solo })
    const lock = lockOf(queue)
    await bench.solo.jobs.trigger(lock, 'somebody', { running: 'meet', pending: 'meet' })
    const { solo, halted, letOn } = haltsBegin()
    bench.worker(runs.run, { singleton: defined(job, solo), stalledInterval: 200 })
    const second = await queue.add('sync', data(1))
    await halted
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('replaced')
    expect(await second.getState()).toBe('active')
    letOn()
    await until(async () => (await second.getState()) === 'unknown')
    await bench.solo.jobs.release(lock, 'somebody')
    await untilIdle(bench, queue)
    expect([runs.started, (await queue.getJobCounts()).failed]).toEqual([[2], 0])
  })

  test('replace of a job that waits for one which ends just then removes it', async () => {
    const job = { onDuplicate: 'replace' } as const
    const adding = bench.client()
    const queue = bench.queue(job, { solo: adding })
    const solo = bench.client()
    const release = solo.jobs.release.bind(solo.jobs)
    let letOn = () => {}
    const gate = new Promise<void>(resolve => {
      letOn = resolve
    })
    solo.jobs.release = async (...args) => {
      await gate
      return await release(...args)
    }
    runs.hold()
    bench.worker(runs.run, { singleton: defined(job, solo) })
    bench.closeLater(async () => letOn())
    const first = await queue.add('sync', data(0))
    await runs.untilStarted(1)
    const second = await queue.add('sync', data(1))
    await until(async () => (await second.getState()) === 'delayed')
    const trigger = adding.jobs.trigger.bind(adding.jobs)
    adding.jobs.trigger = async (...args) => {
      const told = await trigger(...args)
      runs.letGo()
      await until(async () => (await first.getState()) === 'completed')
      return told
    }
    await queue.add('sync', data(2))
    expect(await second.getState()).toBe('unknown')
    letOn()
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([0, 2])
  })

  test.each(['follow', 'stop'] as const)(
    'replace of a job between two attempts that a worker takes up just then: %s',
    async onRunning => {
      const job = { onDuplicate: 'replace', onRunning } as const
      const queue = bench.queue(job, { solo: bench.solo })
      const run = async (one: TestJob, signal: AbortSignal) => {
        if (one.attemptsMade === 0 && one.data.value === 0) throw new Error('the first attempt')
        return await runs.run(one, signal)
      }
      bench.worker(run, { singleton: defined(job) })
      runs.hold()
      const first = await queue.add('sync', data(0), { attempts: 2, backoff: 3_600_000 })
      await until(async () => (await first.getState()) === 'delayed')
      beforeRemoval(first, async () => {
        await first.promote()
        await runs.untilStarted(1)
      })
      expect((await queue.addUnique('sync', data(1))).outcome.status).toBe('replaced')
      if (onRunning === 'follow') expect((await bench.held())[lockOf(queue)]).toContain(first.id)
      else await until(() => runs.aborted.length === 1)
      runs.letGo()
      await untilIdle(bench, queue)
      expect([runs.started, runs.mostAtOnce]).toEqual([[0, 1], 1])
    },
  )

  test.each(['join', 'delay', 'rerun'] as const)(
    'limit 2: the place of a job that is gone is free, %s',
    async onDuplicate => {
      const queue = bench.queue({ limit: 2, onDuplicate }, { solo: bench.solo, graceMs: 50 })
      await queue.add('sync', data(0))
      const { id = '' } = await queue.add('sync', data(1))
      const plain = new Queue('work', { connection: connectionTo(bench.url), prefix: bench.prefix })
      await plain.remove(id)
      await plain.close()
      const lock = lockOf(queue)
      await until(async () => {
        const state = await bench.solo.jobs.inspect(lock)
        return state?.holders.every(({ acquiredAtMs }) => state.atMs - (acquiredAtMs ?? 0) > 60) === true
      })
      const { outcome } = await queue.addUnique('sync', data(2))
      if (onDuplicate !== 'rerun') expect(outcome.status).toBe('recovered')
      const seen: number[] = []
      bench.worker(async one => seen.push(one.data.value), { singleton: defined({ limit: 2, onDuplicate }) })
      await untilIdle(bench, queue)
      expect(seen).toContain(2)
    },
  )

  test.each(['join', 'skip', 'reject', 'delay'] as const)(
    'a worker that knows nothing of locks: a trigger notices, and what waits is run when the job ends, %s',
    async onDuplicate => {
      const queue = bench.queue({ onDuplicate }, { solo: bench.solo })
      const lapses: unknown[] = []
      queue.singleton.on('lapsed', ({ id, action }) => lapses.push(`${action} ${id}`))
      const { taken, end } = stranger()
      const { id } = await queue.add('sync', data(0))
      await until(() => taken.length === 1)
      const told = await queue.addUnique('sync', data(1)).then(
        ({ outcome }) => outcome.status,
        (error: { code: string }) => error.code,
      )
      expect(told).toBe(
        { join: 'duplicate', skip: 'duplicate', reject: 'DUPLICATE_JOB', delay: 'deferred' }[onDuplicate],
      )
      expect(lapses).toEqual([`runs ${id}`])
      await end()
      bench.worker(runs.run, { singleton: { solo: bench.solo } })
      await until(async () => Object.keys(await bench.held()).length === 0)
      if (onDuplicate === 'delay') expect(runs.started).toEqual([1])
      else expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('started')
    },
  )
})

describe('replace, where the job that is replaced has not come yet', () => {
  const modes = {
    untilExecuted: {},
    untilExecuting: { mode: 'untilExecuting' },
    untilAndWhileExecuting: { mode: 'untilAndWhileExecuting' },
    untilExpired: { mode: 'untilExpired', expiryMs: 60_000 },
    'untilExecuted, limit': { limit: 1 },
  } as const
  const cells = Object.entries(modes).flatMap(([name, job]) =>
    (['add', 'addBulk', 'an answer that is lost'] as const).map(how => [name, how, job] as const),
  )

  test.each(cells)('%s, %s: it goes when it comes, though no worker takes it up for long', async (_, how, more) => {
    const job = { onDuplicate: 'replace', ...more } as SingletonJobOptions<Data>
    const late = bench.client()
    const letOn = haltAfterTake(late)
    const first = bench.queue(job, { solo: late })
    const opts = { delay: 3_600_000 }
    const adding =
      how === 'addBulk'
        ? first.addBulk([{ name: 'sync', data: data(0), opts }]).then(([one]) => one as TestJob)
        : first.add('sync', data(0), opts)
    await until(async () => Object.keys(await bench.held()).length === 1)
    const queue = bench.queue(job, { solo: bench.solo, graceMs: 20_000 })
    expect((await queue.addUnique('sync', data(1))).outcome.status).toBe('replaced')
    if (how === 'an answer that is lost') fails(first, 'addJob', true)
    letOn()
    expect(await queue.getJob((await adding).id as string)).toBeUndefined()
    expect(await queue.getJobCountByTypes('waiting', 'delayed')).toBe(1)
    bench.worker(runs.run, { singleton: defined(job) })
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1])
  })

  test('one whose own period is over stays', async () => {
    const job = { mode: 'untilExpired', expiryMs: 50, onDuplicate: 'replace' } as const
    const late = bench.client()
    let letOn = () => {}
    const gate = new Promise<void>(resolve => {
      letOn = resolve
    })
    const renew = late.jobs.renew.bind(late.jobs)
    late.jobs.renew = async (...args) => {
      const held = await renew(...args)
      await gate
      return held
    }
    const adding = bench.queue(job, { solo: late }).add('sync', data(0))
    await until(async () => Object.keys(await bench.held()).length === 1)
    await until(async () => Object.keys(await bench.held()).length === 0)
    const queue = bench.queue(job, { solo: bench.solo })
    await queue.add('sync', data(1))
    letOn()
    await adding
    bench.worker(runs.run, { singleton: defined(job) })
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual([0, 1])
  })

  test('one whose claim others gave up, for it came late, stays', async () => {
    const job = { onDuplicate: 'replace' } as const
    const late = bench.client()
    const letOn = haltAfterTake(late)
    const first = bench.queue(job, { solo: late })
    const adding = first.add('sync', data(0))
    await until(async () => Object.keys(await bench.held()).length === 1)
    const [[lock = '', owner = ''] = []] = Object.entries(await bench.held())
    await bench.solo.jobs.release(lock, owner)
    letOn()
    expect(await first.getJob((await adding).id as string)).toBeDefined()
    bench.worker(runs.run, { singleton: defined(job) })
    await untilIdle(bench, first)
    expect(runs.started).toEqual([0])
  })
})

describe('flows', () => {
  function flowsOf(job: object, solo = bench.solo): SingletonFlowProducer {
    const options = { connection: connectionTo(bench.url), prefix: bench.prefix }
    const flows = new SingletonFlowProducer({ ...options, singleton: defined(job, solo) })
    bench.closeLater(() => flows.close())
    return flows
  }

  test.each(['join', 'rerun', 'replace'] as const)(
    'a flow meets a job that a worker has in hand, %s',
    async onDuplicate => {
      const queue = bench.queue({ onDuplicate }, { solo: bench.solo })
      runs.hold()
      bench.worker(runs.run, { singleton: defined({ onDuplicate }) })
      const live = await queue.add('sync', data(0))
      await runs.untilStarted(1)
      const { job } = await flowsOf({ onDuplicate }).add({ name: 'sync', queueName: 'work', data: data(1) })
      runs.letGo()
      await untilIdle(bench, queue)
      expect([job.id === live.id, runs.started]).toEqual(onDuplicate === 'join' ? [true, [0]] : [false, [0, 1]])
    },
  )

  test.each([true, false])('one whose add failed keeps its locks if it is there: %s', async there => {
    const node = (key: number) => ({ name: 'sync', queueName: 'work', data: data(key, key) })
    const flows = flowsOf({})
    fails(flows, 'add', there)
    await expect(flows.add({ ...node(1), children: [node(2)] })).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(Object.keys(await bench.held())).toHaveLength(there ? 2 : 0)
    const queue = bench.queue({}, { solo: bench.solo })
    const told = await Promise.all([1, 2].map(key => queue.addUnique('sync', data(key + 2, key))))
    const status = there ? 'duplicate' : 'started'
    expect(told.map(({ outcome }) => outcome.status)).toEqual([status, status])
    bench.worker(runs.run, { singleton: defined({}) })
    await untilIdle(bench, queue)
    expect(runs.started.toSorted()).toEqual(there ? [1, 2] : [3, 4])
  })

  test('flows meet jobs of many queues at once', async () => {
    const names = numbers(8).map(i => `many-${i}`)
    const live = await Promise.all(
      names.map(name => bench.queue({ onDuplicate: 'join' }, { solo: bench.solo }, name).add('sync', data(0))),
    )
    const flows = flowsOf({ onDuplicate: 'join' })
    const met = await Promise.all(
      numbers(80).map(i => flows.add({ name: 'sync', queueName: names[i % 8] as string, data: data(i) })),
    )
    expect(met.map(({ job }) => job.id)).toEqual(numbers(80).map(i => live[i % 8]?.id))
  })

  test.each(['a flow', 'a job'] as const)('%s that is refused keeps no lock', async what => {
    const job = { mode: 'untilExpired', expiryMs: 60_000 } as const
    const solo = bench.client()
    const renew = solo.jobs.renew.bind(solo.jobs)
    let renewals = what === 'a flow' ? 2 : 1
    solo.jobs.renew = async (...args) => {
      renewals -= 1
      if (renewals === 0) throw new SoloistError('BACKEND_UNAVAILABLE', 'for this test')
      return await renew(...args)
    }
    const node = { name: 'sync', queueName: 'work' }
    const adding =
      what === 'a flow'
        ? flowsOf(job, solo).add({ ...node, data: data(0), children: [{ ...node, data: data(1, 2) }] })
        : bench.queue(job, { solo }).add('sync', data(0))
    await expect(adding).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(await bench.held()).toEqual({})
  })
})

test('of several claims without a job, those that wait are given up before they are granted', async () => {
  const queue = bench.queue({ onDuplicate: 'delay' }, { solo: bench.solo })
  const lock = lockOf(queue)
  for (const i of numbers(5)) {
    const owner = `bullmq:${queue.qualifiedName}:gone-${i}`
    await bench.solo.jobs.trigger(lock, owner, { running: 'wait', pending: 'wait' })
  }
  const { id } = await queue.add('sync', data(1))
  const granted: string[] = []
  const solo = bench.client()
  solo.jobs.hearGranted(({ owner }) => granted.push(owner))
  // They may still come at first, and not any more once the job waits for its turn.
  let laterMs = 0
  let looks = 0
  const inspect = solo.jobs.inspect.bind(solo.jobs)
  solo.jobs.inspect = async name => {
    const state = await inspect(name)
    looks += 1
    return state === null ? null : { ...state, atMs: state.atMs + laterMs }
  }
  const singleton = { ...defined({ onDuplicate: 'delay' }, solo), graceMs: 60_000 }
  bench.worker(runs.run, { singleton, stalledInterval: 200 })
  await until(async () => looks > 0 && (await queue.getJobCounts()).delayed === 1)
  laterMs = 120_000
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1])
  expect(granted).toEqual([`bullmq:${queue.qualifiedName}:${id}`])
})
