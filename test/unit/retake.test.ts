import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()
const lost = expect.objectContaining({ name: 'SoloistError', code: 'LEASE_LOST' })
const names = (events: readonly (readonly [string, unknown])[]) => events.map(([event]) => event)

describe("onLost: 'retake'", () => {
  it('takes the lock again after the machine slept, with a new fence and an event', async () => {
    const { world } = use
    const { solo } = world.client()
    const events = record(solo)
    const lease = await solo.lock('a', { ttlMs: 10_000, onLost: 'retake', meta: 'why' })
    const { owner, fence } = lease
    world.clock.suspend(60_000)
    expect(() => lease.assertValid()).toThrow(lost)
    expect(lease.signal.aborted).toBe(false)
    await world.clock.flush()
    lease.assertValid()
    expect(lease.fence).toBeGreaterThan(fence)
    expect(lease.owner).toBe(owner)
    expect(world.store.inspect('a')?.holders).toMatchObject([{ owner, fence: lease.fence, meta: 'why' }])
    const detail = { name: 'a', owner, mode: 'exclusive', fence: lease.fence, fenceBefore: fence }
    expect(events.at(-1)).toEqual(['retaken', detail])
    await world.clock.advance(60_000)
    lease.assertValid()
    await lease.release()
    await world.clock.flush()
    expect(names(events)).toEqual(['acquired', 'retaken', 'released'])
    expect(world.inUse()).toEqual([])
  })

  it('by the timer as well, when the event loop was blocked', async () => {
    const { world } = use
    const lease = await world.client().solo.semaphore('s', 2).lock({ ttlMs: 1_000, onLost: 'retake' })
    const { fence } = lease
    world.clock.block(5_000)
    await world.clock.advance(0)
    lease.assertValid()
    expect(lease.fence).toBeGreaterThan(fence)
    expect(world.store.inspect('s')?.holders).toMatchObject([{ mode: 'shared', limit: 2 }])
  })

  it('is lost as ever when somebody holds the lock or waits for it', async () => {
    const { world } = use
    const { solo } = world.client()
    const events = record(solo)
    const held = await solo.lock('held', { ttlMs: 1_000, onLost: 'retake' })
    world.clock.block(2_000)
    const other = await world.client().solo.lock('held')
    await world.clock.advance(0)
    expect(held.signal.reason).toEqual(lost)
    expect(() => held.assertValid()).toThrow(lost)
    expect(names(events)).toEqual(['acquired', 'lost'])
    await world.clock.advance(10_000)
    expect(world.owners('held')).toEqual([other.owner])
    other.assertValid()
  })

  it('is lost when it was taken away while it lasted: unlock is obeyed', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.lock('a', { ttlMs: 10_000, onLost: 'retake' })
    await world.client().solo.unlock('a', { force: true })
    await world.clock.advance(4_000)
    expect(lease.signal.reason).toEqual(lost)
    expect(world.inUse()).toEqual([])
  })

  it("'end', and no word of it, is as ever", async () => {
    const { world } = use
    const { solo } = world.client()
    const leases = [await solo.lock('a', { ttlMs: 1_000, onLost: 'end' }), await solo.lock('b', { ttlMs: 1_000 })]
    world.clock.block(2_000)
    await world.clock.advance(0)
    for (const { signal } of leases) expect(signal.reason).toEqual(lost)
    expect(world.inUse()).toEqual([])
    await expect(solo.lock('c', { onLost: 'again' as never })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('withLock waits for the answer at its end, and is a success when the lock was retaken', async () => {
    const { world } = use
    const { solo } = world.client()
    const sleeps = (name: string) =>
      solo.withLock(name, { ttlMs: 1_000, onLost: 'retake' }, lease => {
        world.clock.block(2_000)
        return lease.fence
      })
    const before = await sleeps('a')
    expect(before).toBeGreaterThan(0)
    const several = solo.withLock(['b', 'c'], { ttlMs: 1_000, onLost: 'retake' }, group => {
      world.clock.block(2_000)
      return group.leases.map(({ fence }) => fence)
    })
    expect(await several).toHaveLength(2)
    const other = world.client().solo
    const taken = solo.withLock('d', { ttlMs: 1_000, onLost: 'retake' }, async () => {
      world.clock.block(2_000)
      await other.lock('d')
    })
    await expect(taken).rejects.toEqual(lost)
    expect(world.inUse()).toEqual(['d'])
  })

  it('renew() and detach() wait for the answer too', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.lock('a', { ttlMs: 1_000, onLost: 'retake' })
    world.clock.block(2_000)
    await lease.renew()
    lease.assertValid()
    world.clock.block(2_000)
    const token = await lease.detach()
    expect((await world.client().solo.attach(token)).fence).toBe(lease.fence)
  })

  it('a thousand that slept are all taken again, each with a fence of its own', async () => {
    const { world } = use
    const { solo } = world.client()
    const events = record(solo)
    const all = Array.from({ length: 1_000 }, (_, i) => solo.lock(`lock ${i}`, { ttlMs: 5_000, onLost: 'retake' }))
    const leases = await Promise.all(all)
    world.clock.suspend(3_600_000)
    await world.clock.advance(5_000)
    for (const lease of leases) lease.assertValid()
    expect(names(events).filter(event => event === 'retaken')).toHaveLength(1_000)
    expect(names(events)).not.toContain('lost')
  })
})

describe('while the store does not answer', () => {
  it('it is asked for one more ttl: then the lease is lost', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const events = record(solo)
    const lease = await solo.lock('a', { ttlMs: 5_000, onLost: 'retake' })
    link.fate = 'refuse'
    await world.clock.advance(9_000)
    expect(lease.signal.aborted).toBe(false)
    expect(() => lease.assertValid()).toThrow(lost)
    await world.clock.advance(1_000)
    expect(lease.signal.reason).toEqual(lost)
    expect(names(events).filter(event => event !== 'fault')).toEqual(['acquired', 'lost'])
  })

  it('and held again once it does', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 5_000, onLost: 'retake' })
    const { fence } = lease
    link.fate = 'refuse'
    await world.clock.advance(8_000)
    link.fate = 'pass'
    await world.clock.advance(1_000)
    lease.assertValid()
    expect(lease.fence).toBeGreaterThan(fence)
  })

  it('a grant whose answer is lost is found again; one that comes twice is one', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const events = record(solo)
    const lease = await solo.lock('a', { ttlMs: 5_000, onLost: 'retake' })
    for (const fate of ['lose', 'twice'] as const) {
      world.clock.suspend(10_000)
      link.next('acquire', fate)
      expect(() => lease.assertValid()).toThrow(lost)
      await world.clock.flush()
      lease.assertValid()
      expect(world.store.inspect('a')?.holders).toMatchObject([{ fence: lease.fence }])
    }
    expect(names(events)).toEqual(['acquired', 'retaken', 'retaken'])
  })

  it('what the store held all the while has the fence it had, and no event: nobody can have come between', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const events = record(solo)
    const lease = await solo.lock('a', { ttlMs: 6_000, onLost: 'retake' })
    const { fence } = lease
    // Renewals are carried out, and nobody hears of it.
    link.fate = method => (method === 'renew' ? 'lose' : 'pass')
    await world.clock.advance(6_000)
    lease.assertValid()
    expect(lease.fence).toBe(fence)
    expect(lease.signal.aborted).toBe(false)
    expect(names(events).filter(event => event !== 'fault')).toEqual(['acquired'])
    expect(world.store.inspect('a')?.holders).toMatchObject([{ owner: lease.owner, fence }])
  })

  it('a renewal of before that is answered late does not end what was taken again', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 6_000, onLost: 'retake' })
    await world.client().solo.unlock('a', { force: true })
    // Carried out before the lock is taken again, and answered after: that it is not held.
    link.fate = method => (method === 'renew' ? { answersAfterMs: 4_900 } : 'pass')
    await world.clock.advance(6_000)
    link.fate = 'pass'
    lease.assertValid()
    const { fence } = lease
    await world.clock.advance(10_000)
    lease.assertValid()
    expect(lease.fence).toBe(fence)
    expect(lease.signal.aborted).toBe(false)
  })

  it('what is granted too late is given back, also after release() and close()', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 4_000, onLost: 'retake' })
    world.clock.block(5_000)
    link.next('acquire', { answersAfterMs: 3_000 })
    expect(() => lease.assertValid()).toThrow(lost)
    await world.clock.flush()
    const released = watch(lease.release())
    await world.clock.advance(4_000)
    expect(released).toEqual({ settled: true, value: undefined })
    expect(world.inUse()).toEqual([])

    const held = await solo.lock('b', { ttlMs: 4_000, onLost: 'retake' })
    world.clock.block(5_000)
    link.next('acquire', { arrivesAfterMs: 500 })
    expect(() => held.assertValid()).toThrow(lost)
    await world.clock.flush()
    const closing = watch(solo.close())
    await world.clock.advance(2_000)
    expect(closing.settled).toBe(true)
    expect(held.signal.reason).toMatchObject({ code: 'CLOSED' })
    expect(world.inUse()).toEqual([])
  })
})
