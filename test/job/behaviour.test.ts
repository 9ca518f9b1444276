// Guards invariants J2, J3 and J4 of docs/guarantees.md.
import { setTimeout as sleep } from 'node:timers/promises'
import { DuplicateJobError, JobFailedError, type JobOutcome, type JobRun, SoloistError } from 'soloist'
import { describe, expect, test } from 'vitest'
import { World, watch } from '../support/world.js'
import { deferred, Journal, kinds, Store } from './support.js'

/** Ends a run when its signal fires, with the signal's reason. */
function untilStopped({ signal }: JobRun): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}

describe.each(kinds)('on %s', kind => {
  test('who joins in another client gets a copy of the result, whatever it is', async () => {
    await using store = Store.of(kind)
    const values: [string, unknown][] = [
      ['number', 42],
      ['object', { b: [1, null], a: 'é"\u2028' }],
      ['nothing', undefined],
      ['null', null],
      ['false', false],
    ]
    for (const [name, value] of values) {
      const journal = new Journal<undefined, unknown>()
      const here = store.client().job(
        name,
        journal.handler('here', () => value),
      )
      const there = store.client().job(
        name,
        journal.handler('there', () => 'not this one'),
      )
      const own = here()
      await journal.started(1)
      const joined = await there.trigger()
      journal.open()
      expect(joined).toMatchObject({ status: 'duplicate', id: journal.runs[0]?.id, state: 'running' })
      expect(await Promise.all([own, joined.result(), joined.result()])).toEqual([value, value, value])
      // What comes after the end is a run of its own.
      expect(await there()).toBe('not this one')
    }
    expect(store.troubles).toEqual([])
  })

  test('who joins a run that fails gets its error: its own here, a typed copy elsewhere', async () => {
    await using store = Store.of(kind)
    const journal = new Journal<undefined, never>()
    const thrown = Object.assign(new RangeError('out of range'), { code: 'E_RANGE', secret: 'x' })
    const fail = () => {
      throw thrown
    }
    const here = store.client().job('fails', journal.handler('here', fail))
    const there = store.client().job('fails', journal.handler('there', fail))
    const own = here.trigger()
    await journal.started(1)
    const outcomes = [await own, await here.trigger(), await there.trigger()]
    journal.open()
    const [mine, besides, elsewhere] = await Promise.all(outcomes.map(o => o.result().catch((e: unknown) => e)))
    expect(mine).toBe(thrown)
    expect(besides).toBe(thrown)
    expect(elsewhere).toBeInstanceOf(JobFailedError)
    expect(elsewhere).toMatchObject({ code: 'JOB_FAILED', message: 'out of range', id: journal.runs[0]?.id })
    const { cause } = elsewhere as JobFailedError
    expect(cause).toBeInstanceOf(Error)
    expect({ ...(cause as Error) }).toEqual({ name: 'RangeError', code: 'E_RANGE' })
    expect((cause as Error).stack).toBe('RangeError: out of range')
    expect(journal.runs.length).toBe(1)
  })

  test('a result that cannot be told is an error for who joined, and none for who ran it', async () => {
    await using store = Store.of(kind)
    const cases: [string, unknown, string][] = [
      ['map', new Map([[1, 2]]), 'a result must be JSON data; there is an instance of Map'],
      ['deep', { a: [{ b: 1n }] }, 'there is a BigInt at .a[0].b'],
      ['long', 'x'.repeat(200), 'it has 202 bytes, and the limit is 100'],
      ['getter', Object.defineProperty({}, 'a', { enumerable: true, get: () => JSON.parse('{') }), 'reading it threw'],
    ]
    for (const [name, value, why] of cases) {
      const journal = new Journal<undefined, unknown>()
      const options = { resultLimitBytes: 100 }
      const own = store.client().job(
        name,
        options,
        journal.handler('here', () => value),
      )()
      await journal.started(1)
      const joined = await store
        .client()
        .job(
          name,
          options,
          journal.handler('there', () => 'again'),
        )
        .trigger()
      journal.open()
      expect(await own).toBe(value)
      const error = await joined.result().catch((e: unknown) => e)
      expect(error).toBeInstanceOf(SoloistError)
      expect(error).toMatchObject({ code: 'RESULT_UNAVAILABLE' })
      expect((error as Error).message).toContain(why)
      expect(journal.runs.length).toBe(1)
    }
  })

  test('a handler is called again after a failure, under the same lease, as often as told', async () => {
    await using store = Store.of(kind)
    const solo = store.client()
    const calls: JobRun[] = []
    const options = { attempts: 3, backoffMs: 10 }
    const job = solo.job('again', options, (most: number, run) => {
      calls.push(run)
      if (run.attempt < most) throw new Error(`attempt ${run.attempt}`)
      return run.attempt
    })
    expect(await job(3)).toBe(3)
    expect(calls.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
    expect(new Set(calls.map(({ id, fence }) => `${id} ${fence}`)).size).toBe(1)
    await expect(job(4)).rejects.toThrow('attempt 3')
    expect(calls.length).toBe(6)
  })

  test('replace × stop asks the run to stop, waits for its end, and takes its place', async () => {
    await using store = Store.of(kind)
    const started = deferred<JobRun>()
    const log: string[] = []
    const options = { onDuplicate: 'replace', onRunning: 'stop', uniqueOn: () => 1, attempts: 5 } as const
    const define = (solo: ReturnType<Store['client']>) =>
      solo.job('stop', options, async (n: number, run) => {
        log.push(`start ${n}`)
        if (n > 1) return n
        started.resolve(run)
        // Slow to notice: the next one may not start before this one has ended.
        await untilStopped(run).catch(() => sleep(20))
        log.push(`end ${n}`)
        throw run.signal.reason
      })
    const [here, there] = [define(store.client()), define(store.client())]
    const first = await here.trigger(1)
    const run = await started.promise
    const second = await there.trigger(2)
    expect(second).toMatchObject({ status: 'replaced', owner: first.id, state: 'running' })
    const error = await first.result().catch((e: unknown) => e)
    expect(error).toBe(run.signal.reason)
    expect(error).toMatchObject({ code: 'JOB_REPLACED' })
    expect(await second.result()).toBe(2)
    expect(log).toEqual(['start 1', 'end 1', 'start 2'])
    await expect.poll(() => store.inUse()).toEqual([])
    expect(store.troubles).toEqual([])
  })

  test('rerun × merge: the one pending run has what every trigger since brought', async () => {
    await using store = Store.of(kind)
    const journal = new Journal<{ id: number; fields: string[] }, string>()
    const options = {
      onDuplicate: 'rerun',
      uniqueOn: ['id'],
      merge: (pending: { id: number; fields: string[] }, newest: { id: number; fields: string[] }) => ({
        id: newest.id,
        fields: [...pending.fields, ...newest.fields],
      }),
    } as const
    const jobs = ['a', 'b', 'c'].map(client =>
      store.client().job(
        'merge',
        options,
        journal.handler(client, ({ fields }) => fields.join('')),
      ),
    )
    const trigger = (i: number, field: string) => jobs[i % 3]?.trigger({ id: 1, fields: [field] })
    const first = await trigger(0, '-')
    await journal.started(1)
    const later = []
    for (let i = 0; i < 7; i += 1) later.push(await trigger(i, String(i)))
    journal.open()
    expect(await first?.result()).toBe('-')
    expect(await Promise.all(later.map(outcome => outcome?.result()))).toEqual(Array(7).fill('0123456'))
    expect(later.map(outcome => outcome?.status)).toEqual(Array(7).fill('deferred'))
    expect(journal.runs.map(({ client }) => client)).toEqual(['a', 'a'])
    expect(jobs[0]?.counts()).toMatchObject({ started: 1, deferred: 3 })
    expect(store.troubles).toEqual([])
  })

  test('rerun under a crowd: every trigger is covered by a run that started after it, and none is lost by merging', async () => {
    await using store = Store.of(kind)
    const options = {
      onDuplicate: 'rerun',
      uniqueOn: () => 1,
      merge: (a: number[], b: number[]) => [...a, ...b],
    } as const
    const runs: number[][] = []
    let underWay = 0
    const jobs = [1, 2, 3].map(() =>
      store.client().job('crowd', options, async (args: number[]) => {
        underWay += 1
        expect(underWay).toBe(1)
        runs.push(args)
        await sleep(3)
        underWay -= 1
        return runs.length
      }),
    )
    const triggers = Array.from({ length: 60 }, async (_, i) => {
      await sleep(i)
      const before = runs.length
      const covered = await jobs[i % 3]?.([i])
      expect(covered).toBeGreaterThan(before)
    })
    await Promise.all(triggers)
    expect(runs.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, i) => i))
    expect(runs.length).toBeLessThan(60)
    await expect.poll(() => store.inUse()).toEqual([])
    expect(store.troubles).toEqual([])
  })

  test('a run whose lock is taken away lapses: its signal fires, it fails, and who joined runs the job again', async () => {
    await using store = Store.of(kind)
    const [one, two] = [store.client(), store.client()]
    const options = { ttlMs: 4_000 }
    const runs: JobRun[] = []
    const started = deferred()
    const mine = one.job('taken', options, async (_: undefined, run) => {
      runs.push(run)
      started.resolve()
      await untilStopped(run).catch(() => {})
      return 'too late'
    })
    const own = await mine.trigger()
    await started.promise
    const other = two.job('taken', options, (_: undefined, run) => {
      runs.push(run)
      return 'again'
    })
    const joined = await other.trigger()
    expect(joined.id).toBe(own.id)
    expect(await two.unlock(`job:taken:${mine.key()}`, { owner: own.id })).toBe(true)
    await expect(own.result()).rejects.toMatchObject({ code: 'LEASE_LOST' })
    expect(await joined.result()).toBe('again')
    expect(runs.map(({ fence }) => fence)).toEqual(runs.map(({ fence }) => fence).sort((a, b) => a - b))
    expect(runs.length).toBe(2)
    expect(one.jobs.counts('taken')).toMatchObject({ started: 1, lapsed: 1 })
    expect(two.jobs.counts('taken')).toMatchObject({ duplicate: 1, recovered: 1 })
  })

  test('closing ends what waits and what was joined with CLOSED, and leaves the others their turn', async () => {
    await using store = Store.of(kind)
    const [one, two, three] = [store.client(), store.client(), store.client()]
    const journal = new Journal<number, number>()
    const options = { onDuplicate: 'rerun', uniqueOn: () => 1 } as const
    const jobs = [one, two, three].map((solo, i) =>
      solo.job(
        'close',
        options,
        journal.handler(`${i}`, n => n),
      ),
    )
    const first = await jobs[0]?.trigger(1)
    await journal.started(1)
    const second = await jobs[1]?.trigger(2)
    const replaced = second?.result().catch((e: unknown) => e)
    await two.close()
    expect(await replaced).toMatchObject({ code: 'CLOSED' })
    const third = await jobs[2]?.trigger(3)
    journal.open()
    expect(await first?.result()).toBe(1)
    expect(await third?.result()).toBe(3)
    expect(journal.runs.map(({ args }) => args)).toEqual([1, 3])
  })
})

test('a function decides on each duplicate', async () => {
  await using store = Store.of('memory')
  const journal = new Journal<{ id: number; urgent: boolean }, number>()
  const seen: unknown[] = []
  const options = {
    uniqueOn: ['id'],
    onDuplicate: async ({
      args,
      id,
      state,
      ageMs,
    }: {
      args: { urgent: boolean }
      id: string
      state: string
      ageMs: number | null
    }) => {
      seen.push({ id, state, known: ageMs !== null })
      return args.urgent ? ('rerun' as const) : ('skip' as const)
    },
  } as const
  const job = store.client().job(
    'decide',
    options,
    journal.handler('one', ({ id }) => id),
  )
  const first = await job.trigger({ id: 1, urgent: false })
  await journal.started(1)
  expect((await job.trigger({ id: 1, urgent: false })).status).toBe('duplicate')
  const urgent = await job.trigger({ id: 1, urgent: true })
  expect(urgent).toMatchObject({ status: 'deferred', id: first.id })
  journal.open()
  expect(await urgent.result()).toBe(1)
  expect(journal.runs.map(({ args }) => args.urgent)).toEqual([false, true])
  expect(seen).toEqual(Array(2).fill({ id: first.id, state: 'running', known: true }))

  const blocked = deferred()
  const held = store.client().job('held', { onDuplicate: () => 'drop' as never }, () => blocked.promise)
  await held.trigger()
  await expect(held.trigger()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  blocked.resolve()
})

test('triggers made together are one run, however short it is', async () => {
  await using store = Store.of('memory')
  let runs = 0
  const job = store.client().job('short', () => {
    runs += 1
    return runs
  })
  expect(await Promise.all([job(), job(), job()])).toEqual([1, 1, 1])
  expect(await job()).toBe(2)
  expect(job.counts()).toMatchObject({ started: 2, duplicate: 2 })
})

test('skip differs from join: nobody waits for the live run, and its result is refused', async () => {
  await using store = Store.of('memory')
  const [one, two] = [store.client(), store.client()]
  const journal = new Journal<undefined, number>()
  const first = await one
    .job(
      'skip',
      journal.handler('one', () => 1),
    )
    .trigger()
  await journal.started(1)
  const skipping = two.job(
    'skip',
    { onDuplicate: 'skip' },
    journal.handler('two', () => 2),
  )
  const skipped = await skipping.trigger()
  expect(skipped).toMatchObject({ status: 'duplicate', id: first.id })
  await expect(skipped.result()).rejects.toBeInstanceOf(DuplicateJobError)
  await expect(skipping()).rejects.toMatchObject({ code: 'DUPLICATE_JOB', id: first.id, state: 'running' })
  journal.open()
  expect(await first.result()).toBe(1)
  expect(skipping.counts()).toEqual({ started: 0, duplicate: 2, replaced: 0, deferred: 0, recovered: 0, lapsed: 0 })
})

test('a period outlasts its run: a later trigger has the result of the run, and the next period a run of its own', async () => {
  const world = new World()
  const runs: number[] = []
  const options = { mode: 'untilExpired', expiryMs: 2_000, resultTtlMs: 1, uniqueOn: () => 1 } as const
  const [here, there] = [1, 2].map(() => world.client().solo.job('period', options, (n: number) => runs.push(n)))
  expect(await here?.(1)).toBe(1)
  await world.clock.advance(1_990)
  const late = watch(there?.trigger(2) as Promise<JobOutcome<number>>)
  await world.clock.flush()
  expect(late.value).toMatchObject({ status: 'duplicate', state: 'finished' })
  expect(await late.value?.result()).toBe(1)
  await world.clock.advance(20)
  expect(world.inUse()).toEqual([])
  expect(await there?.(3)).toBe(2)
  expect(runs).toEqual([1, 3])
  await world.end()
})

test('a run that fails keeps its period, whichever way it came to it', async () => {
  await using store = Store.of('memory')
  const solo = store.client()
  const journal = new Journal<number, number>()
  const fail = (n: number) => {
    throw new Error(`failed ${n}`)
  }
  for (const onDuplicate of ['delay', 'rerun', 'replace'] as const) {
    const options = { mode: 'untilExpired', expiryMs: 600_000, onDuplicate, uniqueOn: () => 1 } as const
    const job = solo.job(onDuplicate, options, journal.handler('one', fail))
    const gate = `job:${onDuplicate}:${job.key(1)}`
    journal.open()
    const first = await job.trigger(1)
    await expect(first.result()).rejects.toThrow('failed 1')
    const second = await job.trigger(2)
    if (onDuplicate !== 'replace') await solo.unlock(gate, { owner: first.id })
    await expect(second.result()).rejects.toThrow('failed 2')
    expect((await solo.inspect(gate))?.holders.map(({ owner }) => owner)).toEqual([journal.runs.at(-1)?.id])
  }
})
