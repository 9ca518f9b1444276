// Guards invariants L1 and L3 of docs/guarantees.md.
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('a holder that dies', () => {
  it('is followed by the next in line when its lease has run out, and not before', async () => {
    const { world } = use
    const dead = world.client()
    await dead.solo.lock('a', { ttlMs: 9_000 })
    dead.link.fate = 'drop'
    const next = watch(world.client().solo.lock('a'))
    await world.clock.advance(8_999)
    expect(next.settled).toBe(false)
    await world.clock.advance(30)
    expect(world.owners('a')).toEqual([next.value?.owner])
  })
})

describe('a waiter that dies', () => {
  it('is skipped', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 60_000 })
    const dead = world.client()
    const never = watch(dead.solo.lock('a'))
    await world.clock.flush()
    const next = watch(world.client().solo.lock('a'))
    dead.link.fate = 'drop'
    await world.clock.advance(13_000)
    await lease.release()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([next.value?.owner])
    expect(never.settled).toBe(false)
  })

  it('whose pushed grant is not confirmed blocks the next for no longer than the grant lease', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a')
    const dead = world.client()
    void dead.solo.lock('a').catch(() => 'never asked for again')
    await world.clock.flush()
    const next = watch(world.client().solo.lock('a'))
    await world.clock.flush()
    dead.link.fate = 'drop'
    await lease.release()
    await world.clock.advance(5_100)
    expect(world.owners('a')).toEqual([next.value?.owner])
  })
})
