// Guards invariant L4 of docs/guarantees.md.
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
    expect(two.link.sent.map(({ step }) => step)).toEqual([
      expect.objectContaining({ kind: 'acquire', ticket: null, replaces: null }),
    ])
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it('ends the wait when the backend hangs from the start', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.fate = 'drop'
    const wait = watch(solo.lock('a', { waitMs: 1_000 }))
    await world.clock.advance(4_999)
    expect(wait.settled, 'the first answer may take as long as any call').toBe(false)
    await world.clock.advance(1)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })

  it.each([0, 1, 50])(
    'of %i ms is a refusal where the datastore says so, however long its answer takes',
    async waitMs => {
      const { world } = use
      const lease = await world.client().solo.lock('a')
      const { solo, link } = world.client()
      link.fate = { answersAfterMs: 100 }
      const wait = watch(solo.lock('a', { waitMs }))
      await world.clock.advance(99)
      expect(wait.settled).toBe(false)
      await world.clock.advance(1)
      expect(wait.error).toMatchObject({ code: 'LOCK_TIMEOUT', holder: lease.owner, waitedMs: 100 })
      await world.clock.advance(200)
      expect(world.waiters('a')).toEqual([])
    },
  )

  it('of less than the datastore takes still takes a free lock', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.fate = { answersAfterMs: 100 }
    const wait = watch(solo.lock('a', { waitMs: 10 }))
    await world.clock.advance(100)
    expect(world.owners('a')).toEqual([wait.value?.owner])
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
