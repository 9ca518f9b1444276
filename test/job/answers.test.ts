import { describe, expect, test } from 'vitest'
import type { Fate } from '../support/scripted-backend.js'
import { useWorld, watch } from '../support/world.js'
import { args, merge, Runs } from './world.js'

const use = useWorld()
const MERGE = { onDuplicate: 'rerun', merge, ttlMs: 5_000 } as const
const NEWEST = { onDuplicate: 'rerun', ttlMs: 5_000 } as const

const FATES: readonly [string, Fate][] = [
  ['lost', 'lose'],
  ['repeated', 'twice'],
  ['late', { answersAfterMs: 900 }],
  ['late, by a request that was', { arrivesAfterMs: 900 }],
  ['lost for this step alone', { step: 'lose' }],
  ['to be asked for again', { step: 'again' }],
  ['refused once', 'refuse'],
  ['an exception once', 'throw'],
]

describe.each(FATES)('an answer that is %s', (_, fate) => {
  test('to a trigger that adds to the pending run: its arguments are there, once', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const runs = new Runs(MERGE)
    const live = await runs.live(l)
    const first = await runs.in('a', a).trigger(args('T1'))
    b.link.next('trigger', fate)
    const second = watch(runs.in('b', b).trigger(args('X')))
    await world.clock.advance(1_000)
    expect(second.value).toMatchObject({ status: 'deferred' })
    live.end()
    const results = [first, second.value].map(outcome => watch(outcome?.result() as Promise<string>))
    await world.clock.advance(1_000)
    expect(results.map(({ value }) => value)).toEqual(['T1 X', 'T1 X'])
    expect(runs.all).toEqual(['live: live', 'a: T1 X'])
    expect(world.inUse()).toEqual([])
  })

  test('to a trigger that takes the place of the pending run: there is one run, and it has the newest', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const runs = new Runs(NEWEST)
    const live = await runs.live(l)
    const first = await runs.in('a', a).trigger(args('T1'))
    b.link.next('trigger', fate)
    const second = watch(runs.in('b', b).trigger(args('X')))
    await world.clock.advance(1_000)
    live.end()
    const results = [first, second.value].map(outcome => watch(outcome?.result() as Promise<string>))
    await world.clock.advance(1_000)
    expect(results.map(({ value }) => value)).toEqual(['X', 'X'])
    expect(runs.all).toEqual(['live: live', 'b: X'])
    expect(world.inUse()).toEqual([])
  })

  test('to the beginning of a run: it begins once, with everything', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const runs = new Runs(MERGE)
    const live = await runs.live(l)
    const outcomes = [await runs.in('a', a).trigger(args('T1')), await runs.in('b', b).trigger(args('X'))]
    a.link.next('begin', fate)
    live.end()
    const results = outcomes.map(outcome => watch(outcome.result()))
    await world.clock.advance(3_000)
    expect(results.map(({ value }) => value)).toEqual(['T1 X', 'T1 X'])
    expect(runs.all).toEqual(['live: live', 'a: T1 X'])
    expect(world.inUse()).toEqual([])
  })

  test('to the release of a run: it is a success, for all', async () => {
    const { world } = use
    const [l, a] = [world.client(), world.client()]
    const runs = new Runs(NEWEST)
    const live = await runs.live(l)
    l.link.next('release', fate)
    const again = new Runs({})
    const joined = await again.in('a', a).trigger(args('T1'))
    live.end()
    const result = watch(joined.result())
    await world.clock.advance(3_000)
    expect(result.value).toBe('live')
    expect(l.solo.jobs.counts('j')).toMatchObject({ started: 1, lapsed: 0 })
  })
})

test('a run is displaced before its trigger is answered: both triggers are accepted, and covered by the newer run', async () => {
  for (const mode of ['untilAndWhileExecuting', 'untilExecuting', 'untilExecuted'] as const) {
    for (const onDuplicate of ['rerun', 'replace'] as const) {
      const { world } = use
      const [l, b, c] = [world.client(), world.client(), world.client()]
      const runs = new Runs({ mode, onDuplicate })
      const live = await runs.live(l)
      b.link.next('trigger', { answersAfterMs: 300 })
      const slow = watch(runs.in('b', b).trigger(args('B')))
      await world.clock.advance(100)
      const newer = await runs.in('c', c).trigger(args('C'))
      await world.clock.advance(300)
      expect(slow.error).toBeUndefined()
      live.end()
      const results = [slow.value, newer].map(outcome => watch(outcome?.result() as Promise<string>))
      await world.clock.advance(5_000)
      expect(results.map(({ value }) => value)).toEqual(['C', 'C'])
      expect(runs.all).toEqual(['live: live', 'c: C'])
      expect(world.inUse()).toEqual([])
    }
  }
})

test('the pushes to who was displaced are lost: its beat finds out, and does not bring it back', async () => {
  const { world } = use
  const [l, a, b] = [world.client(), world.client(), world.client()]
  const runs = new Runs({ ...NEWEST, ttlMs: 30_000 })
  const live = await runs.live(l)
  a.link.onPush = () => {}
  const first = await runs.in('a', a).trigger(args('T1'))
  const second = await runs.in('b', b).trigger(args('X'))
  await world.clock.advance(10_000)
  live.end()
  const results = [first, second].map(outcome => watch(outcome.result()))
  await world.clock.advance(10_000)
  expect(results.map(({ value }) => value)).toEqual(['X', 'X'])
  expect(runs.all).toEqual(['live: live', 'b: X'])
  expect(world.inUse()).toEqual([])
})

describe('a run that was alone until its end is a success', () => {
  test.each<[string, Fate, number]>([
    ['its release comes to the store when its lease has run out', { arrivesAfterMs: 700 }, 5_000],
    ['its release has no answer', 'drop', 300],
    ['its release is answered when its lease has run out', { answersAfterMs: 700 }, 5_000],
  ])('although %s', async (_, fate, callTimeoutMs) => {
    const { world } = use
    const a = world.client({ callTimeoutMs })
    const failed: unknown[] = []
    a.solo.on('jobFailed', failure => failed.push(failure))
    const job = a.solo.job('j', { ttlMs: 500 }, () => 'charged')
    a.link.next('release', fate, fate)
    const result = watch(job())
    await world.clock.advance(2_000)
    expect(result.value).toBe('charged')
    expect(failed).toEqual([])
    expect(job.counts()).toMatchObject({ started: 1, lapsed: 0 })
  })

  test('although nothing was left of its lease here, as long as the store says that it held the lock', async () => {
    const { world } = use
    const a = world.client()
    const job = a.solo.job('j', { ttlMs: 900 }, () => {
      // The event loop is blocked: the part of the lease that is not counted on is left, by the store's clock.
      world.clock.block(895)
      return 'charged'
    })
    const result = watch(job())
    await world.clock.advance(100)
    expect(result.value).toBe('charged')
  })

  test('but not when the lock was taken away', async () => {
    const { world } = use
    const a = world.client()
    const runs = new Runs(NEWEST)
    const live = await runs.live(a)
    const name = world.inUse()[0] as string
    const [owner] = world.owners(name)
    expect(await world.client().solo.unlock(name, { owner: owner as string })).toBe(true)
    live.end()
    await world.clock.advance(100)
    expect(a.solo.jobs.counts('j')).toMatchObject({ started: 1, lapsed: 1 })
  })
})
