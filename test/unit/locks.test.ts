import { type Lease, LockTimeoutError } from 'soloist'
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

describe('several names', () => {
  it('are taken in one order whatever order they are given in, and each once', async () => {
    const { world } = use
    const { solo, link } = world.client()
    await solo.withLock(['c', 'a', 'b', 'a'], group => {
      expect(group.leases.map(lease => lease.name)).toEqual(['c', 'a', 'b'])
      for (const lease of group.leases) expect(world.owners(lease.name)).toEqual([lease.owner])
      expect(group.get('b')).toBe(group.leases[2])
      expect(() => group.get('d')).toThrow(RangeError)
      group.assertValid()
    })
    const asked = link.sent.filter(({ method }) => method === 'acquire').map(({ claims }) => claims[0]?.name)
    expect(asked).toEqual(['a', 'b', 'c'])
    expect(world.inUse()).toEqual([])
  })

  it('do not deadlock when taken in opposite orders at the same time', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    const runs: string[] = []
    const all = [
      one.withLock(['a', 'b'], () => runs.push('one')),
      two.withLock(['b', 'a'], () => runs.push('two')),
      one.withLock(['b', 'c', 'a'], () => runs.push('three')),
      two.withLock(['c', 'a'], () => runs.push('four')),
    ]
    await Promise.all(all)
    expect(runs.sort()).toEqual(['four', 'one', 'three', 'two'])
    expect(world.inUse()).toEqual([])
  })

  it('are all given back when one of them cannot be had in time, and waitMs spans them all', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    const a = await one.lock('a')
    const c = await one.lock('c')
    const group = watch(two.withLock(['a', 'b', 'c'], { waitMs: 1_000 }, () => 'never'))
    await world.clock.advance(600)
    await a.release()
    await world.clock.advance(1)
    expect(world.owners('b')).toHaveLength(1)
    await world.clock.advance(398)
    expect(group.settled).toBe(false)
    await world.clock.advance(1)
    expect(group.error).toBeInstanceOf(LockTimeoutError)
    expect(group.error).toMatchObject({ lockName: 'c', holder: c.owner, waitedMs: 1_000 })
    expect(world.inUse()).toEqual(['c'])
    expect(world.owners('c')).toEqual([c.owner])
    expect(world.waiters('c')).toEqual([])
  })

  it('with waitMs 0 are taken if all are free now, else none is', async () => {
    const { world } = use
    const { solo } = world.client()
    const b = await solo.lock('b')
    await expect(solo.withLock(['a', 'b', 'c'], { waitMs: 0 }, () => 'never')).rejects.toBeInstanceOf(LockTimeoutError)
    await world.clock.flush()
    expect(world.inUse()).toEqual(['b'])
    await b.release()
    await expect(solo.withLock(['a', 'b', 'c'], { waitMs: 0 }, () => 'now')).resolves.toBe('now')
  })

  it('end the wait for the next when one already taken is lost', async () => {
    const { world } = use
    const one = world.client()
    const two = world.client().solo
    await two.lock('b')
    const group = watch(one.solo.withLock(['a', 'b'], { ttlMs: 10_000 }, () => 'never'))
    await world.clock.flush()
    await two.unlock('a', { force: true })
    await world.clock.advance(4_000)
    expect(group.error).toMatchObject({ code: 'LEASE_LOST' })
    expect(world.owners('a')).toEqual([])
    expect(world.waiters('b')).toEqual([])
  })

  it('abort the signal of the group with the first lease that is lost', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    const work = one.withLock(['a', 'b'], async group => {
      await two.unlock('b', { force: true })
      expect(group.signal.aborted).toBe(false)
      await expect(group.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
      expect(group.signal.aborted).toBe(true)
      expect(group.signal.reason).toMatchObject({ code: 'LEASE_LOST' })
      expect(() => group.assertValid()).toThrow(expect.objectContaining({ code: 'LEASE_LOST' }))
      group.get('a').assertValid()
    })
    await expect(work).rejects.toMatchObject({ code: 'LEASE_LOST' })
    expect(world.inUse()).toEqual([])
  })
})

describe('semaphore', () => {
  it('lets in as many as its limit, and the next when one leaves', async () => {
    const { world } = use
    const one = world.client().solo.semaphore('s', 2)
    const two = world.client().solo.semaphore('s', 2)
    const a = await one.lock()
    const b = await two.lock()
    expect(await one.tryLock()).toBeNull()
    const c = watch(one.lock())
    await world.clock.flush()
    expect(world.owners('s')).toEqual([a.owner, b.owner])
    await a.release()
    await world.clock.flush()
    expect(world.owners('s')).toEqual([b.owner, c.value?.owner])
  })

  it('refuses a claim with another limit, which holds nothing and leaves nothing queued', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.semaphore('s', 2).lock()
    await expect(solo.semaphore('s', 3).lock()).rejects.toMatchObject({ code: 'LIMIT_MISMATCH' })
    await expect(solo.semaphore('s', 3).tryLock()).rejects.toMatchObject({ code: 'LIMIT_MISMATCH' })
    expect(world.owners('s')).toEqual([lease.owner])
    expect(world.waiters('s')).toEqual([])
    await lease.release()
    const other = await solo.semaphore('s', 3).lock()
    expect(world.owners('s')).toEqual([other.owner])
  })
})

describe('rwLock', () => {
  it('lets readers in together and writers alone, in the order they came', async () => {
    const { world } = use
    const { read, write } = world.client().solo.rwLock('config')
    const r1 = await read.lock()
    const r2 = await read.lock()
    const w = watch(write.lock())
    await world.clock.flush()
    const r3 = watch(read.lock())
    const r4 = watch(read.lock())
    await world.clock.flush()
    expect(await read.tryLock()).toBeNull()
    expect(world.owners('config')).toEqual([r1.owner, r2.owner])
    await r1.release()
    await world.clock.flush()
    expect(w.settled).toBe(false)
    await r2.release()
    await world.clock.flush()
    expect(world.owners('config')).toEqual([w.value?.owner])
    expect(r3.settled).toBe(false)
    await w.value?.release()
    await world.clock.flush()
    expect(world.owners('config')).toEqual([r3.value?.owner, r4.value?.owner])
  })

  it('shares its name with a mutex: the writer is the mutex', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.lock('config')
    expect(await solo.rwLock('config').read.tryLock()).toBeNull()
    expect(await solo.rwLock('config').write.tryLock()).toBeNull()
    expect(world.owners('config')).toEqual([lease.owner])
  })
})
