import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('renewal', () => {
  it('keeps a lease for as long as it is held, asking at about a third of its ttl', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 30_000 })
    await world.clock.advance(9_000)
    expect(link.count('renew')).toBe(0)
    await world.clock.advance(2_000)
    expect(link.count('renew')).toBe(1)
    await world.clock.advance(289_000)
    lease.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
    expect(link.count('renew')).toBeGreaterThanOrEqual(27)
    expect(link.count('renew')).toBeLessThanOrEqual(33)
  })

  it.each([
    ['early', 0, 9_000],
    ['late', 0.999_999, 11_000],
  ])('is spread by a tenth: %s', async (_, random, dueMs) => {
    const { world } = use
    const { solo, link } = world.client({ random: () => random })
    await solo.lock('a', { ttlMs: 30_000 })
    // It may come up to a 128th of its delay sooner, with others that are due then.
    await world.clock.advance(dueMs - dueMs / 128 - 1)
    expect(link.count('renew')).toBe(0)
    await world.clock.advance(dueMs / 128 + 2)
    expect(link.count('renew')).toBe(1)
  })

  it('asks once for each of many leases, in full calls', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const names = Array.from({ length: 1_000 }, (_, i) => `lock-${i}`)
    const leases = await Promise.all(names.map(name => solo.lock(name, { ttlMs: 30_000 })))
    await world.clock.advance(11_000)
    const renewed = link.sent.filter(({ method }) => method === 'renew')
    expect(renewed.map(({ claim }) => claim?.name).sort()).toEqual([...names].sort())
    // Slices of 250, and of each slice the first half leaves before the second.
    expect(new Set(renewed.map(({ call }) => call)).size).toBeLessThanOrEqual(8)
    for (const lease of leases) lease.assertValid()
  })

  it('asks once for leases taken at different times when they are due within a tenth of their ttl', async () => {
    const { world } = use
    const { solo, link } = world.client()
    await solo.lock('a', { ttlMs: 30_000 })
    await world.clock.advance(2_000)
    await solo.lock('b', { ttlMs: 30_000 })
    await world.clock.advance(8_000)
    expect(link.lists().slice(2)).toEqual([['renew a', 'renew b']])
  })

  it('does not lose the lease when one fails, or two in a row', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const events = record(solo)
    const lease = await solo.lock('a', { ttlMs: 12_000 })
    link.next('renew', 'refuse', 'lose')
    await world.clock.advance(60_000)
    lease.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
    const faults = events.filter(([event]) => event === 'fault').map(([, detail]) => detail)
    expect(faults).toEqual([
      expect.objectContaining({ name: 'a', owner: lease.owner, during: 'renew' }),
      expect.objectContaining({ name: 'a', owner: lease.owner, during: 'renew' }),
    ])
  })

  it('does not lose the lease when one hangs, for the next is sent in time', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 3_000 })
    link.next('renew', 'drop')
    await world.clock.advance(10_000)
    lease.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('counts an answer that is slower than the interval', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 3_000 })
    link.fate = method => (method === 'renew' ? { answersAfterMs: 1_500 } : 'pass')
    await world.clock.advance(30_000)
    lease.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('is soon enough after a grant that was long on its way', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', { answersAfterMs: 8_000 })
    const wait = watch(solo.lock('a', { ttlMs: 10_000, waitMs: 9_000 }))
    // The first answer is waited for up to the call time-out only; the second question is answered at once.
    await world.clock.advance(60_000)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    const slow = world.client({ callTimeoutMs: 20_000 })
    slow.link.next('acquire', { answersAfterMs: 8_000 })
    const late = watch(slow.solo.lock('b', { ttlMs: 10_000 }))
    await world.clock.advance(60_000)
    late.value?.assertValid()
    expect(world.owners('b')).toEqual([late.value?.owner])
  })

  it('tells each lease of a batch its own fate', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    const kept = await one.lock('kept')
    const taken = await one.lock('taken')
    await two.unlock('taken', { force: true })
    const next = await two.lock('taken')
    await world.clock.advance(11_000)
    expect(taken.signal.aborted).toBe(true)
    kept.assertValid()
    expect(world.owners('kept')).toEqual([kept.owner])
    expect(world.owners('taken')).toEqual([next.owner])
  })

  it('stops with the last lease', async () => {
    const { world } = use
    const { solo } = world.client()
    const a = await solo.lock('a')
    const b = await solo.lock('b')
    await a.release()
    await b.release()
    await world.clock.advance(12_000)
    expect(world.clock.pending).toBe(0)
  })
})
