// Guards invariants L4 and H3 of docs/guarantees.md.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { getEventListeners } from 'node:events'
import { type Lease, LockTimeoutError } from 'soloist'
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()

/** Lets so many ends of a turn pass, at which steps leave, and then so many promises settle one after the other. */
async function pass({ turns, promises }: { readonly turns: number; readonly promises: number }): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise<void>(resolve => process.nextTick(resolve))
  for (let i = 0; i < promises; i++) await null
}

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

  it('that fires before the next of several names is asked for sends nothing for that one', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const controller = new AbortController()
    const abort = () => controller.abort()
    subscribe('soloist:acquired', abort)
    const wait = solo.withLock(['a', 'b'], { signal: controller.signal }, () => 'never')
    await expect(wait).rejects.toMatchObject({ code: 'ABORTED' })
    unsubscribe('soloist:acquired', abort)
    await world.clock.flush()
    expect(link.sent.map(({ method, claim }) => [method, claim?.name])).toEqual([
      ['acquire', 'a'],
      ['release', 'a'],
    ])
    expect(world.inUse()).toEqual([])
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

describe('a grant and an abort in the same moment', () => {
  const moments = [0, 1, 2, 3, 4, 5].flatMap(turns =>
    Array.from({ length: 12 }, (_, promises) => ({ turns, promises })),
  )

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
    for (const moment of moments) {
      const { solo, link } = world.client()
      const controller = new AbortController()
      let answer = () => {}
      link.next('acquire', { answersAfter: new Promise<void>(resolve => (answer = resolve)) })
      const wait = watch(solo.lock('a', { signal: controller.signal }))
      await world.clock.flush()
      answer()
      await pass(moment)
      controller.abort()
      granted.push(await expectOneOrTheOther(wait))
    }
    expect(new Set(granted)).toEqual(new Set([true, false]))
  })

  it('leave either a lease or nothing, when the grant is pushed', async () => {
    const { world } = use
    const granted: boolean[] = []
    for (const moment of moments) {
      const first = await world.client().solo.lock('a')
      const { solo } = world.client()
      const controller = new AbortController()
      const wait = watch(solo.lock('a', { signal: controller.signal }))
      await world.clock.flush()
      const released = first.release()
      await pass(moment)
      controller.abort()
      await released
      granted.push(await expectOneOrTheOther(wait))
    }
    expect(new Set(granted)).toEqual(new Set([true, false]))
  })

  it('leave nothing when the answer comes after the time-out', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', { arrivesAfterMs: 8_000 })
    const wait = watch(solo.lock('a', { waitMs: 1_000 }))
    await world.clock.advance(5_000)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await world.clock.advance(2_999)
    expect(world.owners('a')).toEqual([])
    await world.clock.advance(1)
    expect(world.inUse()).toEqual([])
  })
})
