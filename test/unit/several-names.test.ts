import { LockTimeoutError } from 'soloist'
import { describe, expect, it } from 'vitest'
import { type Client, useWorld, type World, watch } from '../support/world.js'

const use = useWorld()
const aborting = new AbortController()

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
    const asked = link.sent.filter(({ method }) => method === 'acquire').map(({ claim }) => claim?.name)
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

  it.each([
    ['one cannot be had in time', { waitMs: 1_000 }, 'LOCK_TIMEOUT', async ({ clock }: World) => clock.advance(1_000)],
    ['the caller aborts', { signal: aborting.signal }, 'ABORTED', async () => aborting.abort()],
    ['the client is closed', {}, 'CLOSED', async (_: World, { solo }: Client) => solo.close()],
    [
      'one that was taken is lost',
      { ttlMs: 9_000 },
      'LEASE_LOST',
      async ({ clock }: World, _: Client, other: Client) => {
        await other.solo.unlock('a', { force: true })
        await clock.advance(4_000)
      },
    ],
  ])('keep none for its holdForMs when %s', async (_, options, code, happen) => {
    const { world } = use
    const one = world.client()
    const two = world.client()
    const b = await two.solo.lock('b', { ttlMs: 3_600_000 })
    const group = watch(one.solo.withLock(['a', 'b', 'c'], { ...options, holdForMs: 3_600_000 }, () => 'never'))
    await world.clock.flush()
    expect(world.owners('a')).toHaveLength(1)
    await happen(world, one, two)
    await world.clock.flush()
    expect(group.error).toMatchObject({ code })
    expect(world.inUse()).toEqual(['b'])
    expect(world.owners('b')).toEqual([b.owner])
    expect(world.waiters('b')).toEqual([])
  })

  it('keep each for its holdForMs once all are held', async () => {
    const { world } = use
    const { solo } = world.client()
    await solo.withLock(['a', 'b'], { holdForMs: 60_000 }, () => {})
    await world.clock.advance(59_999)
    expect(world.inUse().toSorted()).toEqual(['a', 'b'])
    await world.clock.advance(1)
    expect(world.inUse()).toEqual([])
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
