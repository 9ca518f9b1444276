import type { Lease, Soloist } from 'soloist'
import { describe, expect, it } from 'vitest'
import { LinkError } from '../../support/scripted-backend.js'
import { useWorld, watch } from '../../support/world.js'

const use = useWorld()
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `lock-${String(i).padStart(4, '0')}`)
const lockAll = (solo: Soloist, of: readonly string[]): Promise<Lease[]> =>
  Promise.all(of.map(name => solo.lock(name, { ttlMs: 60_000 })))

describe('steps of one turn of the event loop', () => {
  it('travel together, in the order they were made, whatever they are', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const [a, b] = await lockAll(solo, ['a', 'b'])
    const before = link.lists().length
    const done = [a?.release(), solo.lock('c'), b?.renew(), solo.tryLock('d')]
    await Promise.all(done)
    expect(link.lists().slice(before)).toEqual([['release a', 'acquire c', 'renew b', 'acquire d']])
  })

  it('leave at the end of the turn, after what its promises lead to', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const late = Promise.resolve()
      .then(() => null)
      .then(() => solo.lock('b'))
    await Promise.all([solo.lock('a'), late])
    expect(link.lists()).toEqual([['acquire a', 'acquire b']])
  })

  it('wait for what is under way, and leave together when it is answered', async () => {
    const { world } = use
    const { solo, link } = world.client({}, { callsAtOnce: 1 })
    link.next('acquire', { answersAfterMs: 100 })
    const first = watch(solo.lock('first'))
    await world.clock.advance(10)
    const then = [watch(solo.lock('a')), watch(solo.lock('b'))]
    await world.clock.advance(50)
    expect(link.lists()).toEqual([['acquire first']])
    await world.clock.advance(40)
    expect(link.lists()).toEqual([['acquire first'], ['acquire a', 'acquire b']])
    expect([first, ...then].map(({ settled }) => settled)).toEqual([true, true, true])
  })

  it('are never more than the backend bears, in one call and at once', async () => {
    const { world } = use
    for (const [mostSteps, callsAtOnce] of [
      [1, 1],
      [7, 3],
      [100, 2],
    ] as const) {
      const { solo, link } = world.client({}, { mostSteps, callsAtOnce })
      link.fate = { answersAfterMs: 1 }
      const taken = watch(
        lockAll(
          solo,
          names(50).map(name => `${mostSteps} ${name}`),
        ),
      )
      await world.clock.advance(100)
      const leases = taken.value ?? []
      expect(leases).toHaveLength(50)
      const released = watch(Promise.all(leases.map(lease => lease.release())))
      await world.clock.advance(100)
      expect(released.settled).toBe(true)
      expect(Math.max(...link.lists().map(list => list.length))).toBeLessThanOrEqual(mostSteps)
      expect(link.mostUnderWay).toBe(callsAtOnce)
      link.fate = 'pass'
    }
  })

  it('leave in halves when nothing is under way and there are many, so that both sides work', async () => {
    const { world } = use
    const few = world.client()
    await lockAll(few.solo, names(31))
    expect(few.link.lists().map(list => list.length)).toEqual([31])
    const many = world.client()
    await lockAll(
      many.solo,
      names(32).map(name => `many ${name}`),
    )
    expect(many.link.lists().map(list => list.length)).toEqual([16, 16])
    expect(many.link.mostUnderWay).toBe(2)
  })

  it('count more where calls wait for the lock, so that no call takes long', async () => {
    const { world } = use
    const holder = await world.client().solo.lock('hot')
    const { solo, link } = world.client({}, { mostSteps: 16, callsAtOnce: 1 })
    const first = watch(solo.lock('hot'))
    await world.clock.flush()
    const rest = Array.from({ length: 6 }, () => watch(solo.lock('hot')))
    await world.clock.flush()
    expect(link.lists().map(list => list.length)).toEqual([1, 2, 2, 2])
    await holder.release()
    await world.clock.flush()
    first.value?.assertValid()
    expect(rest.every(({ settled }) => !settled)).toBe(true)
  })

  it('that are given up before they left are not sent at all', async () => {
    const { world } = use
    const { solo, link } = world.client({}, { callsAtOnce: 1 })
    link.next('acquire', { answersAfterMs: 100 })
    const first = watch(solo.lock('first'))
    await world.clock.flush()
    const controller = new AbortController()
    const given = watch(solo.lock('a', { signal: controller.signal }))
    controller.abort()
    await world.clock.advance(200)
    expect(given.error).toMatchObject({ code: 'ABORTED' })
    expect(first.value?.name).toBe('first')
    expect(link.lists()).toEqual([['acquire first']])
  })
})

describe('steps of one lock', () => {
  it('are never in two calls at once: a claim and what gives it back cannot change places', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', { arrivesAfterMs: 500 })
    const controller = new AbortController()
    const wait = watch(solo.lock('a', { signal: controller.signal }))
    await world.clock.flush()
    controller.abort()
    await world.clock.flush()
    expect(wait.error).toMatchObject({ code: 'ABORTED' })
    const other = watch(solo.lock('b'))
    await world.clock.advance(499)
    expect(other.settled, 'another lock does not wait').toBe(true)
    expect(link.lists()).toEqual([['acquire a'], ['acquire b']])
    await world.clock.advance(1)
    expect(link.lists()).toEqual([['acquire a'], ['acquire b'], ['release a']])
    expect(world.inUse()).toEqual(['b'])
  })

  it('keep their order when they are many and calls are small', async () => {
    const { world } = use
    const { solo, link } = world.client({}, { mostSteps: 2, callsAtOnce: 3 })
    link.fate = { answersAfterMs: 5 }
    const holder = watch(solo.lock('a'))
    await world.clock.advance(5)
    const waits = Array.from({ length: 9 }, () => watch(solo.lock('a')))
    await world.clock.advance(100)
    const order = waits.map((_, i) => `${solo.clientId}/${i + 2}`)
    expect(world.waiters('a')).toEqual(order)
    const served: string[] = []
    for (let lease = holder.value; lease !== undefined; ) {
      void lease.release()
      await world.clock.advance(20)
      const next = waits.find(({ value }) => value !== undefined && !served.includes(value.owner))
      lease = next?.value
      if (lease !== undefined) served.push(lease.owner)
    }
    expect(served).toEqual(order)
  })

  it('do not wait longer than a second for a call that has no answer', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a')
    link.next('release', 'drop')
    const release = watch(lease.release())
    await world.clock.flush()
    const next = watch(solo.lock('a', { waitMs: 10 }))
    await world.clock.advance(999)
    expect(next.settled).toBe(false)
    await world.clock.advance(1)
    expect(next.error).toMatchObject({ code: 'LOCK_TIMEOUT', holder: lease.owner })
    expect(release.settled).toBe(false)
  })
})

describe('a call that hangs', () => {
  it('keeps no renewal from being sent in time, however many hang', async () => {
    const { world } = use
    const { solo, link } = world.client({}, { callsAtOnce: 1 })
    const lease = await solo.lock('a', { ttlMs: 9_000 })
    link.fate = method => (method === 'acquire' ? 'drop' : 'pass')
    const hanging = names(5).map(name => watch(solo.lock(name)))
    await world.clock.advance(60_000)
    lease.assertValid()
    expect(world.owners('a')).toEqual([lease.owner])
    for (const { error } of hanging) expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })

  it('ends each of its steps when the time-out of that step is over, by one timer for all', async () => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 2_000 })
    link.fate = 'drop'
    const before = world.clock.pending
    const first = watch(lockAll(solo, names(200)))
    await world.clock.advance(500)
    const later = watch(solo.lock('later'))
    await world.clock.flush()
    // One for all time-outs, one for all calls under way.
    expect(world.clock.pending - before).toBeLessThanOrEqual(2)
    await world.clock.advance(1_499)
    expect(first.settled).toBe(false)
    await world.clock.advance(1)
    expect(first.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(later.settled).toBe(false)
    await world.clock.advance(500)
    expect(later.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })

  it('counts the time-out of each step from when it was made, also where calls never stop', async () => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 1_000 }, { mostSteps: 4, callsAtOnce: 2 })
    link.fate = { answersAfterMs: 50 }
    let ended = false
    const loop = async (name: string) => {
      while (!ended) await solo.withLock(name, () => null)
    }
    const loops = names(12).map(name => watch(loop(name)))
    await world.clock.advance(10_000)
    ended = true
    await world.clock.advance(1_000)
    for (const loop of loops) expect(loop).toEqual({ settled: true, value: undefined })
  })

  it('and answers late still gives back what it granted', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', { arrivesAfterMs: 6_000 })
    const wait = watch(Promise.all([solo.lock('a'), solo.lock('b')]))
    await world.clock.advance(5_000)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await world.clock.advance(1_000)
    expect(world.inUse()).toEqual([])
  })
})

describe('a call that fails as a whole', () => {
  it('is sent again in halves, so that one step that always fails harms its own lock alone', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.fate = (_, step) => (step?.kind === 'acquire' && step.claim.name === 'lock-0037' ? 'refuse' : 'pass')
    const all = names(100).map(name => ({ name, outcome: watch(solo.lock(name)) }))
    await world.clock.flush()
    for (const { name, outcome } of all) {
      if (name !== 'lock-0037') expect(world.owners(name)).toEqual([outcome.value?.owner])
      else expect(outcome.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: expect.any(LinkError) })
    }
    // The call, and for each halving two; 100 steps are halved seven times at the most.
    expect(link.lists().length).toBeLessThanOrEqual(2 + 2 * 7)
  })

  it('harms its own locks alone also when there are a few of them, at any place', async () => {
    const { world } = use
    for (const poisoned of [
      ['lock-0000', 'lock-0099'],
      ['lock-0010', 'lock-0011', 'lock-0060'],
    ]) {
      const { solo, link } = world.client()
      link.fate = (_, step) => (step?.kind === 'acquire' && poisoned.includes(step.claim.name) ? 'refuse' : 'pass')
      const all = names(100).map(name => ({ name, outcome: watch(solo.lock(name)) }))
      await world.clock.flush()
      const failed = all.filter(({ outcome }) => outcome.error !== undefined).map(({ name }) => name)
      expect(failed).toEqual(poisoned)
      link.fate = 'pass'
      await solo.close()
    }
  })

  it('is not sent again for ever when all of it fails', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.fate = 'refuse'
    const all = names(128).map(name => watch(solo.lock(name)))
    await world.clock.flush()
    for (const { error } of all) expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    const acquires = new Set(link.sent.filter(({ method }) => method === 'acquire').map(({ call }) => call))
    expect(acquires.size).toBeLessThan(70)
  })

  it('whose answer alone was lost has done its steps: each is as it would be', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const [kept, given] = await lockAll(solo, ['kept', 'given'])
    link.next('release', 'lose')
    const done = watch(Promise.all([given?.release(), kept?.renew(), solo.lock('new')]))
    await world.clock.flush()
    expect(done.error).toBeUndefined()
    expect([...world.inUse()].sort()).toEqual(['kept', 'new'])
    kept?.assertValid()
  })

  it('keeps the order of the steps of one lock', async () => {
    const { world } = use
    const { solo, link } = world.client({}, { callsAtOnce: 1 })
    const holder = await world.client().solo.lock('a')
    link.next('acquire', 'refuse')
    const waits = Array.from({ length: 20 }, () => watch(solo.lock('a')))
    await world.clock.flush()
    expect(world.waiters('a')).toEqual(waits.map((_, i) => `${solo.clientId}/${i + 1}`))
    await holder.release()
  })
})

describe('a step that fails by itself', () => {
  it.each(['refuse', 'lose'] as const)('is sent once more, without the others (%s)', async step => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', 'pass', { step }, 'pass')
    const leases = await lockAll(solo, ['a', 'b', 'c'])
    for (const lease of leases) expect(world.owners(lease.name)).toEqual([lease.owner])
    expect(link.lists()).toEqual([['acquire a', 'acquire b', 'acquire c'], ['acquire b']])
  })

  it('twice fails its call alone, and leaves nothing held', async () => {
    const { world } = use
    const { solo, link } = world.client()
    link.next('acquire', 'pass', { step: 'lose' }, 'pass', { step: 'lose' })
    const all = ['a', 'b', 'c'].map(name => watch(solo.lock(name)))
    await world.clock.flush()
    expect(all[1]?.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: expect.any(LinkError) })
    expect([...world.inUse()].sort()).toEqual(['a', 'c'])
  })

  it('as a renewal is told and tried again later, and the lease stands', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const [a, b] = await lockAll(solo, ['a', 'b'])
    link.next('renew', { step: 'refuse' })
    const faults: unknown[] = []
    solo.on('fault', fault => faults.push(fault))
    await world.clock.advance(22_000)
    expect(faults).toEqual([
      expect.objectContaining({ name: 'a', during: 'renew', error: expect.objectContaining({}) }),
    ])
    await world.clock.advance(100_000)
    a?.assertValid()
    b?.assertValid()
    expect(world.owners('a')).toEqual([a?.owner])
  })
})

describe('a step that is to be sent again', () => {
  it('is, before what came later of its lock, and nobody notices', async () => {
    const { world } = use
    const { solo, link } = world.client({}, { callsAtOnce: 1 })
    const first = await solo.lock('a')
    link.next('release', { step: 'again' }, { step: 'again' })
    const second = watch(solo.lock('a'))
    const release = watch(first.release())
    const third = watch(solo.lock('a'))
    await world.clock.flush()
    await world.clock.flush()
    await world.clock.flush()
    expect(release.settled).toBe(true)
    expect(world.owners('a')).toEqual([second.value?.owner])
    expect(world.waiters('a')).toEqual([`${solo.clientId}/3`])
    expect(third.settled).toBe(false)
  })

  it('leaves before steps of its lock that were made meanwhile', async () => {
    const { world } = use
    const { solo, link } = world.client({}, { callsAtOnce: 1 })
    const [a, b] = await lockAll(solo, ['a', 'b'])
    const before = link.lists().length
    link.next('renew', { answersAfterMs: 100 })
    link.next('release', { step: 'again' })
    const done = [watch(Promise.resolve(b?.renew())), watch(Promise.resolve(a?.release()))]
    await world.clock.advance(50)
    const next = watch(solo.tryLock('a'))
    await world.clock.advance(50)
    await world.clock.flush()
    expect(link.lists().slice(before)).toEqual([
      ['renew b', 'release a'],
      ['release a', 'acquire a'],
    ])
    expect(done.every(({ settled }) => settled)).toBe(true)
    expect(world.owners('a')).toEqual([next.value?.owner])
  })

  it('for ever does not keep the event loop busy, and ends with its time-out', async () => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 300 })
    link.fate = method => (method === 'acquire' ? { step: 'again' } : 'pass')
    const wait = watch(solo.lock('a'))
    await world.clock.advance(299)
    expect(wait.settled).toBe(false)
    await world.clock.advance(1)
    expect(wait.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    link.fate = 'pass'
  })
})
