// Guards invariants S2, S4, S6 and S9 of docs/guarantees.md.
import { SoloistError } from 'soloist'
import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()
const lost = expect.objectContaining({ code: 'LEASE_LOST' })

describe('a lease', () => {
  it('carries a fence above that of every grant before it', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    const fences: number[] = []
    for (const solo of [one, two, one]) {
      await solo.withLock('a', ({ fence }) => fences.push(fence))
    }
    const taken = await one.lock('a', { ttlMs: 1_000 })
    world.clock.suspend(-60_000)
    await one.unlock('a', { owner: taken.owner })
    const next = await two.lock('a')
    fences.push(taken.fence, next.fence)
    expect(fences).toEqual([...fences].sort((a, b) => a - b))
    expect(new Set(fences).size).toBe(fences.length)
    expect(fences.every(fence => Number.isSafeInteger(fence))).toBe(true)
  })

  it('tells when it was asked for and until when it is proven', async () => {
    const { world } = use
    const sentAt = world.clock.wallMs()
    const lease = await world.client().solo.lock('a', { ttlMs: 10_000 })
    expect(lease.acquiredAt).toEqual(new Date(sentAt))
    expect(lease.expiresAt.getTime()).toBeGreaterThan(sentAt + 9_800)
    expect(lease.expiresAt.getTime()).toBeLessThan(sentAt + 10_000)
    await world.clock.advance(5_000)
    expect(lease.expiresAt.getTime()).toBeGreaterThan(sentAt + 13_000)
    expect(lease.acquiredAt).toEqual(new Date(sentAt))
  })

  it('is not valid the moment a blocked event loop goes on after the ttl, before any timer ran', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 1_000 })
    world.clock.block(1_000)
    expect(() => lease.assertValid()).toThrow(lost)
    expect(lease.signal.aborted).toBe(true)
    await expect(lease.renew()).rejects.toThrow(lost)
  })

  it('ends before the datastore lets the next one in', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 1_000 })
    world.clock.block(999)
    expect(world.owners('a')).toEqual([lease.owner])
    expect(() => lease.assertValid()).toThrow(lost)
  })

  it('says once why it is over, with the stack of who asked', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 1_000 })
    world.clock.block(1_000)
    expect(() => lease.assertValid()).toThrow(lost)
    function whoAsked() {
      lease.assertValid()
    }
    const error = await Promise.resolve()
      .then(whoAsked)
      .catch((error: unknown) => error)
    const { code, message } = lease.signal.reason
    expect(error).toMatchObject({ code, message, stack: expect.stringContaining('whoAsked') })
    expect(error).not.toHaveProperty('cause')
  })

  it('counts the time the machine slept', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 1_000 })
    world.clock.suspend(1_000)
    expect(() => lease.assertValid()).toThrow(lost)
  })

  it('is not prolonged by a wall clock that is set back', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 1_000 })
    link.fate = 'drop'
    world.clock.suspend(-3_600_000)
    await world.clock.advance(1_000)
    expect(lease.signal.aborted).toBe(true)
  })

  it('aborts its signal on time while the backend hangs', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 10_000 })
    const sentAtMs = world.clock.monotonicMs()
    let abortedAtMs = 0
    lease.signal.addEventListener('abort', () => {
      abortedAtMs = world.clock.monotonicMs()
    })
    link.fate = 'drop'
    await world.clock.advance(20_000)
    expect(abortedAtMs - sentAtMs).toBeGreaterThan(9_800)
    expect(abortedAtMs - sentAtMs).toBeLessThanOrEqual(10_000)
    expect(lease.signal.reason).toBeInstanceOf(SoloistError)
    expect(lease.signal.reason).toMatchObject({ code: 'LEASE_LOST' })
  })

  it('has a signal that tells of a loss also when it is first asked for afterwards', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 1_000 })
    world.clock.block(1_000)
    expect(() => lease.assertValid()).toThrow(lost)
    expect(lease.signal.aborted).toBe(true)
    expect(lease.signal.reason).toMatchObject({ code: 'LEASE_LOST' })
  })
})

describe('renew', () => {
  it('moves the deadline, for this owner', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 1_000 })
    const before = lease.expiresAt.getTime()
    world.clock.block(900)
    await lease.renew()
    expect(lease.expiresAt.getTime()).toBe(before + 900)
    world.clock.block(900)
    lease.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
    await lease.renew()
    await lease.renew()
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('never revives: who was replaced learns so, and the successor keeps the lock', async () => {
    const { world } = use
    const one = world.client()
    const two = world.client().solo
    const lease = await one.solo.lock('a')
    await two.unlock('a', { owner: lease.owner })
    const next = await two.lock('a')
    await expect(lease.renew()).rejects.toThrow(lost)
    expect(lease.signal.aborted).toBe(true)
    await world.clock.flush()
    expect(world.owners('a')).toEqual([next.owner])
    next.assertValid()
  })

  it('that gets no answer is BACKEND_UNAVAILABLE, and the lease stands', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const events = record(solo)
    const lease = await solo.lock('a')
    link.next('renew', 'refuse')
    await expect(lease.renew()).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      cause: expect.objectContaining({ name: 'LinkError' }),
    })
    lease.assertValid()
    await world.clock.flush()
    expect(events.map(([event]) => event)).toEqual(['acquired'])
  })
})

describe('release', () => {
  it('may be called twice, also at the same time, and releases once', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a')
    await Promise.all([lease.release(), lease.release()])
    await lease.release()
    await lease[Symbol.asyncDispose]()
    expect(link.count('release')).toBe(1)
  })

  it('ends the lease without firing its signal', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 1_000 })
    const { signal } = lease
    await lease.release()
    await world.clock.advance(2_000)
    expect(signal.aborted).toBe(false)
    expect(() => lease.assertValid()).toThrow(lost)
    await expect(lease.renew()).rejects.toThrow(lost)
  })

  it('of a lease that ran out leaves its successor alone', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 1_000 })
    world.clock.block(1_000)
    const next = await world.client().solo.lock('a', { waitMs: 0 })
    await lease.release()
    expect(world.owners('a')).toEqual([next.owner])
    expect(lease.signal.aborted).toBe(true)
  })

  it('that fails may be called again', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a')
    link.next('release', 'refuse', 'refuse')
    await expect(lease.release()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(world.owners('a')).toEqual([lease.owner])
    expect(() => lease.assertValid()).toThrow(lost)
    await lease.release()
    expect(world.inUse()).toEqual([])
  })

  it('that fails lets the lock run out, for it is not renewed any more', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 10_000 })
    link.next('release', 'refuse', 'refuse')
    await expect(lease.release()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await world.clock.advance(10_000)
    expect(world.inUse()).toEqual([])
  })

  it('survives one lost answer', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a')
    link.next('release', 'lose')
    await lease.release()
    expect(world.inUse()).toEqual([])
  })

  it('at the end of a block reports a failure as an event and never throws', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a')
    const events = record(solo)
    link.next('release', 'refuse', 'refuse')
    await lease[Symbol.asyncDispose]()
    await world.clock.flush()
    expect(events).toEqual([
      [
        'fault',
        {
          name: 'a',
          owner: lease.owner,
          mode: 'exclusive',
          during: 'release',
          error: expect.objectContaining({ code: 'BACKEND_UNAVAILABLE' }),
        },
      ],
    ])
  })

  it('is bounded by the call time-out while the backend hangs', async () => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 300 })
    const lease = await solo.lock('a')
    link.fate = 'drop'
    const release = watch(lease.release())
    await world.clock.advance(300)
    expect(release.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })
})
