import { jobKey, jobLockNames, type SoloistEvents } from 'soloist'
import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()
const closed = expect.objectContaining({ name: 'SoloistError', code: 'CLOSED' })

/** A promise that is settled from outside. */
function gate(): { readonly opened: Promise<void>; open: () => void } {
  let open = () => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open: () => open() }
}

describe('close, without drainMs', () => {
  it('does not hand a lock on under a block that ends when its signal fires', async () => {
    const { world } = use
    const one = world.client().solo
    const cleanUp = gate()
    const block = watch(
      one.withLock('a', async lease => {
        await new Promise(resolve => lease.signal.addEventListener('abort', resolve))
        await cleanUp.opened
      }),
    )
    await world.clock.flush()
    const owners = world.owners('a')
    const next = watch(world.client().solo.lock('a'))
    await world.clock.flush()
    const closing = watch(one.close())
    await world.clock.advance(500)
    expect(closing.settled).toBe(false)
    expect(world.owners('a')).toEqual(owners)
    cleanUp.open()
    await world.clock.flush()
    expect(block.error).toEqual(closed)
    expect(closing).toEqual({ settled: true, value: undefined })
    expect(world.owners('a')).toEqual([next.value?.owner])
  })

  it('does not give back a lock whose block runs on: it runs out, and a fault tells so', async () => {
    const { world } = use
    const one = world.client().solo
    const events = record(one)
    const never = gate()
    const block = watch(one.withLock('a', { ttlMs: 10_000 }, () => never.opened))
    await world.clock.flush()
    const owner = world.owners('a')[0] as string
    const next = watch(world.client().solo.lock('a'))
    await world.clock.flush()
    const closing = watch(one.close())
    await world.clock.advance(999)
    expect(closing.settled).toBe(false)
    await world.clock.advance(1)
    expect(closing.settled).toBe(true)
    expect(events.at(-1)).toEqual([
      'fault',
      { name: 'a', owner, mode: 'exclusive', during: 'release', error: closed } satisfies SoloistEvents['fault'][0],
    ])
    await world.clock.advance(8_000)
    expect(world.owners('a')).toEqual([owner])
    await world.clock.advance(2_000)
    expect(world.owners('a')).toEqual([next.value?.owner])
    never.open()
    await world.clock.flush()
    expect(block.error).toEqual(closed)
    expect(world.owners('a')).toEqual([next.value?.owner])
  })

  it('holds for the handler of a job, and for each of several names', async () => {
    const { world } = use
    const { solo } = world.client()
    const both = gate()
    const run = watch(solo.job('j', () => both.opened)())
    const group = watch(solo.withLock(['a', 'b'], () => both.opened))
    await world.clock.flush()
    expect(world.inUse()).toHaveLength(3)
    const closing = watch(solo.close())
    await world.clock.advance(500)
    expect(world.inUse()).toHaveLength(3)
    both.open()
    await world.clock.flush()
    expect([run.error, group.error]).toEqual([closed, closed])
    expect(closing.settled).toBe(true)
    expect(world.inUse()).toEqual([])
  })

  it('in a block of its own does not wait for that block', async () => {
    const { world } = use
    const { solo } = world.client()
    const block = watch(solo.withLock('a', async () => await solo.close()))
    await world.clock.flush()
    expect(block.error).toEqual(closed)
    expect(world.inUse()).toEqual([])
  })
})

describe('close with drainMs', () => {
  it('lets what is held end by itself and keeps it renewed, however long that takes', async () => {
    const { world } = use
    const { solo } = world.client()
    const work = gate()
    const block = watch(
      solo.withLock('a', { ttlMs: 1_000 }, async lease => {
        await work.opened
        lease.assertValid()
        return 'done'
      }),
    )
    const lease = await solo.lock('b', { ttlMs: 1_000 })
    const closing = watch(solo.close({ drainMs: 60_000 }))
    await world.clock.advance(30_000)
    lease.assertValid()
    expect(closing.settled).toBe(false)
    work.open()
    await world.clock.flush()
    expect(block.value).toBe('done')
    expect(closing.settled).toBe(false)
    await lease.release()
    await world.clock.flush()
    expect(closing).toEqual({ settled: true, value: undefined })
    expect(lease.signal.aborted).toBe(false)
    expect(world.inUse()).toEqual([])
  })

  it('takes nothing new, ends what waits, and still looks and gives back', async () => {
    const { world } = use
    const { solo } = world.client()
    await using other = await world.client().solo.lock('busy')
    const waits = watch(solo.lock('busy'))
    const lease = await solo.lock('a')
    const closing = watch(solo.close({ drainMs: 60_000 }))
    await world.clock.flush()
    expect(waits.error).toEqual(closed)
    expect(world.waiters('busy')).toEqual([])
    await expect(solo.lock('b')).rejects.toEqual(closed)
    await expect(solo.tryLock('b')).rejects.toEqual(closed)
    await expect(solo.withLock('b', () => {})).rejects.toEqual(closed)
    await expect(solo.withLock(['b', 'c'], () => {})).rejects.toEqual(closed)
    await expect(solo.job('j', () => {}).trigger()).rejects.toEqual(closed)
    await expect(solo.jobs.take(jobLockNames('j', jobKey(1)).trigger, 'o')).rejects.toEqual(closed)
    expect((await solo.inspect('a'))?.holders[0]?.owner).toBe(lease.owner)
    expect(await solo.unlock('a', { owner: lease.owner })).toBe(true)
    expect(closing.settled).toBe(false)
    await lease.release()
    await world.clock.flush()
    expect(closing.settled).toBe(true)
    expect(other.signal.aborted).toBe(false)
  })

  it('aborts what is left when the time is over', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.lock('a')
    const block = watch(
      solo.withLock('b', ({ signal }) => new Promise(resolve => signal.addEventListener('abort', resolve))),
    )
    await world.clock.flush()
    const closing = watch(solo.close({ drainMs: 5_000 }))
    await world.clock.advance(4_999)
    expect(lease.signal.aborted).toBe(false)
    expect(block.settled).toBe(false)
    await world.clock.advance(1)
    expect(lease.signal.reason).toEqual(closed)
    expect(block.error).toEqual(closed)
    expect(closing.settled).toBe(true)
    expect(world.inUse()).toEqual([])
  })

  it('goes on with what a held block calls itself: locks, waits and jobs', async () => {
    const { world } = use
    const { solo } = world.client()
    const other = await world.client().solo.lock('busy')
    const begin = gate()
    const job = solo.job('j', () => 'result')
    const block = watch(
      solo.withLock('a', async () => {
        const waits = solo.withLock('busy', () => 'waited')
        await begin.opened
        return [await waits, await solo.withLock('b', () => 'taken'), await job()]
      }),
    )
    await world.clock.flush()
    const closing = watch(solo.close({ drainMs: 60_000 }))
    begin.open()
    await world.clock.flush()
    expect(world.waiters('busy')).toHaveLength(1)
    await other.release()
    await world.clock.advance(100)
    expect(block.value).toEqual(['waited', 'taken', 'result'])
    expect(closing.settled).toBe(true)
    expect(world.inUse()).toEqual([])
  })

  it('counts a lease that is lost as ended', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 1_000 })
    const closing = watch(solo.close({ drainMs: 60_000 }))
    link.fate = 'refuse'
    await world.clock.advance(1_000)
    expect(lease.signal.reason).toMatchObject({ code: 'LEASE_LOST' })
    link.fate = 'pass'
    await world.clock.flush()
    expect(closing.settled).toBe(true)
  })

  it('a second call ends draining sooner, and never later', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.lock('a')
    const first = watch(solo.close({ drainMs: 10_000 }))
    const later = watch(solo.close({ drainMs: 60_000 }))
    await world.clock.advance(9_000)
    expect(lease.signal.aborted).toBe(false)
    const now = watch(solo.close())
    await world.clock.flush()
    expect(lease.signal.reason).toEqual(closed)
    expect([first.settled, later.settled, now.settled]).toEqual([true, true, true])
  })

  it('a second call with more time changes nothing', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.lock('a')
    const first = watch(solo.close({ drainMs: 10_000 }))
    void solo.close({ drainMs: 60_000 })
    await world.clock.advance(9_999)
    expect(lease.signal.aborted).toBe(false)
    await world.clock.advance(1)
    expect(lease.signal.reason).toEqual(closed)
    expect(first.settled).toBe(true)
  })

  it('takes nothing for what outlives the block it was started in, while another block runs', async () => {
    const { world } = use
    const { solo } = world.client()
    const [later, other] = [gate(), gate()]
    const block = watch(solo.withLock('other', () => other.opened))
    let after: Promise<unknown> | undefined
    await solo.withLock('a', () => {
      after = later.opened.then(() => solo.lock('b'))
    })
    const closing = watch(solo.close({ drainMs: 60_000 }))
    later.open()
    await expect(after).rejects.toEqual(closed)
    other.open()
    await world.clock.flush()
    expect(block.error).toBeUndefined()
    expect(closing.settled).toBe(true)
    expect(world.inUse()).toEqual([])
  })

  it('a release that gets no answer is not counted twice', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const [a, b] = [await solo.lock('a'), await solo.lock('b')]
    const closing = watch(solo.close({ drainMs: 60_000 }))
    link.next('release', 'refuse', 'refuse')
    await expect(a.release()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await a.release()
    await world.clock.flush()
    expect(closing.settled).toBe(false)
    b.assertValid()
    await b.release()
    await world.clock.flush()
    expect(closing.settled).toBe(true)
  })

  it('ends with the thousandth of a thousand blocks, not sooner', async () => {
    const { world } = use
    const { solo } = world.client()
    const gates = Array.from({ length: 1_000 }, gate)
    const blocks = gates.map(({ opened }, i) => solo.withLock(`lock ${i % 500}`, { waitMs: 60_000 }, () => opened))
    const ends = watch(Promise.allSettled(blocks))
    await world.clock.flush()
    const closing = watch(solo.close({ drainMs: 60_000 }))
    for (const { open } of gates.slice(0, 499)) open()
    await world.clock.flush()
    expect(closing.settled).toBe(false)
    expect(world.inUse()).toEqual(['lock 499'])
    for (const { open } of gates) open()
    await world.clock.flush()
    expect(closing.settled).toBe(true)
    // The other five hundred waited, which ended with the call.
    expect(ends.value?.filter(({ status }) => status === 'rejected')).toHaveLength(500)
    expect(world.inUse()).toEqual([])
  })

  it('is refused for what is no time', async () => {
    const { solo } = use.world.client()
    const invalid = { code: 'INVALID_ARGUMENT' }
    await expect(solo.close({ drainMs: -1 })).rejects.toMatchObject(invalid)
    await expect(solo.close({ drainMs: Number.NaN })).rejects.toMatchObject(invalid)
    await expect(solo.close({ drain: 1 } as never)).rejects.toMatchObject(invalid)
    await expect(solo.close(null as never)).rejects.toMatchObject(invalid)
    await using lease = await solo.lock('a')
    lease.assertValid()
  })
})
