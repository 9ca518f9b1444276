import type { FlowJob } from 'bullmq'
import type { JobStrategy } from 'soloist'
import type { SingletonJobOptions } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Parent, parentIn, resultsIn } from './parents.js'
import {
  type Bench,
  type Data,
  type Recorder,
  type TestJob,
  type TestQueue,
  until,
  untilIdle,
  useBench,
  valuesOf,
} from './support.js'

// What a job that is added with a parent must not meet: itself, those that wait for it, and what its parent cannot wait for. And who
// refuses changes nothing.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })
const strategies: readonly JobStrategy[] = ['join', 'skip', 'reject', 'rerun', 'replace', 'delay']
const invalid = { name: 'SoloistError', code: 'INVALID_ARGUMENT' }
const refusedAs = (onDuplicate: JobStrategy) =>
  onDuplicate === 'reject' ? { name: 'DuplicateJobError', code: 'DUPLICATE_JOB' } : invalid

describe.each(['one step', 'two steps'] as const)('lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })
  const open = async (job: SingletonJobOptions<Data>, name?: string): Promise<TestQueue> => {
    const queue = bench.queue(job, solo(), name)
    await queue.waitUntilReady()
    return queue
  }
  const work = (concurrency = 5) => bench.worker(runs.run, { concurrency, singleton: solo() })
  const parentKeyOf = async ({ id }: TestJob) => await bench.redis.hget(`${bench.prefix}:work:${id}`, 'parentKey')
  const keyOf = (id: string | undefined, queue = 'work') => `${bench.prefix}:${queue}:${id}`
  /** All there is of jobs and locks, without what tells that something was tried. */
  const everything = async () => {
    const keys = (await bench.redis.keys(`*${bench.prefix}*`)).filter(
      key => !/:(id|events)$|flow:|\{.*-locks:\}/.test(key),
    )
    const lasting = await Promise.all(keys.map(async key => ((await bench.redis.pttl(key)) === -1 ? [key] : [])))
    const all = lasting.flat().toSorted()
    const texts = all.map(async key => {
      const type = await bench.redis.type(key)
      if (type === 'hash') return Object.entries(await bench.redis.hgetall(key)).toSorted()
      if (type === 'set') return (await bench.redis.smembers(key)).toSorted()
      if (type === 'zset') return await bench.redis.zrange(key, '0', '-1')
      return type === 'list' ? await bench.redis.lrange(key, 0, -1) : await bench.redis.get(key)
    })
    return (await Promise.all(texts)).map((text, i) => [all[i], text])
  }

  describe('who refuses changes nothing', () => {
    const adds = {
      addUnique: (queue: TestQueue, { of }: Parent, jobId?: string) =>
        queue.addUnique('sync', data(2), { parent: of, ...(jobId === undefined ? {} : { jobId }) }),
      addBulk: (queue: TestQueue, { of }: Parent, jobId?: string) =>
        queue.addBulk([
          { name: 'sync', data: data(2), opts: { parent: of, ...(jobId === undefined ? {} : { jobId }) } },
        ]),
    }
    const deciders = { reject: 'reject', 'a function that rejects': async () => 'reject' as const } as const

    for (const [decider, onDuplicate] of Object.entries(deciders)) {
      for (const [call, add] of Object.entries(adds)) {
        test.each(['queued', 'running', 'under its id'] as const)(
          `${decider}, ${call}: the live job is %s`,
          async state => {
            const queue = await open({ onDuplicate })
            const parent = await parentIn(bench)
            runs.hold()
            const live = await queue.add('sync', data(1), state === 'under its id' ? { jobId: 'mine' } : {})
            if (state === 'running') {
              work()
              await runs.untilStarted(1)
            }
            const adding = add(queue, parent, state === 'under its id' ? 'mine' : undefined)
            await expect(adding).rejects.toMatchObject({ code: 'DUPLICATE_JOB', id: live.id })
            expect(await parent.children()).toEqual([])
            expect(await parentKeyOf(live)).toBeNull()
            expect(Object.keys(await bench.held())).toHaveLength(1)
          },
        )
      }
    }

    test('a function that joins: its parent waits for what its caller is answered, and for nothing else', async () => {
      const met: string[] = []
      const queue = await open({
        onDuplicate: ({ state }) => {
          met.push(state)
          return 'join'
        },
      })
      const parent = await parentIn(bench)
      await queue.add('sync', data(1))
      const { outcome } = await queue.addUnique('sync', data(2), { parent: parent.of })
      expect(met).toEqual(['queued'])
      expect(outcome.status).toBe(steps === 'one step' ? 'duplicate' : 'deferred')
      expect(await parent.children()).toEqual([keyOf(outcome.id)])
    })

    test('a function that delays: its parent waits for the job of its own alone', async () => {
      const queue = await open({ onDuplicate: () => 'delay' })
      const parent = await parentIn(bench)
      const live = await queue.add('sync', data(1))
      const { outcome } = await queue.addUnique('sync', data(2), { parent: parent.of })
      expect(outcome).toMatchObject({ status: 'deferred', owner: expect.stringContaining(`:${live.id}`) })
      expect(await parent.children()).toEqual([keyOf(outcome.id)])
      expect(await parentKeyOf(live)).toBeNull()
    })

    test.each(['replace', 'rerun', 'join', 'delay'] as const)(
      '%s, and its parent is not there: the pending job keeps its place and its data',
      async onDuplicate => {
        const queue = await open({ onDuplicate })
        await queue.add('sync', data(1))
        const before = await everything()
        const opts = { parent: { id: 'nobody', queue: `${bench.prefix}:nowhere` } }
        const adding = queue.add('sync', data(2), opts)
        await expect(adding).rejects.toMatchObject({ ...invalid, cause: { code: -5 } })
        expect(await everything()).toEqual(before)
        work()
        await untilIdle(bench, queue)
        expect(runs.started).toEqual([1])
      },
    )
  })

  describe('none waits for itself', () => {
    test.each(strategies)('%s: one that has the id of its parent is refused', async onDuplicate => {
      const queue = await open({ onDuplicate })
      const flows = bench.flows({ onDuplicate }, solo())
      await queue.add('sync', data(1), { jobId: 'mine' })
      const before = await everything()
      const opts = { jobId: 'mine', parent: { id: 'mine', queue: queue.qualifiedName } }
      for (const key of [1, 2]) {
        const item = { name: 'sync', data: data(2, key), opts }
        await expect(queue.add('sync', item.data, opts)).rejects.toMatchObject(invalid)
        await expect(queue.addBulk([item])).rejects.toMatchObject(invalid)
        await expect(flows.add({ ...item, queueName: 'work' })).rejects.toMatchObject(invalid)
      }
      expect(await everything()).toEqual(before)
      work()
      await untilIdle(bench, queue)
      expect(runs.started).toEqual([1])
    })

    test.each(strategies)('%s: one that meets its own parent is refused', async onDuplicate => {
      const queue = await open({ onDuplicate })
      const live = await queue.add('sync', data(1))
      const before = await everything()
      const opts = { parent: { id: live.id as string, queue: queue.qualifiedName } }
      await expect(queue.add('sync', data(2), opts)).rejects.toMatchObject(refusedAs(onDuplicate))
      await expect(queue.addBulk([{ name: 'sync', data: data(2), opts }])).rejects.toMatchObject(refusedAs(onDuplicate))
      expect(await everything()).toEqual(before)
      work()
      await untilIdle(bench, queue)
      expect(runs.started).toEqual([1])
    })

    test.each(['join', 'rerun', 'replace', 'delay'] as const)(
      '%s: one that meets its parent, which runs and adds it, is refused, and the parent ends',
      async onDuplicate => {
        const queue = await open({ onDuplicate })
        const told: unknown[] = []
        bench.worker(
          async (job, signal) => {
            const opts = { parent: { id: job.id as string, queue: job.queueQualifiedName } }
            told.push(await queue.add('sync', data(2), opts).catch(error => error))
            return await runs.run(job, signal)
          },
          { singleton: solo() },
        )
        await queue.add('sync', data(1))
        await untilIdle(bench, queue)
        expect(told).toMatchObject([invalid])
        expect(runs.ended).toEqual([1])
      },
    )

    test.each(['join', 'rerun', 'replace', 'delay'] as const)(
      '%s: one whose parent waits for the lock itself is refused',
      async onDuplicate => {
        const queue = await open({ onDuplicate: 'delay' })
        const other = await open({ onDuplicate })
        await queue.add('sync', data(1))
        const { id = '' } = await queue.add('sync', data(2))
        const before = await everything()
        const opts = { parent: { id, queue: queue.qualifiedName } }
        await expect(other.add('sync', data(3), opts)).rejects.toMatchObject(invalid)
        expect(await everything()).toEqual(before)
      },
    )

    test.each(['join', 'rerun', 'replace', 'delay'] as const)(
      '%s: one that meets a job which waits for its parent is refused',
      async onDuplicate => {
        const queue = await open({ onDuplicate })
        const flows = bench.flows({ onDuplicate }, solo())
        const middle = { name: 'plain', queueName: 'others', children: [{ name: 'plain', queueName: 'others' }] }
        const { children = [] } = await flows.add({
          name: 'sync',
          queueName: 'work',
          data: data(1),
          children: [middle],
        })
        const before = await everything()
        const { job } = children[0] as { job: { id?: string; queueQualifiedName: string } }
        const opts = { parent: { id: job.id as string, queue: job.queueQualifiedName } }
        await expect(queue.add('sync', data(2), opts)).rejects.toMatchObject(invalid)
        await expect(queue.addBulk([{ name: 'sync', data: data(2), opts }])).rejects.toMatchObject(invalid)
        expect(await everything()).toEqual(before)
      },
    )

    test.each(['join', 'delay'] as const)(
      '%s: a known id of a job that waits for its parent is not linked',
      async onDuplicate => {
        const queue = await open({ onDuplicate })
        const flows = bench.flows({ onDuplicate }, solo())
        const root = { name: 'sync', queueName: 'work', data: data(1), opts: { jobId: 'root' } }
        const { children = [] } = await flows.add({ ...root, children: [{ name: 'plain', queueName: 'others' }] })
        const { id = '', queueQualifiedName } = (children[0] as { job: TestJob }).job
        const opts = { jobId: 'root', parent: { id, queue: queueQualifiedName } }
        const adding = queue.addUnique('sync', data(2, 2), opts)
        if (onDuplicate === 'join') await expect(adding).rejects.toMatchObject(invalid)
        else
          expect((await adding).outcome).toMatchObject({ status: 'started', id: expect.not.stringMatching(/^root$/) })
        expect(await bench.redis.hget(keyOf('root'), 'parentKey')).toBeNull()
      },
    )

    const part = (value: number, key: number, children?: FlowJob[]) => ({
      ...{ name: 'sync', queueName: 'work', data: data(value, key) },
      ...(children === undefined ? {} : { children }),
    })
    const flowsOf: Record<string, FlowJob> = {
      'its root': part(2, 1, [part(3, 3)]),
      'a job below its root': part(2, 2, [part(3, 3), part(4, 1)]),
      'a job below a plain root': { name: 'plain', queueName: 'others', children: [part(4, 1)] },
    }
    describe.each(['join', 'rerun', 'delay'] as const)('%s', onDuplicate => {
      test.each(Object.keys(flowsOf))(
        'a flow that is added to a job which %s meets is refused, all of it',
        async what => {
          const queue = await open({ onDuplicate })
          const flows = bench.flows({ onDuplicate }, solo())
          const { id = '' } = await queue.add('sync', data(1))
          const before = await everything()
          const flow = { ...(flowsOf[what] as FlowJob), opts: { parent: { id, queue: queue.qualifiedName } } }
          await expect(flows.add(flow)).rejects.toMatchObject(invalid)
          await expect(flows.addBulk([part(9, 9), flow])).rejects.toMatchObject(invalid)
          expect(await everything()).toEqual(before)
        },
      )
    })

    test('untilExpired: one that meets the period of its parent runs when that is over', async () => {
      const job = { mode: 'untilExpired', expiryMs: 1_000 } as const
      const queue = await open(job)
      const flows = bench.flows(job, solo())
      const below = { name: 'plain', queueName: 'others', data: data(3) }
      const { id = '' } = (await flows.add({ ...part(1, 1), children: [below] })).job
      const opts = { parent: { id, queue: queue.qualifiedName } }
      const { outcome } = await queue.addUnique('sync', data(2), opts)
      expect(outcome).toMatchObject({ status: 'deferred' })
      expect(await bench.redis.smembers(`${keyOf(id)}:dependencies`)).toContain(keyOf(outcome.id))
      work()
      bench.worker(runs.run, { queueName: 'others', singleton: solo() })
      await until(() => runs.ended.includes(1))
      expect(runs.ended).toEqual([3, 2, 1])
    })
  })

  describe('none is replaced that a parent waits for', () => {
    const gated = ['untilExecuted', 'whileExecuting', 'untilAndWhileExecuting', 'untilExecuting'] as const

    test.each(gated)('%s: who waits for a run; those behind it are replaced', async mode => {
      const queue = await open({ mode, onDuplicate: 'replace' })
      const parents = [await parentIn(bench), await parentIn(bench)] as const
      runs.hold()
      if (mode !== 'untilExecuting') work(1)
      await queue.add('sync', data(0))
      if (mode !== 'untilExecuting') await runs.untilStarted(1)
      const add = async (value: number, parent?: Parent) =>
        (await queue.addUnique('sync', data(value), parent === undefined ? {} : { parent: parent.of })).outcome
      const children = [await add(1, parents[0]), await add(2, parents[1])]
      for (const value of [3, 4, 5]) await add(value)
      for (const [i, parent] of parents.entries()) {
        expect(await parent.children()).toEqual([keyOf(children[i]?.id)])
      }
      if (mode === 'untilExecuting') work(1)
      runs.letGo()
      await untilIdle(bench, queue)
      // The pending one gave way to the first of them.
      const all = [...(mode === 'untilExecuting' ? [] : [0]), 1, 2, 5]
      // There a job has its place from when a worker first takes it up.
      const inTurn = (values: number[]) => (mode === 'whileExecuting' ? values.toSorted() : values)
      expect(inTurn(runs.ended)).toEqual(all)
    })

    test('one that was added to be merged, by another strategy since', async () => {
      const before = await open({ onDuplicate: 'rerun' })
      const queue = await open({ onDuplicate: 'replace' })
      const parent = await parentIn(bench)
      runs.hold()
      work(1)
      await before.add('sync', data(0))
      await runs.untilStarted(1)
      const { outcome } = await before.addUnique('sync', data(1), { parent: parent.of })
      await queue.add('sync', data(2))
      expect(await parent.children()).toEqual([keyOf(outcome.id)])
      runs.letGo()
      await untilIdle(bench, queue)
      expect(runs.ended).toEqual([0, 1, 2])
    })

    test('a job of a flow that waits', async () => {
      const job = { mode: 'untilAndWhileExecuting', onDuplicate: 'replace' } as const
      const queue = await open(job)
      const flows = bench.flows(job, solo())
      runs.hold()
      work(1)
      await queue.add('sync', data(0))
      await runs.untilStarted(1)
      const part = { name: 'sync', queueName: 'work', data: data(1) }
      const { job: root } = await flows.add({ name: 'plain', queueName: 'parents', children: [part] })
      for (const value of [2, 3]) await queue.add('sync', data(value))
      const results = resultsIn(bench)
      runs.letGo()
      expect(await results).toEqual([1])
      await untilIdle(bench, queue)
      expect(runs.ended).toEqual([0, 1, 3])
      expect(await bench.redis.exists(keyOf(root.id, 'parents'))).toBe(1)
    })
  })

  describe('what its parent cannot wait for', () => {
    const key = { uniqueOn: ['key'] as const }

    test.each(['join', 'skip', 'rerun', 'replace', 'delay'] as const)(
      "%s, scope 'name': a function that runs: a job of its own follows",
      async onDuplicate => {
        const queue = await open({ onDuplicate, scope: 'name' })
        const { open: openGate, children, of } = await parentIn(bench)
        let end = () => {}
        const job = bench.solo.job('sync', key, async (_: Data) => await new Promise<void>(resolve => (end = resolve)))
        const running = await job.trigger(data(0))
        await until(async () => Object.keys(await bench.held()).length > 0)
        work()
        const { outcome } = await queue.addUnique('sync', data(1), { parent: of })
        expect(await children()).toEqual([keyOf(outcome.id)])
        await openGate()
        const results = resultsIn(bench)
        end()
        await running.result()
        expect((await results).filter(value => value !== 'opened')).toEqual([1])
        expect(runs.started).toEqual([1])
        await untilIdle(bench, queue)
      },
    )

    test.each(['join', 'skip', 'rerun'] as const)(
      "%s, scope 'name': a function that runs, and another that is pending: a job of its own follows",
      async onDuplicate => {
        const queue = await open({ onDuplicate, scope: 'name' })
        const { open: openGate, children, of } = await parentIn(bench)
        const ran: number[] = []
        let end = () => {}
        const gate = new Promise<void>(resolve => {
          end = resolve
        })
        const handler = async ({ value }: Data) => {
          ran.push(value)
          await gate
        }
        const job = bench.solo.job('sync', { ...key, onDuplicate: 'rerun' }, handler)
        const both = [await job.trigger(data(0)), await job.trigger(data(5))]
        await until(() => ran.length === 1)
        work()
        const { outcome } = await queue.addUnique('sync', data(1), { parent: of })
        expect(await children()).toEqual([keyOf(outcome.id)])
        await openGate()
        const results = resultsIn(bench)
        end()
        for (const one of both) await one.result()
        expect((await results).filter(value => value !== 'opened')).toEqual([1])
        expect([ran, runs.started]).toEqual([[0, 5], [1]])
        await untilIdle(bench, queue)
      },
    )

    test.each(['join', 'skip', 'rerun', 'replace', 'delay'] as const)(
      "%s, scope 'name': a job of another queue: a job of its own follows",
      async onDuplicate => {
        const queue = await open({ onDuplicate, scope: 'name' })
        const other = await open({ onDuplicate, scope: 'name' }, 'elsewhere')
        const { open: openGate, children, of } = await parentIn(bench)
        runs.hold()
        bench.worker(runs.run, { queueName: 'elsewhere', singleton: solo() })
        await other.add('sync', data(0))
        await runs.untilStarted(1)
        // Another is pending there.
        await other.add('sync', data(5))
        const { outcome } = await queue.addUnique('sync', data(1), { parent: of })
        expect(await children()).toEqual([keyOf(outcome.id)])
        await openGate()
        const results = resultsIn(bench)
        work()
        runs.letGo()
        expect((await results).filter(value => value !== 'opened')).toEqual([1])
        await untilIdle(bench, queue)
        await untilIdle(bench, other)
        expect(runs.started.filter(value => value === 1)).toEqual([1])
      },
    )

    test('rerun with merge: a pending job that another parent waits for does not get its data, too', async () => {
      const merge = (a: Data, b: Data) => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] })
      const queue = await open({ onDuplicate: 'rerun', merge })
      const [first, second] = [await parentIn(bench), await parentIn(bench)]
      await queue.add('sync', data(1), { parent: first.of })
      const { outcome } = await queue.addUnique('sync', data(2), { parent: second.of })
      expect(await second.children()).toEqual([keyOf(outcome.id)])
      const seen: (readonly number[])[] = []
      bench.worker(
        async job => {
          seen.push(valuesOf(job.data))
          return 0
        },
        { singleton: { ...solo(), jobs: { sync: { uniqueOn: ['key'], onDuplicate: 'rerun', merge } } } },
      )
      await untilIdle(bench, queue)
      expect(seen).toEqual([[1], [2]])
    })

    test.each(['is gone', 'has failed'] as const)(
      'untilExpired: a job that %s, in its period: a job of its own follows when that is over',
      async how => {
        const queue = await open({ mode: 'untilExpired', expiryMs: 1_000 })
        const parent = await parentIn(bench)
        bench.worker(
          async (job, signal) => {
            await runs.run(job, signal)
            if (how === 'has failed' && job.data.value === 1) throw new Error('as it should')
            return job.data.value
          },
          { singleton: solo() },
        )
        const { id } = await queue.add('sync', data(1), { removeOnComplete: true })
        await until(async () =>
          how === 'is gone' ? (await bench.redis.exists(keyOf(id))) === 0 : (await queue.getJobCounts()).failed === 1,
        )
        const { outcome } = await queue.addUnique('sync', data(2), { parent: parent.of })
        expect(outcome.status).toBe('deferred')
        expect(await parent.children()).toEqual([keyOf(outcome.id)])
        expect(runs.started).toEqual([1])
        await parent.open()
        const results = resultsIn(bench)
        expect((await results).filter(value => value !== 'opened')).toEqual([2])
        expect(runs.started).toEqual([1, 2])
      },
    )
  })
})
