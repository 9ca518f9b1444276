// Guards invariants L5 and H2 of docs/guarantees.md.
import { expect, test } from 'vitest'
import { useWorld, watch } from '../support/world.js'
import { deferred, Journal } from './support.js'

// Each test ends with the world's own checks: no timer, no unhandled rejection and no warning is left.
const use = useWorld()

test('closing leaves no timer, whatever its jobs are at', async () => {
  const { world } = use
  const [one, two] = [world.client().solo, world.client().solo]
  const journal = new Journal<number, number>()
  const key = { uniqueOn: () => 1 }
  const run = await one
    .job(
      'join',
      key,
      journal.handler('one', n => n),
    )
    .trigger(1)
  const joined = await two
    .job(
      'join',
      key,
      journal.handler('two', n => n),
    )
    .trigger(2)
  for (const solo of [one, two]) {
    for (const onDuplicate of ['rerun', 'delay', 'replace'] as const) {
      const stop = onDuplicate === 'replace' ? ({ onRunning: 'stop' } as const) : {}
      const job = solo.job(
        onDuplicate,
        { ...key, ...stop, onDuplicate },
        journal.handler('x', n => n),
      )
      for (let n = 0; n < 3; n += 1) await job.trigger(n)
    }
    for (const onDuplicate of ['rerun', 'delay', 'replace', 'join'] as const) {
      const options = { ...key, onDuplicate, mode: 'untilExpired', expiryMs: 60_000 } as const
      const job = solo.job(
        `period ${onDuplicate}`,
        options,
        journal.handler('x', n => n),
      )
      for (let n = 0; n < 3; n += 1) await job.trigger(n)
    }
  }
  const fails = deferred()
  const failing = one.job('backoff', { attempts: 3 }, () => {
    fails.resolve()
    throw new Error('once more')
  })
  const ended = [run, joined, await failing.trigger()].map(outcome => watch(outcome.result()))
  await fails.promise
  await world.end()
  // The run of a closed client goes on, but not as a success.
  expect(ended.map(({ settled }) => settled)).toEqual([false, true, true])
  expect(ended[1]?.error).toMatchObject({ code: 'CLOSED' })
  expect(ended[2]?.error).toMatchObject({ message: 'once more' })
  journal.open()
  // Handlers that ran on kept their locks, which nobody renews any more.
  await world.clock.advance(30_000)
  expect(ended[0]?.error).toMatchObject({ code: 'CLOSED' })
  expect(world.inUse().filter(name => !name.includes('period'))).toEqual([])
})

test('a run that fails is told of, also when nobody awaits it', async () => {
  const { world } = use
  const { solo } = world.client()
  const told: unknown[] = []
  solo.on('jobFailed', failure => told.push(failure))
  const thrown = new Error('failed')
  const job = solo.job('fails', () => {
    throw thrown
  })
  const { id } = await job.trigger()
  await world.clock.flush()
  expect(told).toEqual([{ job: 'fails', key: job.key(), id, error: thrown }])
})

test('close({ drainMs }) lets runs end, with their results, and ends what waits', async () => {
  const { world } = use
  const [one, two] = [world.client().solo, world.client().solo]
  const journal = new Journal<number, number>()
  const options = { uniqueOn: () => 1, onDuplicate: 'rerun', ttlMs: 1_000, maxRunMs: 60_000 } as const
  const [here, there] = [one, two].map(solo =>
    solo.job(
      'drain',
      options,
      journal.handler('x', n => n),
    ),
  )
  const period = one.job(
    'period',
    { mode: 'untilExpired', expiryMs: 60_000, onDuplicate: 'replace' },
    journal.handler('x', n => n),
  )
  const runs = [watch((await here?.trigger(1))?.result() as Promise<number>), watch((await period.trigger(0)).result())]
  const waiting = [
    watch((await here?.trigger(2))?.result() as Promise<number>),
    watch((await period.trigger(0)).result()),
  ]
  const elsewhere = await there?.trigger(3)
  const closing = watch(one.close({ drainMs: 10_000 }))
  await world.clock.advance(5_000)
  expect([...runs, closing].map(({ settled }) => settled)).toEqual([false, false, false])
  expect(waiting[1]?.error).toMatchObject({ code: 'CLOSED' })
  await expect(here?.trigger(4)).rejects.toMatchObject({ code: 'CLOSED' })
  journal.open()
  await world.clock.advance(100)
  expect(runs.map(({ value }) => value)).toEqual([1, 0])
  expect(closing.settled).toBe(true)
  expect(await elsewhere?.result()).toBe(3)
  expect(waiting[0]?.settled).toBe(true)
  expect(one.jobs.counts()).toMatchObject({ lapsed: 0 })
})

test('what cannot end in time is not released under its handler: its lease runs out', async () => {
  const { world } = use
  const [one, two] = [world.client().solo, world.client().solo]
  const journal = new Journal<number, number>()
  const [here, there] = [one, two].map(solo =>
    solo.job(
      'stays',
      { uniqueOn: () => 1, onDuplicate: 'delay', ttlMs: 20_000 },
      journal.handler('x', n => n),
    ),
  )
  const run = watch((await here?.trigger(1))?.result() as Promise<number>)
  const next = await there?.trigger(2)
  const closing = watch(one.close({ drainMs: 1_000 }))
  await world.clock.advance(3_000)
  expect([closing.settled, run.settled, journal.runs.length]).toEqual([true, false, 1])
  await world.clock.advance(10_000)
  expect(journal.runs.length).toBe(1)
  await world.clock.advance(15_000)
  expect(journal.runs.map(({ args }) => args)).toEqual([1, 2])
  journal.open()
  expect(await next?.result()).toBe(2)
  await world.clock.flush()
  expect(run.error).toMatchObject({ code: 'CLOSED' })
})
