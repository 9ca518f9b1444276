import { getEventListeners } from 'node:events'
import { type Lease, LockTimeoutError } from 'soloist'
import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('waitMs', () => {
  it('ends the wait for a busy lock with who holds it and how long it took', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a')
    const wait = watch(world.client().solo.lock('a', { waitMs: 2_500 }))
    await world.clock.advance(2_499)
    expect(wait.settled).toBe(false)
    await world.clock.advance(1)
    expect(wait.error).toBeInstanceOf(LockTimeoutError)
    expect(wait.error).toMatchObject({ code: 'LOCK_TIMEOUT', lockName: 'a', holder: lease.owner, waitedMs: 2_500 })
    expect((wait.error as Error).message).toContain(lease.owner)
    expect(world.waiters('a')).toEqual([])
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('of 0 takes a free lock and queues for none', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client()
    const lease = await one.lock('a', { waitMs: 0 })
    await expect(two.solo.lock('a', { waitMs: 0 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT', holder: lease.owner })
    expect(two.link.sent.map(({ method, options }) => [method, options])).toEqual([['acquire', {}]])
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('ends the wait when the backend hangs from the start', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.fate = 'drop'
    const wait = watch(solo.lock('a', { waitMs: 1_000 }))
    await world.clock.advance(999)
    expect(wait.settled).toBe(false)
    await world.clock.advance(1)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })

  it('ends it then with the backend’s last failure as the cause, where there was one', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('inspect', 'refuse')
    await expect(solo.inspect('a')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    link.fate = 'drop'
    const cause = expect.objectContaining({ name: 'LinkError' })
    const bounded = watch(solo.lock('a', { waitMs: 1_000 }))
    const unbounded = watch(solo.lock('a'))
    await world.clock.advance(5_000)
    expect(bounded.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause })
    expect(unbounded.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause })
  })

  it('ends the wait when the backend hangs later', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a')
    const { solo, link } = world.client()
    const wait = watch(solo.lock('a', { waitMs: 8_000 }))
    await world.clock.advance(1_000)
    link.fate = 'drop'
    await world.clock.advance(7_000)
    expect(wait.error).toMatchObject({ code: 'LOCK_TIMEOUT', holder: lease.owner, waitedMs: 8_000 })
  })

  it('ends the wait when the backend fails later, with the failure as the cause', async () => {
    const { world } = use
    await world.client().solo.lock('a')
    const { solo, link } = world.client()
    const wait = watch(solo.lock('a', { waitMs: 8_000 }))
    await world.clock.advance(1_000)
    link.fate = 'refuse'
    await world.clock.advance(7_000)
    expect(wait.error).toMatchObject({
      code: 'LOCK_TIMEOUT',
      cause: { code: 'BACKEND_UNAVAILABLE', cause: { name: 'LinkError' } },
    })
  })
})

describe('a backend that hangs from the start', () => {
  it.each(['lock', 'tryLock'] as const)('ends %s without a bound of its own after one call time-out', async verb => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 700 })
    link.fate = 'drop'
    const wait = watch<Lease | null>(solo[verb]('a'))
    await world.clock.advance(699)
    expect(wait.settled).toBe(false)
    await world.clock.advance(1)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })
})

describe('an outage while waiting', () => {
  it.each(['refuse', 'drop', 'throw'] as const)('that is over in time (%s) does not end the wait', async fate => {
    const { world } = use
    const one = world.client().solo
    const lease = await one.lock('a')
    const { solo, link } = world.client()
    const events = record(solo)
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    const [place] = world.waiters('a')
    link.fate = fate
    await world.clock.advance(25_000)
    expect(wait.settled).toBe(false)
    expect(events).toContainEqual(['fault', expect.objectContaining({ name: 'a', owner: place, during: 'wait' })])
    link.fate = 'pass'
    await lease.release()
    await world.clock.advance(5_500)
    expect(world.owners('a')).toEqual([place])
    expect(wait.value?.owner).toBe(place)
  })

  it('that lasts ends every wait for the lock after about 30 seconds', async () => {
    const { world } = use
    await world.client().solo.lock('a')
    const { solo, link } = world.client()
    const waits = [watch(solo.lock('a')), watch(solo.lock('a'))]
    await world.clock.flush()
    link.fate = 'refuse'
    await world.clock.advance(30_000)
    expect(waits.map(({ settled }) => settled)).toEqual([false, false])
    await world.clock.advance(6_000)
    for (const { error } of waits) {
      expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: { name: 'LinkError' } })
    }
  })

  it('is counted anew after every answer', async () => {
    const { world } = use
    const one = world.client().solo
    let lease = await one.lock('a')
    const { solo, link } = world.client()
    const waits = [watch(solo.lock('a')), watch(solo.lock('a'))]
    await world.clock.flush()
    link.fate = 'refuse'
    await world.clock.advance(10_000)
    // The only answer in between is the confirmation of a grant.
    link.fate = method => (method === 'renew' ? 'pass' : 'refuse')
    await lease.release()
    await world.clock.flush()
    lease = waits[0]?.value as Lease
    expect(world.owners('a')).toEqual([lease.owner])
    await world.clock.advance(25_000)
    expect(waits[1]?.settled).toBe(false)
    link.fate = 'pass'
    await lease.release()
    await world.clock.advance(5_500)
    expect(world.owners('a')).toEqual([waits[1]?.value?.owner])
  })
})

describe('an AbortSignal', () => {
  it('that has fired already sends nothing', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const signal = AbortSignal.abort(new Error('too late'))
    const aborted = { code: 'ABORTED', cause: { message: 'too late' } }
    await expect(solo.lock('a', { signal })).rejects.toMatchObject(aborted)
    await expect(solo.tryLock('a', { signal })).rejects.toMatchObject(aborted)
    await expect(solo.withLock('a', { signal }, () => 'never')).rejects.toMatchObject(aborted)
    await expect(solo.withLock(['a', 'b'], { signal }, () => 'never')).rejects.toMatchObject(aborted)
    await expect(solo.semaphore('s', 2).lock({ signal })).rejects.toMatchObject(aborted)
    expect(link.sent).toEqual([])
  })

  it('that fires while waiting ends the wait, and nothing stays queued', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a')
    const { solo } = world.client()
    const controller = new AbortController()
    const wait = watch(solo.lock('a', { signal: controller.signal }))
    await world.clock.advance(100)
    expect(world.waiters('a')).toHaveLength(1)
    controller.abort(new Error('changed my mind'))
    await world.clock.flush()
    expect(wait.error).toMatchObject({ code: 'ABORTED', cause: { message: 'changed my mind' } })
    expect(world.waiters('a')).toEqual([])
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('that fires while the backend hangs ends the wait at once', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.fate = 'drop'
    const controller = new AbortController()
    const waits = [solo.lock('a', { signal: controller.signal }), solo.tryLock('a', { signal: controller.signal })]
    const outcomes = waits.map(wait => watch<Lease | null>(wait))
    await world.clock.advance(10)
    controller.abort()
    await world.clock.flush()
    for (const { error } of outcomes) expect(error).toMatchObject({ code: 'ABORTED' })
  })

  it('that fires between two names of several gives the first back', async () => {
    const { world } = use
    const b = await world.client().solo.lock('b')
    const { solo } = world.client()
    const controller = new AbortController()
    const wait = watch(solo.withLock(['a', 'b'], { signal: controller.signal }, () => 'never'))
    await world.clock.flush()
    controller.abort()
    await world.clock.flush()
    expect(wait.error).toMatchObject({ code: 'ABORTED' })
    expect(world.inUse()).toEqual(['b'])
    expect(world.owners('b')).toEqual([b.owner])
    expect(world.waiters('b')).toEqual([])
  })

  it('that fires afterwards changes nothing', async () => {
    const { world } = use
    const controller = new AbortController()
    const lease = await world.client().solo.lock('a', { signal: controller.signal })
    controller.abort()
    await world.clock.flush()
    lease.assertValid()
    expect(lease.signal.aborted).toBe(false)
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('may be shared by a thousand calls: one listener, no warning, and none left afterwards', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a')
    const { solo } = world.client()
    const controller = new AbortController()
    const { signal } = controller
    const waits = Array.from({ length: 1_000 }, () => watch(solo.lock('a', { signal })))
    await world.clock.flush()
    expect(world.waiters('a')).toHaveLength(100)
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    controller.abort()
    await world.clock.flush()
    for (const { error } of waits) expect(error).toMatchObject({ code: 'ABORTED' })
    expect(world.waiters('a')).toEqual([])
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('that never fires is left without a listener', async () => {
    const { world } = use
    const { solo } = world.client()
    const { signal } = new AbortController()
    const first = await solo.lock('a', { signal })
    const second = watch(solo.lock('a', { signal }))
    const third = watch(solo.lock('a', { signal, waitMs: 50 }))
    await world.clock.advance(50)
    expect(third.error).toBeInstanceOf(LockTimeoutError)
    await first.release()
    await world.clock.flush()
    expect(second.settled).toBe(true)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })
})

/** Lets `ticks` promises settle one after the other. */
async function microtasks(ticks: number): Promise<void> {
  for (let i = 0; i < ticks; i++) await null
}

describe('a grant and an abort in the same moment', () => {
  const moments = Array.from({ length: 25 }, (_, ticks) => ticks)

  /** Either a valid lease, and its owner holds the lock; or ABORTED, and nobody does. */
  async function expectOneOrTheOther(wait: { value?: Lease; error?: unknown; settled: boolean }): Promise<boolean> {
    const { world } = use
    await world.clock.flush()
    expect(wait.settled).toBe(true)
    expect(world.waiters('a')).toEqual([])
    expect(world.owners('a')).toEqual(wait.value === undefined ? [] : [wait.value.owner])
    if (wait.value === undefined) {
      expect(wait.error).toMatchObject({ code: 'ABORTED' })
      return false
    }
    wait.value.assertValid()
    await wait.value.release()
    return true
  }

  it('leave either a lease or nothing, when the grant is an answer', async () => {
    const { world } = use
    const granted: boolean[] = []
    for (const ticks of moments) {
      const { solo, link } = world.client()
      const controller = new AbortController()
      let answer = () => {}
      link.next('acquire', { answersAfter: new Promise<void>(resolve => (answer = resolve)) })
      const wait = watch(solo.lock('a', { signal: controller.signal }))
      await world.clock.flush()
      answer()
      await microtasks(ticks)
      controller.abort()
      granted.push(await expectOneOrTheOther(wait))
    }
    expect(new Set(granted)).toEqual(new Set([true, false]))
  })

  it('leave either a lease or nothing, when the grant is pushed', async () => {
    const { world } = use
    const granted: boolean[] = []
    for (const ticks of moments) {
      const first = await world.client().solo.lock('a')
      const { solo } = world.client()
      const controller = new AbortController()
      const wait = watch(solo.lock('a', { signal: controller.signal }))
      await world.clock.flush()
      const released = first.release()
      await microtasks(ticks)
      controller.abort()
      await released
      granted.push(await expectOneOrTheOther(wait))
    }
    expect(new Set(granted)).toEqual(new Set([true, false]))
  })

  it('leave nothing when the answer comes after the time-out', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', { arrivesAfterMs: 3_000 })
    const wait = watch(solo.lock('a', { waitMs: 1_000 }))
    await world.clock.advance(1_000)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await world.clock.advance(1_999)
    expect(world.owners('a')).toEqual([])
    await world.clock.advance(1)
    expect(world.inUse()).toEqual([])
  })
})

describe('ten thousand waiters of one client for one lock', () => {
  it('are all served in their order, one at a time', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const first = await solo.lock('a')
    const order: number[] = []
    let inside = 0
    const all = Array.from({ length: 10_000 }, (_, i) =>
      solo.withLock('a', () => {
        expect(++inside).toBe(1)
        order.push(i)
        inside -= 1
      }),
    )
    await world.clock.flush()
    const before = process.cpuUsage()
    await first.release()
    await Promise.all(all)
    expect(order).toEqual([...order].sort((a, b) => a - b))
    expect(order).toHaveLength(10_000)
    expect(world.inUse()).toEqual([])
    expect(link.count('acquire')).toBe(10_001)
    // Linear takes about a second of processor time; what is quadratic takes minutes.
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(15_000)
  })

  it('cost one question a beat while nothing happens', async () => {
    const { world } = use
    const one = world.client().solo
    await one.lock('a')
    const { solo, link } = world.client()
    const controller = new AbortController()
    const all = Array.from({ length: 10_000 }, () => watch(solo.lock('a', { signal: controller.signal })))
    await world.clock.flush()
    const before = link.count()
    await world.clock.advance(40_000)
    expect(link.count() - before).toBeLessThanOrEqual(11)
    controller.abort()
    await world.clock.flush()
    expect(all.every(({ settled }) => settled)).toBe(true)
    expect(world.store.inspect('a')?.waiting).toBe(0)
  })
})
