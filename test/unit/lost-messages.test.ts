// Guards invariants S8, L2 and L3 of docs/guarantees.md.
import type { Lease, PushedGrant, StoreEvent } from 'soloist'
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('an acquire whose answer is lost', () => {
  it.each(['lose', 'twice'] as const)('gives the caller its own lock back (%s)', async fate => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', fate)
    const lease = await solo.lock('a', { waitMs: 1_000 })
    expect(world.owners('a')).toEqual([lease.owner])
    lease.assertValid()
    await lease.release()
    expect(world.inUse()).toEqual([])
  })

  it.each(['lose', 'twice'] as const)('gives tryLock its own lock back (%s)', async fate => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', fate)
    const lease = (await solo.tryLock('a')) as Lease
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('keeps one place in the queue when the claim was queued', async () => {
    const { world } = use
    const first = await world.client().solo.lock('a')
    const two = world.client()
    two.link.next('acquire', 'lose')
    const second = watch(two.solo.lock('a'))
    await world.clock.flush()
    const third = watch(world.client().solo.lock('a'))
    await world.clock.flush()
    expect(world.waiters('a')).toHaveLength(2)
    await first.release()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([second.value?.owner])
    expect(third.settled).toBe(false)
  })

  it('with no error is cleaned up, so that the next call does not wait for it', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', 'swallow')
    const wait = watch(solo.lock('a'))
    await world.clock.advance(5_000)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    const lease = await solo.lock('a', { waitMs: 0 })
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('and whose repetition fails too leaves nothing held', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', 'lose', 'lose')
    await expect(solo.lock('a')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: { name: 'LinkError' } })
    await world.clock.flush()
    expect(world.inUse()).toEqual([])
  })

  it('is repeated once at most, within the bound of one call', async () => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 1_000 })
    link.next('acquire', 'lose', 'drop')
    const wait = watch(solo.tryLock('a'))
    await world.clock.advance(999)
    expect(wait.settled).toBe(false)
    await world.clock.advance(1)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(link.count('acquire')).toBe(2)
    expect(world.inUse()).toEqual([])
  })

  it('treats a backend that throws instead of rejecting alike', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', 'throw')
    const lease = await solo.lock('a')
    link.next('renew', 'throw')
    await expect(lease.renew()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: { name: 'LinkError' } })
    link.next('release', 'throw')
    await lease.release()
    expect(world.inUse()).toEqual([])
    link.fate = 'throw'
    await expect(solo.lock('a')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await expect(solo.inspect('a')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })
})

describe('a pushed grant', () => {
  it('that overtakes the answer that the claim was queued is used', async () => {
    const { world } = use
    const first = await world.client().solo.lock('a')
    const { solo, link } = world.client()
    link.next('acquire', { answersAfterMs: 2_000 })
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    await first.release()
    await world.clock.advance(1)
    const lease = wait.value as Lease
    expect(world.owners('a')).toEqual([lease.owner])
    await world.clock.advance(2_000)
    lease.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('that comes twice is one lease', async () => {
    const { world } = use
    const first = await world.client().solo.lock('a')
    const { solo, link } = world.client()
    link.onPush = (event, deliver) => {
      deliver(event)
      deliver(event)
    }
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    await first.release()
    await world.clock.flush()
    const lease = wait.value as Lease
    lease.assertValid()
    link.push({ type: 'granted', name: 'a', owner: lease.owner, fence: lease.fence })
    await world.clock.flush()
    expect(world.owners('a')).toEqual([lease.owner])
    expect(link.count('release')).toBe(0)
  })

  it('that does not stand any more is not believed', async () => {
    const { world } = use
    const first = await world.client().solo.lock('a')
    const { solo, link } = world.client()
    const late: PushedGrant[] = []
    link.onPush = event => void late.push(event as PushedGrant)
    link.fate = method => (method === 'acquire' ? 'pass' : 'drop')
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    await first.release()
    await world.clock.flush()
    const stale = late[0] as PushedGrant
    // Its grant lease runs out, and somebody else takes the lock.
    link.fate = 'refuse'
    await world.clock.advance(5_000)
    const other = await world.client().solo.lock('a')
    expect(world.owners('a')).toEqual([other.owner])
    link.fate = 'pass'
    link.onPush = (event, deliver) => deliver(event)
    link.push(stale)
    await world.clock.flush()
    expect(wait.settled).toBe(false)
    expect(world.owners('a')).toEqual([other.owner])
    await other.release()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([wait.value?.owner])
    expect(wait.value?.fence).toBeGreaterThan(stale.fence)
  })

  it('for a call that has ended is given back, so that the next in line need not wait', async () => {
    const { world } = use
    const first = await world.client().solo.lock('a')
    const gone = world.client()
    const controller = new AbortController()
    const aborted = watch(gone.solo.lock('a', { signal: controller.signal }))
    await world.clock.flush()
    gone.link.next('release', 'refuse', 'refuse')
    controller.abort()
    await world.clock.flush()
    expect(aborted.error).toMatchObject({ code: 'ABORTED' })
    expect(world.waiters('a')).toHaveLength(1)
    const next = watch(world.client().solo.lock('a'))
    await world.clock.flush()
    await first.release()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([next.value?.owner])
  })

  it('that is lost is found by the next beat', async () => {
    const { world } = use
    const first = await world.client().solo.lock('a')
    const { solo, link } = world.client()
    link.onPush = () => {}
    const waits = [watch(solo.lock('a')), watch(solo.lock('a'))]
    await world.clock.flush()
    await first.release()
    await world.clock.advance(4_000)
    expect(world.owners('a')).toEqual([waits[0]?.value?.owner])
    await waits[0]?.value?.release()
    await world.clock.advance(4_000)
    expect(world.owners('a')).toEqual([waits[1]?.value?.owner])
  })

  it('that is lost is found for every reader at once', async () => {
    const { world } = use
    const writer = await world.client().solo.rwLock('a').write.lock()
    const { solo, link } = world.client()
    link.onPush = () => {}
    const waits = Array.from({ length: 20 }, () => watch(solo.rwLock('a').read.lock()))
    await world.clock.flush()
    await writer.release()
    await world.clock.advance(4_000)
    expect(world.owners('a')).toEqual(waits.map(({ value }) => value?.owner))
  })

  it('whose confirmation fails is confirmed by the next question', async () => {
    const { world } = use
    const first = await world.client().solo.lock('a')
    const { solo, link } = world.client()
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    link.next('renew', 'refuse')
    await first.release()
    await world.clock.advance(500)
    expect(world.owners('a')).toEqual([wait.value?.owner])
  })
})

describe('a gap in the pushes', () => {
  const gap: StoreEvent = { type: 'gap' }

  it('is followed by a question for every lock that is waited for', async () => {
    const { world } = use
    const one = world.client().solo
    const leases = await Promise.all(['a', 'b'].map(name => one.lock(name)))
    const { solo, link } = world.client()
    link.onPush = () => {}
    const waits = ['a', 'b'].map(name => watch(solo.lock(name)))
    await world.clock.flush()
    for (const lease of leases) await lease.release()
    link.push(gap)
    await world.clock.flush()
    expect(world.owners('a')).toEqual([waits[0]?.value?.owner])
    expect(world.owners('b')).toEqual([waits[1]?.value?.owner])
  })

  it('is followed by a question of the next claim when the oldest leaves before its own has', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', { ttlMs: 60_000 })
    const { solo, link } = world.client()
    link.onPush = () => {}
    const abort = new AbortController()
    const oldest = watch(solo.lock('a', { signal: abort.signal }))
    const next = watch(solo.lock('a'))
    await world.clock.flush()
    const places = world.waiters('a')
    // A call that is under way makes the question wait.
    link.next('acquire', { answersAfterMs: 100 })
    const last = watch(solo.lock('a'))
    await world.clock.flush()
    const before = link.sent.length
    link.push(gap)
    abort.abort()
    await world.clock.flush()
    await lease.release()
    await world.clock.advance(100)
    expect(oldest.error).toMatchObject({ code: 'ABORTED' })
    // What left gives its place back and asks nothing; who was granted without being told lets the one behind ask, too.
    const sent = link.sent.slice(before).map(({ method, claim }) => `${method} ${places.indexOf(String(claim?.owner))}`)
    expect(sent).toEqual(['release 0', 'acquire 1', 'acquire -1'])
    expect(world.owners('a')).toEqual([next.value?.owner])
    expect(last.settled).toBe(false)
  })

  it('that cost the datastore its queue puts everybody back in their places', async () => {
    const { world } = use
    const one = world.client().solo
    const lease = await one.lock('a', { ttlMs: 60_000 })
    const two = world.client()
    const waits = Array.from({ length: 5 }, () => watch(two.solo.lock('a')))
    await world.clock.flush()
    const places = world.waiters('a')
    const claims = two.link.sent.map(({ claim }) => claim).filter(claim => claim !== null)
    for (const { name, owner } of claims) world.store.run('nobody', [{ kind: 'release', name, owner, result: null }])
    expect(world.waiters('a')).toEqual([])
    await world.clock.advance(1)
    const late = watch(world.client().solo.lock('a'))
    await world.clock.flush()
    two.link.push(gap)
    await world.clock.flush()
    expect(world.waiters('a').slice(0, 5)).toEqual(places)
    expect(world.waiters('a')).toHaveLength(6)
    await lease.release()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([waits[0]?.value?.owner])
    expect(waits[0]?.value?.owner).toBe(places[0])
    expect(late.settled).toBe(false)
  })
})

describe('claims that the store dropped while their client was silent', () => {
  /** Three wait, and none of them is in the queue any more. */
  async function dropped(world: typeof use.world) {
    await world.client().solo.lock('a', { ttlMs: 600_000 })
    const { solo, link } = world.client()
    const waits = [1, 2, 3].map(() => watch(solo.lock('a')))
    await world.clock.flush()
    const owners = world.waiters('a')
    link.fate = 'refuse'
    await world.clock.advance(12_500)
    expect(world.waiters('a')).toEqual([])
    link.fate = 'pass'
    return { waits, link, owners }
  }

  it('go back to their places once it is heard of', async () => {
    const { world } = use
    const { owners } = await dropped(world)
    await world.clock.advance(4_000)
    expect(owners).toHaveLength(3)
    expect(world.waiters('a')).toEqual(owners)
  })

  it.each(['refuse', 'lose', 'swallow'] as const)(
    'go back within a beat also when the question for those behind the first fails (%s)',
    async fate => {
      const { world } = use
      const { owners, link } = await dropped(world)
      const [first] = owners
      let failed = 0
      link.fate = (_, step) => {
        if (step?.kind !== 'acquire' || step.claim.owner === first || failed >= 4) return 'pass'
        failed += 1
        return fate
      }
      await world.clock.advance(20_000)
      expect(failed).toBe(4)
      expect(world.waiters('a')).toEqual(owners)
    },
  )
})
