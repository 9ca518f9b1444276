import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { type JobRun, parseJobMeta } from 'soloist'
import { describe, expect, test } from 'vitest'
import { useWorld, watch } from '../support/world.js'
import { deferred, Journal, kinds, Store } from './support.js'

const KEY = { uniqueOn: () => 1 } as const

describe.each(kinds)('on %s', kind => {
  test('limit: as many runs of a key as it says, and then a trigger is a duplicate', async () => {
    await using store = Store.of(kind)
    const journal = new Journal<number, number>()
    const [one, two] = [store.client(), store.client()].map((solo, i) =>
      solo.job(
        'limit',
        { ...KEY, limit: 2 },
        journal.handler(`${i}`, n => n),
      ),
    )
    const first = await one?.trigger(1)
    const second = await two?.trigger(2)
    await journal.started(2)
    const third = await two?.trigger(3)
    expect([first, second, third].map(outcome => outcome?.status)).toEqual(['started', 'started', 'duplicate'])
    expect(third?.id).toBe(first?.id)
    journal.open()
    expect(await Promise.all([first, second, third].map(outcome => outcome?.result()))).toEqual([1, 2, 1])
    expect(journal.most).toBe(2)
  })

  test('limit: what waits with delay and rerun starts as places get free, never more at once', async () => {
    for (const onDuplicate of ['delay', 'rerun'] as const) {
      await using store = Store.of(kind)
      const journal = new Journal<number, void>()
      const jobs = [1, 2].map(i =>
        store.client().job(
          'places',
          { ...KEY, limit: 3, onDuplicate },
          // Long enough that one too many would be seen.
          journal.handler(`${i}`, () => sleep(20)),
        ),
      )
      const outcomes = await Promise.all(Array.from({ length: 12 }, (_, i) => jobs[i % 2]?.trigger(i)))
      await journal.started(3)
      journal.open()
      await Promise.all(outcomes.map(outcome => outcome?.result()))
      // With rerun all nine that wait are one run.
      expect([journal.most, journal.runs.length]).toEqual([3, onDuplicate === 'delay' ? 12 : 4])
      await expect.poll(() => store.inUse()).toEqual([])
      expect(store.troubles).toEqual([])
    }
  })

  test('releaseOnFailure: a run that fails ends its period, one that succeeds does not', async () => {
    await using store = Store.of(kind)
    const [one, two] = [store.client(), store.client()]
    const options = { ...KEY, mode: 'untilExpired', expiryMs: 600_000, releaseOnFailure: true } as const
    const handler = (fails: boolean) => {
      if (fails) throw new Error('failed')
      return 'done'
    }
    const [here, there] = [one, two].map(solo => solo.job('period', options, handler))
    await expect(here?.(true)).rejects.toThrow('failed')
    const again = await there?.trigger(false)
    expect(again?.status).toBe('started')
    expect(await again?.result()).toBe('done')
    expect((await here?.trigger(false))?.status).toBe('duplicate')
  })

  test('operators see who runs it, for whom, who waits and how many notes there are', async () => {
    await using store = Store.of(kind)
    const solo = store.client()
    const journal = new Journal<{ id: number }, number>()
    const options = {
      ...KEY,
      onDuplicate: 'rerun',
      merge: (_: { id: number }, newest: { id: number }) => newest,
      describe: ({ id }: { id: number }) => `shop ${id}`,
    } as const
    const job = solo.job(
      'shown',
      options,
      journal.handler('one', ({ id }) => id),
    )
    await job.trigger({ id: 1 })
    await journal.started(1)
    const last = await Promise.all([2, 3, 4].map(id => job.trigger({ id })))
    const state = await solo.jobs.inspect(`job:shown:${job.key({ id: 1 })}`)
    const here = { host: hostname().slice(0, 100), pid: process.pid }
    expect(parseJobMeta(state?.holders[0]?.meta ?? null)).toEqual({ ...here, description: 'shop 1' })
    expect(state?.waiters.map(({ meta }) => parseJobMeta(meta))).toEqual([{ ...here, description: 'shop 2' }])
    expect(state?.pending).toMatchObject({ owner: state?.waiters[0]?.owner, notes: 2 })
    journal.open()
    expect(await last[2]?.result()).toBe(4)
  })
})

// They wait most of their time, for longer than a busy machine holds a process up between two triggers.
describe.concurrent.each(kinds)('debounce on %s', kind => {
  test.for([false, true])('one run after the last trigger, with what all brought: %s', async (merges, { expect }) => {
    await using store = Store.of(kind)
    const runs: { args: number[]; atMs: number }[] = []
    const merge = merges ? (a: number[], b: number[]) => [...a, ...b] : undefined
    const options = { ...KEY, merge, debounce: { waitMs: 4_000 } }
    const jobs = [1, 2].map(() =>
      store.client().job('wait', options, (args: number[]) => {
        runs.push({ args, atMs: performance.now() })
      }),
    )
    const outcomes = []
    let lastMs = 0
    for (let i = 0; i < 4; i += 1) {
      await sleep(50)
      lastMs = performance.now()
      outcomes.push(await jobs[i % 2]?.trigger([i]))
    }
    await Promise.all(outcomes.map(outcome => outcome?.result()))
    expect(runs.map(({ args }) => args)).toEqual([merges ? [0, 1, 2, 3] : [3]])
    expect((runs[0]?.atMs as number) - lastMs).toBeGreaterThan(3_900)
    expect(outcomes.map(outcome => outcome?.status)).toEqual(Array(4).fill('deferred'))
    await expect.poll(() => store.inUse()).toEqual([])
    expect(store.troubles).toEqual([])
  })

  test('maxWaitMs bounds it, however many triggers come', async ({ expect }) => {
    await using store = Store.of(kind)
    const runs: { n: number; atMs: number }[] = []
    const options = { ...KEY, debounce: { waitMs: 4_000, maxWaitMs: 6_000 } }
    const job = store.client().job('bound', options, (n: number) => {
      runs.push({ n, atMs: performance.now() })
    })
    const sinceMs = performance.now()
    for (let n = 0; runs.length === 0; n += 1) {
      await job.trigger(n)
      await sleep(20)
    }
    expect(runs.length).toBe(1)
    expect(runs[0]?.n).toBeGreaterThan(0)
    const tookMs = (runs[0]?.atMs as number) - sinceMs
    expect(tookMs).toBeGreaterThan(5_900)
    expect(tookMs).toBeLessThan(20_000)
  })
})

describe('maxRunMs', () => {
  const use = useWorld()

  test('the run fails, its signal aborts, and its key is free at once, though its handler goes on', async () => {
    const { world } = use
    const [{ solo }, other] = [world.client(), world.client()]
    const failures: unknown[] = []
    solo.on('jobFailed', ({ error }) => failures.push(error))
    const seen: JobRun[] = []
    const hangs = deferred()
    const options = { maxRunMs: 1_000, ttlMs: 500, attempts: 3, backoffMs: 10 }
    const job = solo.job('hangs', options, async (_: undefined, run) => {
      seen.push(run)
      await hangs.promise
      run.assertValid()
    })
    const result = watch(job())
    const joined = watch(other.solo.job('hangs', () => 'again')())
    await world.clock.advance(990)
    expect([result.settled, seen.length]).toEqual([false, 1])
    await world.clock.advance(20)
    expect(result.error).toMatchObject({ name: 'SoloistError', code: 'RUN_TIMEOUT' })
    expect(joined.error).toMatchObject({ code: 'JOB_FAILED', cause: { code: 'RUN_TIMEOUT' } })
    expect(failures).toEqual([result.error])
    expect(seen[0]?.signal.reason).toBe(result.error)
    expect(() => seen[0]?.assertValid()).toThrow(expect.objectContaining({ code: 'RUN_TIMEOUT' }))
    expect(world.inUse()).toEqual([])
    expect(await other.solo.job('hangs', () => 'again')()).toBe('again')
    hangs.resolve()
    await world.clock.advance(5_000)
    expect(seen.length).toBe(1)
  })

  test('attempts do not extend it', async () => {
    const { world } = use
    const { solo } = world.client()
    let calls = 0
    const job = solo.job('fails', { maxRunMs: 1_000, attempts: 10, backoffMs: 300 }, () => {
      calls += 1
      throw new Error('once more')
    })
    const result = watch(job())
    await world.clock.advance(5_000)
    // At 0, 300 and 900 ms.
    expect(calls).toBe(3)
    expect(result.error).toMatchObject({ code: 'RUN_TIMEOUT' })
  })

  test('a run that ends in time leaves no timer', async () => {
    const { world } = use
    const job = world.client().solo.job('short', { maxRunMs: 1_000 }, () => 1)
    expect(await job()).toBe(1)
    await world.clock.advance(5_000)
    expect(job.counts()).toMatchObject({ started: 1, lapsed: 0 })
  })
})

describe('run.assertValid', () => {
  const use = useWorld()

  test('throws once the lease is lost, by the clock, before any timer has told so', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const thrown: unknown[] = []
    const job = solo.job('paused', { ttlMs: 1_000 }, (_: undefined, run) => {
      run.assertValid()
      link.fate = 'drop'
      world.clock.block(1_000)
      try {
        run.assertValid()
      } catch (error) {
        thrown.push(error)
      }
    })
    const result = watch(job())
    await world.clock.advance(10_000)
    expect(thrown).toMatchObject([{ code: 'LEASE_LOST' }])
    expect(result.error).toMatchObject({ code: 'LEASE_LOST' })
  })
})

describe('who waits for a result may stop waiting, and the run goes on', () => {
  const use = useWorld()

  test('by a signal, and by a time-out', async () => {
    const { world } = use
    const [one, two] = [world.client().solo, world.client().solo]
    const end = deferred()
    const [here, there] = [one, two].map(solo =>
      solo.job('long', async () => {
        await end.promise
        return 'done'
      }),
    )
    const controller = new AbortController()
    const outcome = await here?.trigger()
    const waits = [
      watch(here?.(undefined, { timeoutMs: 100 }) as Promise<string>),
      watch(there?.(undefined, { signal: controller.signal }) as Promise<string>),
      watch(outcome?.result({ timeoutMs: 200, signal: controller.signal }) as Promise<string>),
    ]
    await world.clock.advance(150)
    expect(waits.map(({ settled }) => settled)).toEqual([true, false, false])
    controller.abort(new Error('enough'))
    await world.clock.flush()
    expect(waits.map(({ error }) => (error as { code: string }).code)).toEqual(['RESULT_TIMEOUT', 'ABORTED', 'ABORTED'])
    expect(waits[1]?.error).toMatchObject({ cause: { message: 'enough' } })
    end.resolve()
    expect(await outcome?.result()).toBe('done')
    expect(one.jobs.counts('long')).toMatchObject({ started: 1 })
  })

  test('one that was aborted before asks for nothing', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const job = solo.job('never', () => 1)
    await expect(job(undefined, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
    expect(link.sent).toEqual([])
  })
})

test('limit: a run that would wait for itself is told so at once, when no place is left', async () => {
  await using store = Store.of('memory')
  const depths: number[] = []
  const job = store.client().job('nested', { ...KEY, limit: 2 }, async (n: number): Promise<unknown> => {
    depths.push(n)
    return await job(n + 1).catch((error: { code: string }) => error.code)
  })
  expect(await job(1)).toBe('SELF_WAIT')
  expect(depths).toEqual([1, 2])
})
