// Guards invariants S1 and L3 of docs/guarantees.md.
import type { Lease } from 'soloist'
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('lock', () => {
  it('holds the lock under the owner it names, until it is released', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.lock('a')
    expect(lease.name).toBe('a')
    expect(lease.owner.startsWith(`${solo.clientId}/`)).toBe(true)
    expect(world.owners('a')).toEqual([lease.owner])
    expect(lease.signal.aborted).toBe(false)
    lease.assertValid()
    await lease.release()
    expect(world.inUse()).toEqual([])
  })

  it('is served in the order of the calls, across clients', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    const order: string[] = []
    const first = await one.lock('a')
    const queue = [
      [two, 'two-1'],
      [one, 'one-1'],
      [two, 'two-2'],
      [one, 'one-2'],
    ] as const
    const done: Promise<void>[] = []
    for (const [solo, label] of queue) {
      done.push(
        solo.withLock('a', lease => {
          expect(world.owners('a')).toEqual([lease.owner])
          order.push(label)
        }),
      )
      await world.clock.advance(1)
    }
    await first.release()
    await Promise.all(done)
    expect(order).toEqual(['two-1', 'one-1', 'two-2', 'one-2'])
    expect(world.inUse()).toEqual([])
  })

  it('is released at the end of an `await using` block, also when the block throws', async () => {
    const { world } = use
    const { solo } = world.client()
    let owner = ''
    const block = async () => {
      await using lease = await solo.lock('a')
      owner = lease.owner
      expect(world.owners('a')).toEqual([owner])
      throw new RangeError('the block failed')
    }
    await expect(block()).rejects.toThrow(new RangeError('the block failed'))
    expect(owner).not.toBe('')
    expect(world.inUse()).toEqual([])
  })

  it('keeps names apart that look alike', async () => {
    const { world } = use
    const { solo } = world.client()
    const names = ['__proto__', 'constructor', 'a', 'A', 'a ', 'a\0', 'a\0b', '\u00e9', 'e\u0301', '{a}', '*', '🔒']
    const leases = await Promise.all(names.map(name => solo.lock(name, { waitMs: 0 })))
    names.forEach((name, i) => {
      expect(world.owners(name)).toEqual([(leases[i] as Lease).owner])
    })
  })
})

describe('tryLock', () => {
  it('takes a free lock, and answers null for one that is held', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = (await solo.tryLock('a')) as Lease
    expect(world.owners('a')).toEqual([lease.owner])
    expect(await solo.tryLock('a')).toBeNull()
    expect(world.owners('a')).toEqual([lease.owner])
    expect(world.waiters('a')).toEqual([])
  })

  it('never overtakes a waiter, even when the lock is free for the moment', async () => {
    const { world } = use
    const one = world.client()
    const two = world.client()
    const first = await one.solo.lock('a')
    const second = watch(two.solo.lock('a'))
    await world.clock.flush()
    two.link.onPush = () => {}
    await first.release()
    expect(await one.solo.tryLock('a')).toBeNull()
    await world.clock.advance(4_100)
    expect(world.owners('a')).toEqual([second.value?.owner])
  })
})

describe('withLock', () => {
  it('passes on what the work returns, and what it throws', async () => {
    const { world } = use
    const { solo } = world.client()
    await expect(solo.withLock('a', () => 7)).resolves.toBe(7)
    await expect(solo.withLock('a', async () => 'eight')).resolves.toBe('eight')
    const error = new Error('the work failed')
    await expect(
      solo.withLock('a', () => {
        throw error
      }),
    ).rejects.toBe(error)
    expect(world.inUse()).toEqual([])
  })

  it('rejects with LEASE_LOST when the lease ended during the work, although the work succeeded', async () => {
    const { world } = use
    const { solo } = world.client()
    const work = solo.withLock('a', { ttlMs: 1_000 }, () => {
      world.clock.block(1_000)
      return 'done'
    })
    await expect(work).rejects.toMatchObject({ code: 'LEASE_LOST' })
    await world.clock.flush()
    expect(world.inUse()).toEqual([])
  })

  it('rather tells what the work threw than that the lease was lost', async () => {
    const { world } = use
    const { solo } = world.client()
    const work = solo.withLock('a', { ttlMs: 1_000 }, () => {
      world.clock.block(1_000)
      throw new RangeError('first')
    })
    await expect(work).rejects.toThrow(new RangeError('first'))
  })

  it('lets the work release the lock before it ends', async () => {
    const { world } = use
    const { solo } = world.client()
    const value = await solo.withLock('a', async lease => {
      await lease.release()
      expect(world.inUse()).toEqual([])
      return 'early'
    })
    expect(value).toBe('early')
  })

  it('hides no error of the work behind a release that fails', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const work = solo.withLock('a', () => {
      link.next('release', 'refuse', 'refuse')
      throw new RangeError('the work failed')
    })
    await expect(work).rejects.toThrow(new RangeError('the work failed'))
  })
})
