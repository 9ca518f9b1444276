import type { Lease } from 'soloist'
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('holdForMs', () => {
  it('keeps the lock for the rest of its time when the work was quick, and no longer', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    let owner = ''
    await one.withLock('tick', { ttlMs: 30_000, holdForMs: 5_000 }, lease => {
      owner = lease.owner
    })
    expect(await two.tryLock('tick')).toBeNull()
    await world.clock.advance(4_999)
    expect(world.owners('tick')).toEqual([owner])
    expect(await two.tryLock('tick')).toBeNull()
    await world.clock.advance(1)
    const next = (await two.tryLock('tick')) as Lease
    expect(world.owners('tick')).toEqual([next.owner])
  })

  it('may be longer than the ttl', async () => {
    const { world } = use
    const one = world.client().solo
    await one.withLock('tick', { ttlMs: 1_000, holdForMs: 60_000 }, () => {})
    await world.clock.advance(59_999)
    expect(world.owners('tick')).toHaveLength(1)
    await world.clock.advance(1)
    expect(world.inUse()).toEqual([])
  })

  it('changes nothing when the work took longer', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('tick', { holdForMs: 1_000 })
    await world.clock.advance(1_000)
    await lease.release()
    expect(world.inUse()).toEqual([])
  })

  it('is kept also when the pushed grant arrives once more, or late', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client()
    const first = await one.lock('tick')
    const quick = two.solo.withLock('tick', { holdForMs: 60_000 }, lease => lease)
    await world.clock.flush()
    const push = () => two.link.push({ type: 'granted', name: 'tick', owner, fence })
    await first.release()
    const { owner, fence } = await quick
    push()
    await world.clock.advance(59_000)
    push()
    await world.clock.flush()
    expect(world.owners('tick')).toEqual([owner])
    await world.clock.advance(1_000)
    expect(world.inUse()).toEqual([])
  })

  it('holds back a waiter until it has passed', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    const lease = await one.lock('tick', { holdForMs: 10_000 })
    const next = watch(two.lock('tick'))
    await world.clock.flush()
    await lease.release()
    await world.clock.advance(9_999)
    expect(next.settled).toBe(false)
    await world.clock.advance(50)
    expect(world.owners('tick')).toEqual([next.value?.owner])
  })
})
