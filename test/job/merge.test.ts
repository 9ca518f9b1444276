import { expect, test } from 'vitest'
import { useWorld, watch } from '../support/world.js'
import { args, merge as inOrder, Runs } from './world.js'

const use = useWorld()
type Args = ReturnType<typeof args>

test.each<[string, (pending: Args, newest: Args) => Args, RegExp]>([
  ['is async', (async (a: Args) => a) as never, /returned a promise/],
  ['rejects', (async () => Promise.reject(new Error('no'))) as never, /returned a promise/],
  ['throws', () => JSON.parse('{'), /merge threw/],
  ['returns undefined', (() => undefined) as never, /returned undefined/],
  ['changes the key', ({ seqs }) => ({ key: 2, seqs }), /must not change what the key is made of/],
  ['drops the key', (({ seqs }: Args) => ({ seqs })) as never, /without a key/],
])('a merge that %s is refused at the trigger, and nothing is sent or lost', async (_, merge, message) => {
  const { world } = use
  const [l, a, b] = [world.client(), world.client(), world.client()]
  const runs = new Runs({ onDuplicate: 'rerun', merge: inOrder })
  const live = await runs.live(l)
  const pending = await runs.in('a', a).trigger(args('T1'))
  const bad = new Runs({ onDuplicate: 'rerun', merge }).in('b', b)
  for (const call of [bad.trigger(args('X')), bad(args('X'))]) {
    const error: unknown = await call.catch((e: unknown) => e)
    expect(error).toMatchObject({
      name: 'SoloistError',
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    })
  }
  expect(b.link.sent).toEqual([])
  live.end()
  const result = watch(pending.result())
  await world.clock.advance(100)
  expect(result.value).toBe('T1')
})

test('a merge that changes what it is given changes nothing of the callers', async () => {
  const { world } = use
  const [l, a] = [world.client(), world.client()]
  const merge = (pending: Args, newest: Args) => {
    ;(pending.seqs as string[]).push(...newest.seqs)
    return pending
  }
  const runs = new Runs({ onDuplicate: 'rerun', merge })
  const live = await runs.live(l)
  const given = [args('T1'), args('T2'), args('T3')]
  const outcomes = await Promise.all(given.map(each => runs.in('a', a).trigger(each)))
  live.end()
  const results = outcomes.map(outcome => watch(outcome.result()))
  await world.clock.advance(100)
  expect(results.map(({ value }) => value)).toEqual(Array(3).fill('T1 T2 T3'))
  expect(given).toEqual([args('T1'), args('T2'), args('T3')])
})

test('a merge that fails when the run begins fails the run, as its handler would: for all that it covers, and as an event', async () => {
  const { world } = use
  const [l, a, b] = [world.client(), world.client(), world.client()]
  const thrown = new RangeError('only when it counts')
  const merge = (pending: Args, newest: Args) => {
    if (newest.seqs.includes('bad') && !pending.seqs.includes('bad')) throw thrown
    return inOrder(pending, newest)
  }
  const runs = new Runs({ onDuplicate: 'rerun', merge })
  const failures: unknown[] = []
  a.solo.on('jobFailed', ({ error }) => failures.push(error))
  const live = await runs.live(l)
  const outcomes = [await runs.in('a', a).trigger(args('T1')), await runs.in('b', b).trigger(args('bad'))]
  live.end()
  const results = outcomes.map(outcome => watch(outcome.result()))
  await world.clock.advance(100)
  expect(results[0]?.error).toBe(thrown)
  expect(results[1]?.error).toMatchObject({ code: 'JOB_FAILED', message: 'only when it counts' })
  expect(failures).toEqual([thrown])
  expect(runs.all).toEqual(['live: live'])
  expect(world.inUse()).toEqual([])
})
