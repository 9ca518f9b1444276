import { expect, test } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'
import { args, Runs } from './world.js'

// A run that waits watches another claim. Where the store refuses to answer only that for longer than an outage lasts, the run waits
// on, and its client is told.

const use = useWorld()
const KINDS = {
  'its place': { onDuplicate: 'rerun' },
  'the run that has its period': { onDuplicate: 'replace', mode: 'untilExpired', expiryMs: 100_000 },
} as const

test.each(Object.keys(KINDS) as (keyof typeof KINDS)[])('a run that waits cannot watch %s', async kind => {
  const { world } = use
  const [l, a] = [world.client(), world.client({ callTimeoutMs: 1_000 })]
  const runs = new Runs({ ...KINDS[kind], ttlMs: 60_000 })
  const live = await runs.live(l)
  const events = record(a.solo)
  const second = await runs.in('a', a).trigger(args('T'))
  a.link.fate = method => (method === 'watch' ? 'refuse' : 'pass')
  const result = watch(second.result())
  await world.clock.advance(75_000)
  const { name, owner } = a.link.sent.findLast(({ step }) => step?.kind === 'trigger')?.claim ?? { name: '', owner: '' }
  const error = expect.objectContaining({ code: 'BACKEND_UNAVAILABLE' })
  const fault = ['fault', { name, owner, mode: 'exclusive', during: 'wait', error }]
  // The run of a period waits for its place, too.
  expect(events.filter(([event]) => event === 'fault')).toEqual(Array(kind === 'its place' ? 1 : 2).fill(fault))
  expect(result.settled).toBe(false)
  live.end()
  await world.clock.advance(70_000)
  expect(result.value).toBe('T')
  expect(runs.all).toEqual(['live: live', 'a: T'])
})

test.each(Object.keys(KINDS) as (keyof typeof KINDS)[])(
  'a client that is closed is not told that it cannot watch %s',
  async kind => {
    const { world } = use
    const [l, a] = [world.client(), world.client()]
    const runs = new Runs({ ...KINDS[kind], ttlMs: 60_000 })
    const live = await runs.live(l)
    const events = record(a.solo)
    const second = await runs.in('a', a).trigger(args('T'))
    const result = watch(second.result())
    await a.solo.close()
    await world.clock.flush()
    expect(result.error).toMatchObject({ code: 'CLOSED' })
    expect(events.filter(([event]) => event === 'fault')).toEqual([])
    live.end()
  },
)
