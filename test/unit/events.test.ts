import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { SoloistError, type SoloistEventName } from 'soloist'
import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()
const names: readonly SoloistEventName[] = ['acquired', 'waiting', 'released', 'lost', 'fault']

/** Everything on the diagnostics channels while `run` runs. */
async function diagnosed(run: () => Promise<void>): Promise<[string, unknown][]> {
  const messages: [string, unknown][] = []
  const listeners = names.map(name => {
    const listener = (message: unknown) => messages.push([name, message])
    subscribe(`soloist:${name}`, listener)
    return () => unsubscribe(`soloist:${name}`, listener)
  })
  try {
    await run()
  } finally {
    for (const stop of listeners) stop()
  }
  return messages
}

describe('events', () => {
  it('tell of a lock that is taken, waited for, handed on and released, with who, what and how long', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    const eventsOfOne = record(one)
    const eventsOfTwo = record(two)
    const first = await one.lock('a')
    const wait = watch(two.semaphore('s', 2).withLock(() => two.lock('a')))
    await world.clock.advance(300)
    await first.release()
    await world.clock.advance(200)
    const second = wait.value
    await second?.release()
    await world.clock.flush()
    const a = { name: 'a', mode: 'exclusive' }
    expect(eventsOfOne).toEqual([
      ['acquired', { ...a, owner: first.owner, fence: first.fence, waitedMs: 0 }],
      ['released', { ...a, owner: first.owner, fence: first.fence, heldMs: 300 }],
    ])
    expect(eventsOfTwo).toEqual([
      ['acquired', expect.objectContaining({ name: 's', mode: 'shared', waitedMs: 0 })],
      ['waiting', { ...a, owner: second?.owner, holder: first.owner }],
      ['acquired', { ...a, owner: second?.owner, fence: second?.fence, waitedMs: 300 }],
      ['released', expect.objectContaining({ name: 's', mode: 'shared', heldMs: 300 })],
      ['released', { ...a, owner: second?.owner, fence: second?.fence, heldMs: 200 }],
    ])
  })

  it('tell of a lease that was lost, with the reason its signal has', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const lease = await solo.lock('a', { ttlMs: 3_000 })
    const { signal } = lease
    const events = record(solo)
    link.fate = 'refuse'
    await world.clock.advance(3_000)
    const losses = events.filter(([event]) => event === 'lost')
    expect(losses).toEqual([
      [
        'lost',
        {
          name: 'a',
          owner: lease.owner,
          mode: 'exclusive',
          fence: lease.fence,
          heldMs: expect.closeTo(2_968, -1),
          reason: signal.reason,
        },
      ],
    ])
    expect(signal.reason).toBeInstanceOf(SoloistError)
    expect(events).toContainEqual(['fault', expect.objectContaining({ owner: lease.owner, during: 'renew' })])
    expect(events).toContainEqual(['fault', expect.objectContaining({ owner: lease.owner, during: 'release' })])
  })

  it('go to node:diagnostics_channel too, as they are', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const events = record(solo)
    const messages = await diagnosed(async () => {
      const first = await solo.lock('a')
      const wait = watch(solo.lock('a', { ttlMs: 3_000 }))
      await world.clock.flush()
      await first.release()
      await world.clock.flush()
      expect(wait.settled).toBe(true)
      link.fate = 'refuse'
      await world.clock.advance(3_000)
    })
    expect(new Set(messages.map(([name]) => name))).toEqual(new Set(names))
    expect(messages).toEqual(events)
    messages.forEach(([, message], i) => {
      expect(message).toBe(events[i]?.[1])
    })
  })

  it('are not made for a lock that could not be had', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a')
    const { solo } = world.client()
    const events = record(solo)
    expect(await solo.tryLock('a')).toBeNull()
    await world.clock.flush()
    expect(events).toEqual([])
    expect(world.owners('a')).toEqual([lease.owner])
  })
})

describe('a listener that throws', () => {
  it('is an uncaught exception of the application, and the lock is held by who asked for it and released by them', async () => {
    const { world } = use
    const { solo } = world.client()
    const thrown: unknown[] = []
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', error => thrown.push(error))
    try {
      const onObject = new Error('a listener of the object')
      const onChannel = new Error('a subscriber of the channel')
      solo.on('acquired', () => {
        throw onObject
      })
      solo.on('released', () => {
        throw onObject
      })
      const subscriber = () => {
        throw onChannel
      }
      subscribe('soloist:acquired', subscriber)
      const value = await solo.withLock('a', lease => {
        expect(world.owners('a')).toEqual([lease.owner])
        return 'done'
      })
      unsubscribe('soloist:acquired', subscriber)
      await world.clock.flush()
      expect(value).toBe('done')
      expect(world.inUse()).toEqual([])
      expect(thrown.sort()).toEqual([onObject, onChannel, onObject].sort())
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of others) process.on('uncaughtException', listener)
    }
  })
})
