import type { JobsOptions } from 'bullmq'
import { parseJobMeta } from 'soloist'
import type { SingletonJobOptions } from 'soloist/bullmq'
import { beforeEach, describe, expect, test } from 'vitest'
import { type Match, type RedisProxy, startProxy } from '../support/proxy.js'
import {
  type Bench,
  connectionTo,
  type Data,
  merging,
  ownerIn,
  type Recorder,
  until,
  untilIdle,
  useBench,
  valuesOf,
} from './support.js'

// Adds whose answers are lost, so that they are sent again, or come late, where lock and job are two steps; and, in both ways,
// what operators and other queues see of them. For one step see `answers.test.ts`.

let bench: Bench
let runs: Recorder
let proxy: RedisProxy
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})
beforeEach(async () => {
  proxy = await startProxy(connectionTo(bench.url).port)
  bench.closeLater(() => proxy.close())
})

const data = (value: number, key = 1) => ({ key, value })

const isScript: Match = ([command = '']) => /^eval(sha)?$/i.test(command)
/** The step of the lock, and that of the job, by what they name. */
const ofLock =
  (queue: string): Match =>
  words =>
    isScript(words) && !ofJob(queue)(words) && words.some(word => word.startsWith(`bullmq:${bench.prefix}:${queue}:`))
const ofJob =
  (queue: string): Match =>
  words =>
    isScript(words) && (words[3] ?? '').startsWith(`${bench.prefix}:${queue}:`)

interface Situation {
  readonly job: SingletonJobOptions<Data>
  /** What is live by then: a running job, and what else was added behind it. */
  readonly before: readonly number[]
  readonly told: string
  readonly ran: readonly (readonly number[])[]
  readonly opts?: JobsOptions
  /** Whether it is a job of its own. */
  readonly own?: false
}
const situations: Record<string, Situation> = {
  'to a free key': { job: {}, before: [], told: 'started', ran: [[9]] },
  'join of a running job': { job: {}, before: [1], told: 'duplicate', ran: [[1]], own: false },
  'delay behind a running job': { job: { onDuplicate: 'delay' }, before: [1], told: 'deferred', ran: [[1], [9]] },
  'delay behind others': { job: { onDuplicate: 'delay' }, before: [1, 2], told: 'deferred', ran: [[1], [2], [9]] },
  'the first rerun during a run': { job: { onDuplicate: 'rerun' }, before: [1], told: 'deferred', ran: [[1], [9]] },
  'a later rerun': { job: { onDuplicate: 'rerun' }, before: [1, 2], told: 'deferred', ran: [[1], [9]], own: false },
  'a later rerun, merged': {
    ...{ job: merging as never, before: [1, 2], told: 'deferred' },
    ran: [[1], [2, 9]],
    own: false,
  },
  'replace behind a running job': {
    job: { onDuplicate: 'replace' },
    before: [1, 2],
    told: 'replaced',
    ran: [[1], [9]],
  },
  'untilAndWhileExecuting, behind a running job': {
    ...{ job: { mode: 'untilAndWhileExecuting' }, before: [1], told: 'deferred' },
    ran: [[1], [9]],
  },
  'untilExpired, to a free key': {
    job: { mode: 'untilExpired', expiryMs: 600_000 },
    before: [],
    told: 'started',
    ran: [[9]],
  },
  'limit, beyond it': { job: { limit: 1, onDuplicate: 'delay' }, before: [1], told: 'deferred', ran: [[1], [9]] },
  'with an id of its own, to a free key': { job: {}, before: [], told: 'started', ran: [[9]], opts: { jobId: 'mine' } },
  'with an id of its own, the first rerun during a run': {
    ...{ job: { onDuplicate: 'rerun' }, before: [1], told: 'deferred' },
    ...{ ran: [[1], [9]], opts: { jobId: 'mine' } },
  },
}

describe.each(['alone', 'addBulk'])('an add in two steps, %s', how => {
  test.each(['lock', 'job'])('whose answer to the step of its %s was lost, is told what is so', async step => {
    for (const [name, { job, before, told, ran, opts = {}, own }] of Object.entries(situations)) {
      if (step === 'job' && own === false) continue
      const seen: (readonly number[])[] = []
      const queueName = `${step}-${name.replaceAll(/\W/g, '')}`
      const queue = bench.queue(job, { solo: bench.solo }, queueName)
      let letGo = () => {}
      const gate = new Promise<void>(resolve => {
        letGo = resolve
      })
      const worker = bench.worker(
        async one => {
          seen.push(valuesOf(one.data))
          await gate
          return 0
        },
        { queueName, singleton: { solo: bench.solo, jobs: { sync: { uniqueOn: ['key'], ...job } as never } } },
      )
      for (const value of before) {
        await queue.add('sync', data(value))
        await until(() => seen.length === 1)
      }
      const lossy = await bench.queueThrough(proxy, job, queueName, 'two steps')
      const { hit } = proxy.dropReplyTo(step === 'lock' ? ofLock(queueName) : ofJob(queueName), 'reset')
      const added =
        how === 'alone'
          ? await lossy.add('sync', data(9), opts)
          : (await lossy.addBulk([{ name: 'sync', data: data(9), opts: opts as object }]))[0]
      await hit
      expect([name, added?.singleton?.status]).toEqual([name, told])
      letGo()
      await untilIdle(bench, queue)
      expect([name, seen]).toEqual([name, ran])
      await worker.close()
    }
  })
})

test('an add in two steps whose answers come late is told what it would have been in time', async () => {
  const queue = await bench.queueThrough(proxy, { onDuplicate: 'rerun' }, 'work', 'two steps')
  await queue.add('sync', data(0, 2))
  runs.hold()
  bench.worker(runs.run, { singleton: { solo: bench.solo } })
  await runs.untilStarted(1)
  proxy.delayReplies(200)
  const first = queue.addUnique('sync', data(1))
  const meanwhile = bench.queue({ onDuplicate: 'rerun' }, { solo: bench.solo })
  await until(() => runs.started.includes(1))
  const others = await Promise.all([2, 3].map(value => meanwhile.addUnique('sync', data(value))))
  expect((await first).outcome.status).toBe('started')
  expect(others.map(({ outcome }) => outcome.status)).toEqual(['deferred', 'deferred'])
  expect((await queue.addUnique('sync', data(4))).outcome.status).toBe('deferred')
  runs.letGo()
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([0, 1, 4])
})

describe.each(['one step', 'two steps'] as const)('an add whose answer was lost, lock and job in %s', steps => {
  const match = (queue: string): Match =>
    steps === 'one step' ? words => isScript(words) && ownerIn(words) !== undefined : ofLock(queue)

  test('is shown to operators with what it was described by, once', async () => {
    const describe = ({ value }: Data) => `value ${value}`
    const queue = await bench.queueThrough(proxy, { onDuplicate: 'delay', describe }, 'described', steps)
    await queue.add('sync', data(1))
    const { hit } = proxy.dropReplyTo(match('described'), 'reset')
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('deferred')
    await hit
    const [lock = ''] = Object.keys(await bench.held())
    const state = await bench.solo.jobs.inspect(lock)
    const shown = [...(state?.holders ?? []), ...(state?.waiters ?? [])].map(
      ({ meta }) => parseJobMeta(meta)?.description,
    )
    expect(shown).toEqual(['value 1', 'value 2'])
  })

  test("with scope: 'name' has its key in all queues, and is told of the job in the other", async () => {
    const queue = await bench.queueThrough(proxy, { scope: 'name' }, 'first', steps)
    const other = bench.queue({ scope: 'name' }, steps === 'one step' ? {} : { solo: bench.solo }, 'second')
    const lost = proxy.dropReplyTo(match('first'), 'reset')
    const { job, outcome } = await queue.addUnique('sync', data(1))
    await lost.hit
    expect(outcome.status).toBe('started')
    expect((await other.addUnique('sync', data(2))).outcome).toMatchObject({ status: 'duplicate', id: job?.id })
    await other.add('sync', data(3, 3))
    const again = proxy.dropReplyTo(match('first'), 'reset')
    const met = (await queue.addUnique('sync', data(4, 3))).outcome
    await again.hit
    expect(met).toMatchObject({ status: 'duplicate', queue: other.qualifiedName })
  })
})
