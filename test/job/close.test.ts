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
