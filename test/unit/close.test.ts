// Guards invariant H2 of docs/guarantees.md.
import { getEventListeners } from 'node:events'
import type { Lease, LockState } from 'soloist'
import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()
const closed = expect.objectContaining({ name: 'SoloistError', code: 'CLOSED' })

describe('close', () => {
  it('ends every wait, takes back every lease and leaves no timer', async () => {
    const { world } = use
    const one = world.client()
    const other = await world.client().solo.lock('busy')
    const leases = [await one.solo.lock('a'), await one.solo.semaphore('s', 2).lock()]
    const wait = watch(one.solo.lock('busy', { waitMs: 60_000 }))
    const group = watch(one.solo.withLock(['b', 'busy'], () => 'never'))
    await world.clock.flush()
    const reasons: unknown[] = []
    for (const { signal } of leases) signal.addEventListener('abort', () => reasons.push(signal.reason))
    await one.solo.close()
    expect(wait.error).toEqual(closed)
    expect(group.error).toEqual(closed)
    expect(reasons).toEqual([closed, closed])
    for (const lease of leases) {
      expect(() => lease.assertValid()).toThrow(closed)
      await expect(lease.renew()).rejects.toEqual(closed)
      await lease.release()
    }
    expect(world.inUse()).toEqual(['busy'])
    expect(world.owners('busy')).toEqual([other.owner])
    expect(world.waiters('busy')).toEqual([])
    expect(one.link.sent.at(-1)?.method).toBe('close')
    await other.release()
    // What the other client has set for its next call ends by itself.
    await world.clock.advance(12_000)
    expect(world.clock.pending).toBe(0)
  })

  it('hands the locks on to whoever waits for them', async () => {
    const { world } = use
    const one = world.client().solo
    await one.lock('a')
    const next = watch(world.client().solo.lock('a'))
    await world.clock.flush()
    await one.close()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([next.value?.owner])
  })

  it('respects holdForMs', async () => {
    const { world } = use
    const { solo } = world.client()
    const { owner } = await solo.lock('tick', { holdForMs: 60_000 })
    await solo.close()
    expect(world.clock.pending).toBe(0)
    await world.clock.advance(59_999)
    expect(world.owners('tick')).toEqual([owner])
    await world.clock.advance(1)
    expect(world.inUse()).toEqual([])
  })

  it('twice, also at the same time, is once', async () => {
    const { world } = use
    const { solo, link } = world.client()
    await solo.lock('a')
    await Promise.all([solo.close(), solo.close()])
    await solo.close()
    expect(link.count('close')).toBe(1)
    expect(link.count('release')).toBe(1)
  })

  it('waits for a release that is on its way', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a')
    link.next('release', { arrivesAfterMs: 1_000 })
    const release = watch(lease.release())
    const closing = watch(solo.close())
    await world.clock.advance(999)
    expect(closing.settled).toBe(false)
    await world.clock.advance(1)
    expect(release).toEqual({ settled: true, value: undefined })
    expect(closing).toEqual({ settled: true, value: undefined })
    expect(world.inUse()).toEqual([])
  })

  it('ends what is asked at that moment', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('inspect', 'drop')
    const inspect = watch(solo.inspect('a'))
    await world.clock.flush()
    await solo.close()
    expect(inspect.error).toEqual(closed)
  })

  it('takes at most two call time-outs while the backend hangs, and leaves no timer', async () => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 1_000 })
    const lease = await solo.lock('a')
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    link.fate = 'drop'
    const closing = watch(solo.close())
    await world.clock.flush()
    expect(wait.error).toEqual(closed)
    expect(lease.signal.aborted).toBe(true)
    await world.clock.advance(2_000)
    expect(closing.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(world.clock.pending).toBe(0)
  })

  it('tells of what it could not give back', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a')
    const events = record(solo)
    link.next('release', 'refuse', 'refuse')
    await solo.close()
    await world.clock.flush()
    expect(events).toEqual([['fault', expect.objectContaining({ name: 'a', owner: lease.owner, during: 'release' })]])
  })

  it('is followed by nothing: an answer that comes afterwards is not acted on', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', { arrivesAfterMs: 60_000 })
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    const closing = watch(solo.close())
    await world.clock.flush()
    expect(wait.error).toEqual(closed)
    // The claim is given up behind the question, or when that has had no answer for a second.
    await world.clock.advance(1_000)
    expect(closing.settled).toBe(true)
    const events = record(solo)
    const sent = link.count()
    await world.clock.advance(60_000)
    expect(link.count()).toBe(sent)
    expect(events).toEqual([])
  })

  it('takes its listeners off the signals of waiting calls', async () => {
    const { world } = use
    await world.client().solo.lock('a')
    const { solo } = world.client()
    const { signal } = new AbortController()
    const wait = watch(solo.lock('a', { signal }))
    await world.clock.flush()
    await solo.close()
    expect(wait.error).toEqual(closed)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('comes at the end of an `await using` block', async () => {
    const { world } = use
    const client = world.client()
    {
      await using solo = client.solo
      await solo.lock('a')
    }
    expect(client.link.count('close')).toBe(1)
    expect(world.inUse()).toEqual([])
  })
})

describe('use after close', () => {
  it('is refused before anything is sent', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lock = solo.semaphore('s', 2)
    await solo.close()
    const sent = link.count()
    const calls: (() => Promise<unknown>)[] = [
      () => solo.lock('a'),
      () => solo.tryLock('a'),
      () => solo.withLock('a', () => 'never'),
      () => solo.withLock(['a', 'b'], () => 'never'),
      () => lock.lock(),
      () => lock.tryLock(),
      () => solo.rwLock('r').read.lock(),
      () => solo.inspect('a'),
      () => solo.unlock('a', { force: true }),
      () => solo.clear('a'),
      () => solo.list().next(),
    ]
    for (const call of calls) await expect(call()).rejects.toEqual(closed)
    expect(link.count()).toBe(sent)
  })

  it('ends a list that is being read', async () => {
    const { world } = use
    const { solo } = world.client()
    const other = world.client().solo
    for (const name of ['a', 'b', 'c']) await other.lock(name)
    const seen: LockState[] = []
    const read = async () => {
      for await (const state of solo.list()) {
        seen.push(state)
        await solo.close()
      }
    }
    await expect(read()).rejects.toEqual(closed)
    expect(seen).toHaveLength(1)
    const left = async () => {
      for await (const state of other.list()) {
        await other.close()
        return state.name
      }
      return 'nothing'
    }
    await expect(left()).resolves.toBe('a')
  })

  it('refuses to release once more what could not be released before', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease: Lease = await solo.lock('a')
    link.next('release', 'refuse', 'refuse')
    await expect(lease.release()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await solo.close()
    const sent = link.count()
    await expect(lease.release()).rejects.toEqual(closed)
    expect(link.count()).toBe(sent)
  })
})
