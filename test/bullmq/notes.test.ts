import { setTimeout as sleep } from 'node:timers/promises'
import { type Job, Worker } from 'bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, connectionTo, type Data, numbers, type TestQueue, until, untilIdle, useBench } from './support.js'

// What triggers leave with a run for `merge`: whatever becomes of that run, it is in one run that starts after it.

let bench: Bench
useBench('must not fail', fresh => {
  bench = fresh
})

interface Listed extends Data {
  readonly values: readonly number[]
}
const listed = (value: number) => ({ key: 1, value, values: [value] }) as Data
const merge = (a: Data, b: Data) => ({ ...b, values: [...(a as Listed).values, ...(b as Listed).values] })
const valuesOf = (of: Data) => (of as Listed).values
const rerun = { onDuplicate: 'rerun', merge } as const
const jobs = { sync: { uniqueOn: ['key'], ...rerun } } as never

describe.each(['one step', 'two steps'])('lock and job in %s', steps => {
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })
  const singleton = () => ({ ...solo(), jobs })

  test.each(['untilExecuted', 'untilExecuting', 'whileExecuting', 'untilAndWhileExecuting'] as const)(
    '%s: the second attempt has the data of the first',
    async mode => {
      const queue = bench.queue({ mode, ...rerun }, solo())
      await queue.add('sync', listed(0), { attempts: 3 })
      for (const value of [1, 2]) await queue.add('sync', listed(value), { attempts: 3 })
      const seen: string[] = []
      bench.worker(
        async job => {
          seen.push(`${job.attemptsMade}: ${valuesOf(job.data)}`)
          if (job.attemptsMade < 2) throw new Error('as it should')
          return 0
        },
        { singleton: singleton() },
      )
      await untilIdle(bench, queue)
      const each = (values: string) => numbers(3).map(attempt => `${attempt}: ${values}`)
      expect(seen.toSorted()).toEqual(
        (mode === 'whileExecuting' ? ['0', '1', '2'].flatMap(each) : each('0,1,2')).toSorted(),
      )
    },
  )

  test('the second attempt has what the first made of its data', async () => {
    const queue = bench.queue(rerun, solo())
    await queue.add('sync', listed(0), { attempts: 2 })
    await queue.add('sync', listed(1))
    const seen: (readonly number[])[] = []
    bench.worker(
      async job => {
        seen.push(valuesOf(job.data))
        if (job.attemptsMade > 0) return 0
        await job.updateData({ ...job.data, values: [7] } as Data)
        throw new Error('as it should')
      },
      { singleton: singleton() },
    )
    await untilIdle(bench, queue)
    expect(seen).toEqual([[0, 1], [7]])
  })

  test.each([0, 1])(
    'untilExpired: what comes after the period while the follow-up waits is in that, %i',
    async late => {
      const queue = bench.queue({ mode: 'untilExpired', expiryMs: 200, ...rerun }, solo())
      const over = async () => until(async () => Object.keys(await bench.held()).length === 0)
      const seen: (readonly number[])[] = []
      for (const value of [0, 1]) await queue.add('sync', listed(value))
      await over()
      for (const value of [2, 3]) await queue.add('sync', listed(value))
      // The period of the follow-up may be over, too, before anybody takes it up.
      if (late) await over()
      bench.worker(async job => seen.push(valuesOf(job.data)), { singleton: singleton() })
      await untilIdle(bench, queue)
      expect(seen.flat().toSorted()).toEqual([0, 1, 2, 3])
      expect(seen).toContainEqual([0])
    },
  )

  test('untilExpired: a thousand in one tick after the period, while the follow-up waits, are each in one run', async () => {
    const queue = bench.queue({ mode: 'untilExpired', expiryMs: 1_000, ...rerun }, solo())
    for (const value of [0, 1]) await queue.add('sync', listed(value))
    await until(async () => Object.keys(await bench.held()).length === 0)
    const sinceMs = performance.now()
    await Promise.all(numbers(1_000, 2).map(value => queue.add('sync', listed(value))))
    const periods = Math.ceil((performance.now() - sinceMs) / 1_000)
    const seen: (readonly number[])[] = []
    bench.worker(async job => seen.push(valuesOf(job.data)), { singleton: singleton() })
    await untilIdle(bench, queue)
    expect(seen.flat().toSorted((a, b) => a - b)).toEqual(numbers(1_002))
    // One for each period that began meanwhile, and a few more.
    expect(seen.length).toBeLessThan(4 + periods)
  })

  test('a thousand in one tick: the second attempt has them all, once', async () => {
    const queue = bench.queue(rerun, solo())
    await queue.add('sync', listed(0), { attempts: 2 })
    await Promise.all(numbers(1_000, 1).map(value => queue.add('sync', listed(value))))
    const seen: (readonly number[])[] = []
    bench.worker(
      async job => {
        seen.push(valuesOf(job.data))
        if (job.attemptsMade === 0) throw new Error('as it should')
        return 0
      },
      { singleton: singleton() },
    )
    await untilIdle(bench, queue)
    expect(seen.length).toBe(2)
    for (const values of seen) expect(values.toSorted((a, b) => a - b)).toEqual(numbers(1_001))
  })

  test('a worker that knows nothing of locks: what is triggered during its run is run after it', async () => {
    const queue = bench.queue(rerun, solo())
    const lapses: unknown[] = []
    queue.singleton.on('lapsed', ({ id, action }) => lapses.push(`${action} ${id}`))
    let letGo = () => {}
    const gate = new Promise<void>(resolve => {
      letGo = resolve
    })
    const taken: Job[] = []
    const plain = new Worker(
      'work',
      async job => {
        taken.push(job)
        await gate
      },
      { connection: connectionTo(bench.url), prefix: bench.prefix },
    )
    const { id } = await queue.add('sync', listed(0))
    await until(() => taken.length === 1)
    const added = await Promise.all(numbers(1_000, 1).map(value => queue.addUnique('sync', listed(value))))
    expect(lapses).toContain(`runs ${id}`)
    const statuses = new Set(added.map(({ outcome }) => outcome.status))
    expect([...statuses].filter(status => status !== 'deferred' && status !== 'duplicate')).toEqual([])
    expect(new Set(added.map(({ job }) => job?.id)).has(id)).toBe(false)
    // It takes up no other.
    const closed = plain.close()
    letGo()
    await closed
    const seen: (readonly number[])[] = []
    bench.worker(async job => seen.push(valuesOf(job.data)), { singleton: singleton() })
    await untilIdle(bench, queue)
    expect(seen.map(values => values.toSorted((a, b) => a - b))).toEqual([numbers(1_000, 1)])
  })

  /** The runs of a worker, each a little longer than the one before, and which values were in how many of them. */
  async function counted(add: (queue: TestQueue, ids: readonly number[]) => Promise<unknown>): Promise<unknown> {
    const queue = bench.queue(rerun, solo())
    const seen: number[] = []
    let run = 0
    const work = async (job: { readonly data: Data }) => {
      seen.push(...valuesOf(job.data))
      run += 1
      await sleep(4 + (run % 9))
    }
    bench.worker(work as never, { singleton: singleton(), concurrency: 10 })
    await add(queue, numbers(200))
    await untilIdle(bench, queue)
    const times = new Map<number, number>()
    for (const value of seen) times.set(value, (times.get(value) ?? 0) + 1)
    return numbers(200).filter(value => times.get(value) !== 1)
  }
  const of = (value: number, keys: number) => ({ ...listed(value), key: value % keys })

  test('while short runs end all the time, each trigger is in one run, once', async () => {
    const wrong = await counted(async (queue, ids) => {
      const adding: Promise<unknown>[] = []
      for (const value of ids) {
        adding.push(queue.add('sync', of(value, 3)))
        await sleep(2)
      }
      await Promise.all(adding)
    })
    expect(wrong).toEqual([])
  })

  test('of two producers that add a hundred jobs in one call each, the same', async () => {
    const wrong = await counted(async (queue, ids) => {
      const other = bench.queue(rerun, solo())
      await Promise.all([queue.waitUntilReady(), other.waitUntilReady()])
      const jobsOf = (half: number) =>
        ids.slice(half * 100, half * 100 + 100).map(value => ({ name: 'sync', data: of(value, 10) }))
      await Promise.all([queue.addBulk(jobsOf(0)), other.addBulk(jobsOf(1))])
    })
    expect(wrong).toEqual([])
  })

  // It ends while the triggers look at it, each time a little later.
  test.each(numbers(steps === 'one step' ? 1 : 10))(
    'by hand: what is triggered before moveToCompleted is run after it (%i)',
    async lateMs => {
      const queue = bench.queue(rerun, solo())
      const plain = new Worker('work', null, { connection: connectionTo(bench.url), prefix: bench.prefix })
      bench.closeLater(() => plain.close())
      await queue.add('sync', listed(0))
      const job = await plain.getNextJob('by-hand')
      const adding = Promise.all(numbers(3, 1).map(value => queue.addUnique('sync', listed(value))))
      // Where lock and job are two steps it is not known yet whether this run begins.
      if (steps === 'one step') await adding
      else await sleep(lateMs)
      await job?.moveToCompleted(0, 'by-hand', false)
      await adding
      const seen: (readonly number[])[] = []
      bench.worker(async next => seen.push(valuesOf(next.data)), { singleton: singleton() })
      await untilIdle(bench, queue)
      expect(seen.flat().toSorted()).toEqual([1, 2, 3])
    },
  )

  const merging = ['untilExecuted', 'untilExecuting', 'untilAndWhileExecuting'] as const

  /** A job of three values that cannot be merged at its first attempt, and its worker. */
  async function unmerged(mode: (typeof merging)[number], attempts: number) {
    const queue = bench.queue({ mode, ...rerun }, solo())
    await queue.add('sync', listed(0), { attempts, backoff: 100 })
    for (const value of [1, 2]) await queue.add('sync', listed(value))
    let fails = true
    const failing = (a: Data, b: Data) => {
      if (fails) throw new TypeError('as it should')
      return merge(a, b)
    }
    const seen: (readonly number[])[] = []
    const worker = bench.worker(async job => seen.push(valuesOf(job.data)), {
      singleton: { ...solo(), jobs: { sync: { uniqueOn: ['key'], mode, ...rerun, merge: failing } } as never },
    })
    await new Promise(resolve => worker.once('failed', resolve))
    fails = false
    return { queue, seen }
  }

  test.each(merging)('%s: what could not be merged at one attempt is merged at the next', async mode => {
    const { queue, seen } = await unmerged(mode, 2)
    // Between the two.
    await queue.add('sync', listed(3))
    await untilIdle(bench, queue)
    expect(seen.toSorted()).toEqual([[0, 1, 2], [3]])
  })

  test.each(merging)('%s: what could not be merged at the last attempt keeps no key', async mode => {
    const { queue, seen } = await unmerged(mode, 1)
    await untilIdle(bench, queue)
    const { outcome } = await queue.addUnique('sync', listed(3))
    await untilIdle(bench, queue)
    expect(outcome.status).toBe('started')
    expect(seen).toEqual([[3]])
  })

  test('untilAndWhileExecuting: an attempt that has its data gives the key up', async () => {
    const queue = bench.queue({ mode: 'untilAndWhileExecuting', ...rerun }, solo())
    for (const value of [0, 1]) await queue.add('sync', listed(value), { attempts: 2, backoff: 60_000 })
    const worker = bench.worker(async () => Promise.reject(new Error('as it should')), { singleton: singleton() })
    await new Promise(resolve => worker.once('failed', resolve))
    expect(await bench.held()).toEqual({})
  })
})
