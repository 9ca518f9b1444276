import type { Lease } from 'soloist'
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()
const TTL_MS = 60_000

/** A client with a lease on `a`, and a second call that waits for it. */
async function waiting(secondMs: number = TTL_MS) {
  const { world } = use
  const { solo, link } = world.client()
  const first = await solo.lock('a', { ttlMs: TTL_MS })
  const second = watch(solo.lock('a', { ttlMs: secondMs }))
  await world.clock.flush()
  return { world, solo, link, first, second }
}

describe('a grant told in the answer to a step of the same client', () => {
  it('is a lease at once, without another call', async () => {
    const { world, link, first, second } = await waiting()
    const before = link.count()
    await first.release()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([second.value?.owner])
    second.value?.assertValid()
    expect(link.count() - before).toBe(1)
  })

  it('is as long as one that was taken freely: the ttl of its own claim, counted from before the call left', async () => {
    const { world, link, first, second } = await waiting(40_000)
    link.next('release', { answersAfterMs: 1_000 })
    const sentAtMs = world.clock.wallMs()
    void first.release()
    await world.clock.advance(1_000)
    const lease = second.value as Lease
    expect(lease.expiresAt.getTime()).toBeLessThan(sentAtMs + 40_000)
    expect(lease.expiresAt.getTime()).toBeGreaterThan(sentAtMs + 39_000)
    expect(world.store.inspect('a')?.holders[0]?.expiresAtMs).toBe(sentAtMs + 40_000)
    // Nothing of it depends on a renewal soon: the event loop may be blocked for half of it.
    world.clock.block(20_000)
    lease.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('has the fence of that grant', async () => {
    const { world, first, second } = await waiting()
    await first.release()
    await world.clock.flush()
    expect(second.value?.fence).toBeGreaterThan(first.fence)
    expect(second.value?.fence).toBe(world.store.inspect('a')?.holders[0]?.fence)
  })

  it('is confirmed first when the answer took as long as its ttl', async () => {
    const { world, link, first, second } = await waiting(2_000)
    link.next('release', { answersAfterMs: 2_000 })
    const releasing = first.release()
    // Sooner than the next beat.
    await world.clock.advance(2_000)
    await releasing
    await world.clock.flush()
    second.value?.assertValid()
    expect(world.owners('a')).toEqual([second.value?.owner])
  })

  it('comes also in the answer to a beat, for all that it allows', async () => {
    const { world } = use
    const other = await world.client().solo.lock('a', { ttlMs: TTL_MS })
    const { solo, link } = world.client()
    link.onPush = () => {}
    const { read } = solo.rwLock('a')
    const waits = [watch(read.lock()), watch(read.lock()), watch(read.lock())]
    await world.clock.flush()
    await world.client().solo.unlock('a', { owner: other.owner })
    await world.clock.advance(4_000)
    expect(world.owners('a')).toEqual(waits.map(({ value }) => value?.owner))
  })

  it('ends a question that has not left yet, and asks nothing else in its place', async () => {
    const { world, solo, link, first, second } = await waiting()
    const third = watch(solo.lock('a', { ttlMs: TTL_MS }))
    await world.clock.flush()
    const before = link.count()
    link.next('release', { answersAfterMs: 100 })
    void first.release()
    await world.clock.flush()
    // The question waits for the call that is under way.
    link.push({ type: 'gap' })
    await world.clock.advance(100)
    expect(world.owners('a')).toEqual([second.value?.owner])
    expect(link.count() - before).toBe(1)
    // The beat goes on.
    await world.clock.advance(4_000)
    expect(link.count() - before).toBe(2)
    await second.value?.release()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([third.value?.owner])
  })

  it('whose answer is lost is found by asking again at once', async () => {
    const { world, link, first, second } = await waiting()
    link.next('release', 'lose')
    await first.release()
    await world.clock.flush()
    expect(world.owners('a')).toEqual([second.value?.owner])
  })

  it('to a call that was given up meanwhile is given back', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const first = await solo.lock('a', { ttlMs: TTL_MS })
    const abort = new AbortController()
    const second = watch(solo.lock('a', { ttlMs: TTL_MS, signal: abort.signal }))
    const third = watch(solo.lock('a', { ttlMs: TTL_MS }))
    await world.clock.flush()
    link.next('release', { answersAfterMs: 100 })
    void first.release()
    await world.clock.flush()
    abort.abort()
    await world.clock.advance(100)
    await world.clock.flush()
    expect(second.error).toMatchObject({ code: 'ABORTED' })
    expect(world.owners('a')).toEqual([third.value?.owner])
  })
})
