import { connect, type Lease, MemoryStore, memoryBackend } from 'soloist'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../support/manual-clock.js'
import { ScriptedBackend } from '../../support/scripted-backend.js'
import { record, useWorld, watch } from '../../support/world.js'

const use = useWorld()

/** A clock on which time passes with every look at it, as on a machine that is busy. */
class BusyClock extends ManualClock {
  readonly #stepMs: number

  constructor(stepMs: number) {
    super()
    this.#stepMs = stepMs
  }

  override monotonicMs(): number {
    this.block(this.#stepMs)
    return super.monotonicMs()
  }
}

describe('a lease that is over while it is made', () => {
  it.each([0.1, 0.3, 0.7])('is not renewed for ever: of thousands nothing stays, at %f ms a look', async stepMs => {
    const clock = new BusyClock(stepMs)
    const store = new MemoryStore(clock)
    const link = new ScriptedBackend(memoryBackend({ store }), clock)
    const solo = connect(link, { clock })
    const locks = Array.from({ length: 3_000 }, async (_, i) => {
      const lease = await solo.lock(`lock-${i}`, { ttlMs: 1 + (i % 3), waitMs: 0 })
      await lease.release()
    })
    await Promise.allSettled(locks)
    await clock.flush()
    const renewed = link.count('renew')
    await clock.advance(10_000)
    expect(link.count('renew')).toBe(renewed)
    expect(clock.pending).toBe(0)
    await solo.close()
  })
})

describe('a clock that fails', () => {
  /** The n-th timer that is set throws. */
  function failing(nth: number): ManualClock {
    const clock = new ManualClock()
    const setTimer = clock.setTimer.bind(clock)
    let timers = 0
    clock.setTimer = (...args: Parameters<ManualClock['setTimer']>) => {
      timers += 1
      if (timers === nth) throw new TypeError('no timers here')
      return setTimer(...args)
    }
    return clock
  }

  it.each([1, 2, 3, 4, 5])('at its timer number %i fails the call, which holds nothing then', async nth => {
    const clock = failing(nth)
    const store = new MemoryStore(clock)
    const holder = connect(memoryBackend({ store }), { clock: new ManualClock() })
    const solo = connect(memoryBackend({ store }), { clock })
    await holder.lock('busy')
    for (const name of ['free', 'busy']) {
      const call = watch(solo.lock(name, { waitMs: 1_000 }))
      await clock.advance(2_000)
      expect(call.settled, `${name} is settled`).toBe(true)
      if (call.value === undefined) expect(store.inspect('free')?.holders ?? []).toEqual([])
      const released = watch(Promise.resolve(call.value?.release().catch(() => call.value?.release())))
      await clock.advance(2_000)
      expect(released, 'a release that failed may be called again').toEqual({ settled: true, value: undefined })
    }
    await clock.advance(10_000)
    expect(store.inspect('free')).toBeNull()
    expect(store.inspect('busy')).toMatchObject({ holding: 1, waiting: 0 })
  })
})

describe('close() with very many leases', () => {
  it('ends all signals at once and releases every lock, in full calls', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const COUNT = 20_000
    const leases = await Promise.all(Array.from({ length: COUNT }, (_, i) => solo.lock(`lock-${i}`)))
    const before = link.lists().length
    const closing = watch(solo.close())
    expect(leases.every(({ signal }) => signal.aborted)).toBe(true)
    for (let i = 0; i < 100 && !closing.settled; i++) await world.clock.flush()
    expect(closing).toEqual({ settled: true, value: undefined })
    expect(world.inUse()).toEqual([])
    const calls = link.lists().slice(before)
    expect(calls.flat()).toHaveLength(COUNT)
    expect(calls.length).toBeLessThan((COUNT / link.mostSteps) * 3)
  })

  it('gives each its time to be answered, however slow the datastore is, as long as it answers', async () => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 1_000 }, { mostSteps: 64, callsAtOnce: 1 })
    const leases = await Promise.all(
      Array.from({ length: 3_000 }, (_, i) => solo.lock(`lock-${i}`, { ttlMs: 600_000 })),
    )
    const events = record(solo)
    link.fate = method => (method === 'release' ? { answersAfterMs: 50 } : 'pass')
    const closing = watch(solo.close())
    await world.clock.advance(3_000)
    expect(closing.settled).toBe(true)
    expect(world.inUse()).toEqual([])
    expect(events.filter(([event]) => event === 'fault')).toEqual([])
    expect(leases[0]?.signal.reason).toMatchObject({ code: 'CLOSED' })
  })

  it('takes no longer than two time-outs where nothing answers, and tells of each lock that stays', async () => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 1_000 })
    await Promise.all(Array.from({ length: 3_000 }, (_, i) => solo.lock(`lock-${i}`)))
    const events = record(solo)
    link.fate = 'drop'
    const closing = watch(solo.close())
    await world.clock.advance(2_000)
    expect(closing.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    const told = events.flatMap(([event, detail]) => (event === 'fault' ? [detail.name] : []))
    expect(new Set(told).size).toBe(3_000)
  })
})

describe('a push that is stale', () => {
  it('never makes a lease believe in an older fence', async () => {
    const { world } = use
    const holder = await world.client().solo.lock('a', { ttlMs: 60_000 })
    const { solo, link } = world.client()
    link.onPush = () => {}
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    await holder.release()
    await world.clock.flush()
    const [granted] = world.store.inspect('a')?.holders ?? []
    link.push({ type: 'granted', name: 'a', owner: String(granted?.owner), fence: Number(granted?.fence) - 5 })
    await world.clock.flush()
    expect(wait.value?.fence).toBe(granted?.fence)
    expect(world.store.inspect('a')?.holders[0]?.fence).toBe(granted?.fence)
  })

  it('of a lock that was taken meanwhile without being told is asked for, where nobody knows the fence', async () => {
    const { world } = use
    const inner = memoryBackend({ store: world.store })
    // As a datastore does that keeps no fence of a bare holder.
    const all = inner.run.bind(inner)
    const run: typeof inner.run = async steps => {
      const { steps: answers, handed } = await all(steps)
      return { handed, steps: answers.map(answer => (answer.status === 'held' ? { ...answer, fence: null } : answer)) }
    }
    const link = new ScriptedBackend(Object.assign(inner, { run }), world.clock)
    const solo = connect(link, { clock: world.clock })
    link.onPush = () => {}
    const holder = await world.client().solo.lock('a', { ttlMs: 60_000 })
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    await holder.release()
    await world.clock.flush()
    const [granted] = world.store.inspect('a')?.holders ?? []
    link.push({ type: 'granted', name: 'a', owner: String(granted?.owner), fence: 7 })
    await world.clock.flush()
    expect(wait.value?.fence).toBe(granted?.fence)
    await solo.close()
  })
})

describe('a fault on the way to the datastore', () => {
  it('is told as an event of no lock', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const events = record(solo)
    const error = new Error('the connection for pushes is deaf and was replaced')
    link.push({ type: 'fault', error })
    await world.clock.flush()
    expect(events).toEqual([['fault', { name: null, owner: null, mode: null, during: 'store', error }]])
  })
})

describe('several names with holdForMs', () => {
  it('that cannot all be had keep none', async () => {
    const { world } = use
    const one = world.client().solo
    const busy = await world.client().solo.lock('b')
    const group = watch(one.withLock(['a', 'b'], { waitMs: 50, holdForMs: 3_600_000 }, () => 'never'))
    await world.clock.advance(60)
    expect(group.error).toMatchObject({ code: 'LOCK_TIMEOUT', lockName: 'b' })
    expect(world.inUse()).toEqual(['b'])
    expect(world.owners('b')).toEqual([busy.owner])
  })

  it('that were had are all kept, also when the work failed', async () => {
    const { world } = use
    const { solo } = world.client()
    const work = () => {
      throw new RangeError('the work failed')
    }
    await expect(solo.withLock(['a', 'b'], { holdForMs: 1_000 }, work)).rejects.toThrow(RangeError)
    await world.clock.advance(999)
    expect([...world.inUse()].sort()).toEqual(['a', 'b'])
    await world.clock.advance(1)
    expect(world.inUse()).toEqual([])
  })
})

describe('twenty thousand leases', () => {
  it('are renewed some at a time, each within its ttl', async () => {
    const { world } = use
    const random = (() => {
      let i = 0
      return () => {
        i = (i * 16_807 + 7) % 2_147_483_647
        return i / 2_147_483_647
      }
    })()
    const { solo, link } = world.client({ random })
    const leases: Lease[] = await Promise.all(
      Array.from({ length: 20_000 }, (_, i) => solo.lock(`lock-${i}`, { ttlMs: 30_000 })),
    )
    const before = link.count('renew')
    await world.clock.advance(12_000)
    expect(link.count('renew') - before).toBe(leases.length)
    expect(
      Math.max(
        ...link
          .lists()
          .slice(-50)
          .map(list => list.length),
      ),
    ).toBeLessThanOrEqual(250)
    for (const lease of leases) lease.assertValid()
    await Promise.all(leases.map(lease => lease.release()))
    await world.clock.advance(12_000)
    expect(world.clock.pending).toBe(0)
  })
})
