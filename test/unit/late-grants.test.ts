// Guards invariant S5 of docs/guarantees.md.
import type { Lease } from 'soloist'
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('a grant that comes late', () => {
  it('is never returned without validity left, but asked for again by its owner', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', { answersAfterMs: 1_000 })
    const wait = watch(solo.lock('a', { ttlMs: 1_000 }))
    await world.clock.advance(1_000)
    const lease = wait.value as Lease
    lease.assertValid()
    expect(lease.acquiredAt.getTime()).toBe(world.clock.wallMs())
    expect(world.owners('a')).toEqual([lease.owner])
    expect(link.count('acquire')).toBe(2)
  })

  it('again and again counts as a backend that is too slow, and nothing stays held', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', { answersAfterMs: 1_000 }, { answersAfterMs: 1_000 }, { answersAfterMs: 1_000 })
    const wait = watch(solo.lock('a', { ttlMs: 1_000 }))
    await world.clock.advance(3_000)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(world.inUse()).toEqual([])
  })

  it('is asked for again too when it is the confirmation of a push that was slow', async () => {
    const { world } = use
    const one = world.client().solo
    const { solo, link } = world.client()
    const first = await one.lock('a')
    const wait = watch(solo.lock('a', { ttlMs: 1_000 }))
    await world.clock.flush()
    link.next('renew', { answersAfterMs: 1_000 })
    await first.release()
    await world.clock.advance(1_000)
    const lease = wait.value as Lease
    lease.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('is asked for once while it is being asked what became of a lease that excludes it', async () => {
    const { world } = use
    const operator = world.client().solo
    const { solo, link } = world.client()
    const first = await solo.lock('a')
    const wait = watch(solo.lock('a'))
    await world.clock.flush()
    link.next('renew', 'pass', { answersAfterMs: 1_000 })
    link.fate = method => (method === 'acquire' ? { answersAfterMs: 10 } : 'pass')
    const before = link.count('acquire')
    await operator.unlock('a', { force: true })
    await world.clock.advance(1)
    await first.release()
    await world.clock.advance(900)
    expect(wait.settled).toBe(false)
    expect(link.count('acquire') - before).toBeLessThan(3)
    await world.clock.advance(1_000)
    expect(world.owners('a')).toEqual([wait.value?.owner])
  })
})
