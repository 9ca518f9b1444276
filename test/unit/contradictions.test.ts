import { type Answer, type Backend, connect, MemoryStore, memoryBackend, type Soloist, type Step } from 'soloist'
import { afterEach, describe, expect, it } from 'vitest'
import { ManualClock } from '../support/manual-clock.js'
import { record } from '../support/world.js'

type Lie = (answer: Answer, step: Step) => Answer

/** A client of a store that answers what it is told to. */
class Liar {
  readonly clock = new ManualClock()
  readonly store = new MemoryStore(this.clock)
  readonly solo: Soloist
  lie: Lie = answer => answer

  constructor() {
    const backend: Backend = memoryBackend({ store: this.store })
    const run = backend.run.bind(backend)
    backend.run = async steps => {
      const { steps: answers, handed } = await run(steps)
      return { steps: answers.map((answer, i) => this.lie(answer, steps[i] as Step)), handed }
    }
    this.solo = connect(backend, { clock: this.clock, random: () => 0.5 })
  }

  /** Who holds the lock by the store. */
  owners(name: string): readonly string[] {
    return (this.store.inspect(name)?.holders ?? []).map(({ owner }) => owner)
  }
}

let liar = new Liar()
afterEach(async () => {
  liar.lie = answer => answer
  await liar.solo.close()
  liar = new Liar()
})

/** The refused grant: its caller is told so, an event says why, and it is given back. */
async function expectRefused(call: Promise<unknown>, why: RegExp): Promise<void> {
  const events = record(liar.solo)
  await expect(call).rejects.toMatchObject({
    code: 'BACKEND_UNAVAILABLE',
    cause: { code: 'BACKEND_UNSAFE', message: expect.stringMatching(why) },
  })
  await liar.clock.flush()
  expect(events.filter(([event]) => event === 'fault')).toMatchObject([
    ['fault', { during: 'wait', error: { code: 'BACKEND_UNSAFE' } }],
  ])
}

describe('an answer that cannot be true', () => {
  it('a fence that is lower than one before is refused, and the lock given back', async () => {
    const places = liar.solo.semaphore('a', 5)
    const first = await places.lock()
    await liar.clock.advance(1)
    liar.lie = answer => (answer.status === 'granted' ? { ...answer, fence: first.fence - 1 } : answer)
    await expectRefused(places.lock(), /after \d+ had been given/)
    expect(liar.owners('a')).toEqual([first.owner])
    first.assertValid()
  })

  it('the same fence a second time is refused', async () => {
    const places = liar.solo.semaphore('a', 5)
    const first = await places.lock()
    await liar.clock.advance(1)
    liar.lie = answer => (answer.status === 'granted' ? { ...answer, fence: first.fence } : answer)
    await expectRefused(places.lock(), /after \d+ had been given/)
  })

  it('a lock that is held here is not taken a second time', async () => {
    const first = await liar.solo.lock('a')
    await liar.clock.advance(1)
    liar.lie = (answer, { kind }) =>
      kind === 'acquire' ? { status: 'granted', fence: first.fence + 1_000_000 } : answer
    await expectRefused(liar.solo.lock('a'), /holds it here/)
    expect(liar.owners('a')).toEqual([first.owner])
    first.assertValid()
  })

  it('a reader is refused while a writer of this client holds the lock', async () => {
    const first = await liar.solo.rwLock('a').write.lock()
    await liar.clock.advance(1)
    liar.lie = (answer, { kind }) =>
      kind === 'acquire' ? { status: 'granted', fence: first.fence + 1_000_000 } : answer
    await expectRefused(liar.solo.rwLock('a').read.lock(), /holds it here/)
  })

  it('a place of a semaphore beyond its limit is refused', async () => {
    const places = liar.solo.semaphore('a', 2)
    await places.lock()
    const { fence } = await places.lock()
    await liar.clock.advance(1)
    liar.lie = (answer, { kind }) => (kind === 'acquire' ? { status: 'granted', fence: fence + 1_000_000 } : answer)
    await expectRefused(places.lock(), /holds it here/)
  })

  it('a renewal with the fence of another grant ends the lease', async () => {
    const lease = await liar.solo.lock('a')
    const events = record(liar.solo)
    liar.lie = answer => (answer.status === 'held' ? { ...answer, fence: lease.fence + 1 } : answer)
    await expect(lease.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
    expect(lease.signal.reason).toMatchObject({ code: 'LEASE_LOST', cause: { code: 'BACKEND_UNSAFE' } })
    await liar.clock.flush()
    expect(events.map(([event]) => event).sort()).toEqual(['fault', 'lost'])
  })

  it.each([0, -1, 1.5, Number.NaN, 2 ** 53, '7', undefined])('a fence that is none (%s) is no answer', async fence => {
    liar.lie = answer => (answer.status === 'granted' ? ({ ...answer, fence } as unknown as Answer) : answer)
    await expect(liar.solo.lock('a')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await liar.clock.flush()
    expect(liar.owners('a')).toEqual([])
  })

  it('a lock that was taken away from this client can be taken by it again, and its former lease learns so', async () => {
    const first = await liar.solo.lock('a')
    await liar.clock.advance(1)
    await liar.solo.unlock('a', { force: true })
    const second = await liar.solo.lock('a')
    expect(second.fence).toBeGreaterThan(first.fence)
    await expect(first.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
    expect(liar.owners('a')).toEqual([second.owner])
    second.assertValid()
  })

  it('after a lease was released, or has run out, nothing stands against the next grant', async () => {
    const first = await liar.solo.lock('a', { ttlMs: 100 })
    liar.clock.block(200)
    const second = await liar.solo.lock('a')
    expect(second.fence).toBeGreaterThan(first.fence)
    await second.release()
    await using third = await liar.solo.lock('a')
    expect(third.fence).toBeGreaterThan(second.fence)
  })
})
