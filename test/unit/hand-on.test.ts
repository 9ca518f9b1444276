import { jobKey, jobLockNames } from 'soloist'
import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()
const lost = expect.objectContaining({ name: 'SoloistError', code: 'LEASE_LOST' })
const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' })
const down = expect.objectContaining({ code: 'BACKEND_UNAVAILABLE' })

describe('detach and attach', () => {
  it('hand a holding on: the same owner and fence, one renewing it at a time', async () => {
    const { world } = use
    const [one, two] = [world.client(), world.client()]
    const lease = await one.solo.lock('a', { ttlMs: 10_000, meta: 'why' })
    const events = [record(one.solo), record(two.solo)]
    const token = await lease.detach()
    const renewals = one.link.count('renew')
    await world.clock.advance(9_000)
    expect(one.link.count('renew')).toBe(renewals)
    expect(world.owners('a')).toEqual([lease.owner])
    const taken = await two.solo.attach(token)
    expect([taken.name, taken.owner, taken.fence]).toEqual(['a', lease.owner, lease.fence])
    await world.clock.advance(60_000)
    taken.assertValid()
    expect(world.store.inspect('a')?.holders).toMatchObject([{ owner: lease.owner, fence: lease.fence, meta: 'why' }])
    await taken.release()
    expect(world.inUse()).toEqual([])
    await world.clock.flush()
    expect(events.map(told => told.map(([event]) => event))).toEqual([['detached'], ['attached', 'released']])
  })

  it('end the lease here: nothing is lost, released or given back any more', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a')
    await lease.detach()
    expect(() => lease.assertValid()).toThrow(lost)
    await expect(lease.renew()).rejects.toEqual(lost)
    await expect(lease.detach()).rejects.toEqual(lost)
    await lease.release()
    await lease[Symbol.asyncDispose]()
    await solo.close()
    expect(lease.signal.aborted).toBe(false)
    expect(link.count('release')).toBe(0)
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('outlast the block of withLock, of one name and of several', async () => {
    const { world } = use
    const { solo } = world.client()
    const token = await solo.withLock('a', lease => lease.detach())
    const tokens = await solo.withLock(['b', 'c'], group => Promise.all(group.leases.map(lease => lease.detach())))
    expect([...world.inUse()].sort()).toEqual(['a', 'b', 'c'])
    const leases = await Promise.all([token, ...tokens].map(text => world.client().solo.attach(text)))
    expect(leases.map(({ name }) => name)).toEqual(['a', 'b', 'c'])
    await Promise.all(leases.map(lease => lease.release()))
    expect(world.inUse()).toEqual([])
  })

  it('work for a place of a semaphore and for a reader', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.semaphore('s', 2).lock()
    const reader = await solo.rwLock('r').read.lock()
    const other = world.client().solo
    const taken = await Promise.all([await lease.detach(), await reader.detach()].map(token => other.attach(token)))
    await world.clock.advance(100_000)
    for (const held of taken) held.assertValid()
    expect(world.store.inspect('s')?.holders).toMatchObject([{ mode: 'shared', limit: 2, owner: lease.owner }])
    await expect(other.rwLock('r').write.lock({ waitMs: 0 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' })
  })

  it('keep what is left of holdForMs', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('tick', { holdForMs: 60_000 })
    await world.clock.advance(20_000)
    const taken = await world.client().solo.attach(await lease.detach())
    await taken.release()
    await world.clock.advance(39_999)
    expect(world.owners('tick')).toEqual([lease.owner])
    await world.clock.advance(1)
    expect(world.inUse()).toEqual([])
  })

  it('in one client too, and again, and with a wait in line', async () => {
    const { world } = use
    const { solo } = world.client()
    const first = await solo.lock('a')
    const next = watch(world.client().solo.lock('a'))
    let lease = first
    for (let i = 0; i < 3; i += 1) lease = await solo.attach(await lease.detach())
    expect(lease.owner).toBe(first.owner)
    expect(next.settled).toBe(false)
    await lease.release()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([next.value?.owner])
  })
})

describe('attach', () => {
  it('is LEASE_LOST when the ttl of the hand-on is over, when it was released, and when it was taken away', async () => {
    const { world } = use
    const { solo } = world.client()
    const other = world.client().solo
    const late = await (await solo.lock('late', { ttlMs: 1_000 })).detach()
    const released = await (await solo.lock('released')).detach()
    const cleared = await (await solo.lock('cleared')).detach()
    await (await other.attach(released)).release()
    await other.unlock('cleared', { force: true })
    const next = await other.lock('cleared')
    await world.clock.advance(1_001)
    for (const token of [late, released, cleared]) await expect(other.attach(token)).rejects.toEqual(lost)
    next.assertValid()
    expect(world.owners('cleared')).toEqual([next.owner])
  })

  it('of one token twice in one client is INVALID_ARGUMENT, also a thousand in one tick', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a')
    const token = await lease.detach()
    const { solo } = world.client()
    const ends = await Promise.allSettled(Array.from({ length: 1_000 }, () => solo.attach(token)))
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const end of ends) if (end.status === 'rejected') expect(end.reason).toEqual(invalid)
    await expect(solo.attach(token)).rejects.toEqual(invalid)
  })

  it('refuses what is no token, before anything is sent', async () => {
    const { solo, link } = use.world.client()
    const token = await (await solo.lock('a')).detach()
    const sent = link.count()
    const [prefix, data] = token.split('.') as [string, string]
    const altered = (change: object) => {
      const holding = { ...JSON.parse(Buffer.from(data, 'base64url').toString()), ...change }
      return `${prefix}.${Buffer.from(JSON.stringify(holding)).toString('base64url')}`
    }
    const bad: unknown[] = [
      ...[undefined, null, 1, {}, '', 'a', data, `${prefix}.`, `${token} `, token.slice(0, -9), `${prefix}.bnVsbA`],
      ...[altered({ name: '' }), altered({ name: 'x'.repeat(2_000) }), altered({ owner: '' }), altered({ owner: 1 })],
      ...[altered({ fence: -1 }), altered({ fence: 1.5 }), altered({ mode: 'both' }), altered({ ttlMs: 0 })],
      ...[altered({ ttlMs: null }), altered({ holdForMs: -1 }), altered({ mode: 'shared', limit: 0 })],
      ...[altered({ name: '\ud800' }), `${prefix}.${'A'.repeat(100_000)}`, altered({ more: 'A'.repeat(50_000) })],
      ...[token.replace('lease-1.', 'lease-2.'), token.replace('soloist', 'another')],
    ]
    for (const text of bad) await expect(solo.attach(text as string), String(text)).rejects.toEqual(invalid)
    expect(link.count()).toBe(sent)
    const lease = await solo.attach(altered({ more: 'of a later version' }))
    expect(lease.name).toBe('a')
  })

  it('says nothing but the lock, its owner and its terms', async () => {
    const { solo } = use.world.client()
    const lease = await solo.lock('a b\0ü', { meta: 'secret' })
    const token = await lease.detach()
    expect(token).toMatch(/^[\w.-]+$/)
    expect(JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString())).toEqual({
      ...{ name: 'a b\0ü', owner: lease.owner, fence: lease.fence, mode: 'exclusive', limit: null },
      ...{ ttlMs: 30_000, holdForMs: 0 },
    })
  })

  it('is not for another grant to the same owner', async () => {
    const { world } = use
    const { solo } = world.client()
    const { trigger: lock } = jobLockNames('j', jobKey(1))
    const first = await solo.jobs.claim(lock, 'owner')
    const token = (await first?.detach()) as string
    await solo.jobs.release(lock, 'owner')
    await solo.jobs.take(lock, 'owner')
    await expect(world.client().solo.attach(token)).rejects.toEqual(lost)
  })
})

describe('lost, late and repeated answers', () => {
  it('a detach without an answer leaves the lease as it was, renewed', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 10_000 })
    link.next('renew', 'refuse', 'refuse')
    await expect(lease.detach()).rejects.toEqual(down)
    await world.clock.advance(60_000)
    lease.assertValid()
    link.next('renew', 'lose')
    await expect(lease.detach()).rejects.toEqual(down)
    lease.assertValid()
    await lease.detach()
  })

  it('a renewal or a push that comes late gives nothing back and renews nothing here', async () => {
    const { world } = use
    const [one, two] = [world.client(), world.client()]
    const lease = await one.solo.lock('a', { ttlMs: 12_000 })
    one.link.next('renew', { answersAfterMs: 4_500 })
    await world.clock.advance(4_000)
    const token = await lease.detach()
    const taken = await two.solo.attach(token)
    await world.clock.advance(4_500)
    one.link.push({ type: 'granted', name: 'a', owner: lease.owner, fence: lease.fence })
    await world.clock.advance(50_000)
    expect(one.link.count('release')).toBe(0)
    taken.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('an attach whose answer is lost is repeated; one without any may be tried again', async () => {
    const { world } = use
    const token = await (await world.client().solo.lock('a', { ttlMs: 60_000 })).detach()
    const { solo, link } = world.client({ callTimeoutMs: 1_000 })
    link.next('renew', 'lose')
    const lease = await solo.attach(token)
    expect(link.count('renew')).toBe(2)
    const again = await lease.detach()
    link.fate = 'drop'
    const hangs = watch(solo.attach(again))
    await world.clock.advance(1_000)
    expect(hangs.error).toEqual(down)
    link.fate = 'pass'
    const attached = await solo.attach(again)
    attached.assertValid()
    link.next('renew', 'twice')
    const third = await solo.attach(await attached.detach())
    third.assertValid()
  })

  it('an answer that is later than the ttl counts only once it is repeated in time', async () => {
    const { world } = use
    const token = await (await world.client().solo.lock('a', { ttlMs: 1_000 })).detach()
    const { solo, link } = world.client()
    link.next('renew', { answersAfterMs: 995 })
    const late = watch(solo.attach(token))
    await world.clock.advance(995)
    late.value?.assertValid()
    expect(late.settled).toBe(true)
    expect(link.count('renew')).toBe(2)
  })

  it('close ends an attach that is on its way, and leaves what is held to who attaches next', async () => {
    const { world } = use
    const token = await (await world.client().solo.lock('a')).detach()
    const { solo, link } = world.client()
    link.next('renew', { answersAfterMs: 3_000 })
    const attaching = watch(solo.attach(token))
    await world.clock.flush()
    const closing = watch(solo.close())
    await world.clock.advance(3_000)
    expect(attaching.error).toMatchObject({ code: 'CLOSED' })
    await world.clock.advance(5_000)
    expect(closing.settled).toBe(true)
    const lease = await world.client().solo.attach(token)
    lease.assertValid()
    await expect(solo.attach(token)).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('draining counts a lease that is handed on as ended', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.lock('a')
    const closing = watch(solo.close({ drainMs: 60_000 }))
    const token = await lease.detach()
    await world.clock.flush()
    expect(closing.settled).toBe(true)
    expect((await world.client().solo.attach(token)).owner).toBe(lease.owner)
  })
})
