// Guards invariants S8 and L2 of docs/guarantees.md.
import { once } from 'node:events'
import type { ConnectOptions, Soloist } from 'soloist'
import { describe, expect, test } from 'vitest'
import { ManualClock } from '../support/manual-clock.js'
import { runs, Stage } from './support.js'

// A reply that is lost says nothing of what the server did. Other Redis clients for locks then find the lock taken, by
// themselves, until its ttl is over. Here every lease lasts a minute: who waited for itself would run into the timeout.

const TTL_MS = 60_000

const libraries: Record<string, (stage: Stage, options?: ConnectOptions) => Soloist | Promise<Soloist>> = {
  ioredis: (stage, options) => stage.behindProxy(options),
  'node-redis': async (stage, options) => await stage.nodeRedisBehindProxy(options),
}

describe.each(Object.entries(libraries))('through %s', (_library, open) => {
  test.each(['reset', 'stall'] as const)(
    'the reply to a grant is lost (%s): the client has its lock all the same',
    async then => {
      await using stage = await Stage.open()
      const solo = await open(stage)
      await (await solo.lock('warm-up')).release()
      const lost = stage.proxy.dropReplyTo(runs('acquire', 'lock'), then)
      const acquiring = solo.lock('lock', { ttlMs: TTL_MS, waitMs: 10_000 })
      await lost.hit
      const first = await stage.owner('lock')
      if (then === 'stall') stage.proxy.resetAll()
      const lease = await acquiring
      expect(lease.owner).toBe(first)
      expect(await stage.owner('lock')).toBe(lease.owner)
      await lease.renew()
      expect((await stage.direct().inspect('lock'))?.holders.map(({ fence }) => fence)).toEqual([lease.fence])
      await lease.release()
      expect(await stage.owner('lock')).toBe(null)
    },
  )

  test('the reply to tryLock is lost: it is not its own rival', async () => {
    await using stage = await Stage.open()
    const solo = await open(stage)
    await (await solo.lock('warm-up')).release()
    const lost = stage.proxy.dropReplyTo(runs('acquire', 'lock'), 'reset')
    const lease = await solo.tryLock('lock', { ttlMs: TTL_MS })
    await lost.hit
    expect(lease?.owner).toBe(await stage.owner('lock'))
  })

  test('the reply that a claim was queued is lost: it keeps its place and is granted once', async () => {
    await using stage = await Stage.open()
    const [solo, direct] = [await open(stage), stage.direct()]
    const held = await direct.lock('lock', { ttlMs: TTL_MS })
    const lost = stage.proxy.dropReplyTo(runs('acquire', 'lock'), 'reset')
    const acquiring = solo.lock('lock', { ttlMs: TTL_MS })
    await lost.hit
    const behind = direct.lock('lock', { ttlMs: TTL_MS })
    await once(direct, 'waiting')
    await held.release()
    const lease = await acquiring
    expect(await stage.owner('lock')).toBe(lease.owner)
    await lease.release()
    const next = await behind
    expect(next.fence).toBeGreaterThan(lease.fence)
    expect(await stage.owner('lock')).toBe(next.owner)
  })

  test('the reply to the confirmation of a pushed grant is lost: the grant stands', async () => {
    await using stage = await Stage.open()
    const [solo, direct] = [await open(stage), stage.direct()]
    const held = await direct.lock('lock', { ttlMs: TTL_MS })
    const acquiring = solo.lock('lock', { ttlMs: TTL_MS })
    await once(solo, 'waiting')
    await stage.hears(solo, 'lock')
    const lost = stage.proxy.dropReplyTo(runs('renew'), 'reset')
    await held.release()
    await lost.hit
    const lease = await acquiring
    expect(lease.fence).toBeGreaterThan(held.fence)
    expect(await stage.owner('lock')).toBe(lease.owner)
    expect(await stage.admin.pttl('soloist:lock')).toBeGreaterThan(TTL_MS / 2)
  })

  test('the reply to a release is lost: the lock is free, and a successor keeps it', async () => {
    await using stage = await Stage.open()
    const [solo, direct] = [await open(stage), stage.direct()]
    const lease = await solo.lock('lock', { ttlMs: TTL_MS })
    const waiting = direct.lock('lock', { ttlMs: TTL_MS })
    await once(direct, 'waiting')
    const lost = stage.proxy.dropReplyTo(runs('release'), 'reset')
    await lease.release()
    await lost.hit
    const next = await waiting
    expect(await stage.owner('lock')).toBe(next.owner)
    expect(() => next.assertValid()).not.toThrow()
  })

  test('the reply to a release that handed the lock to the same client is lost: it asks at once', async () => {
    await using stage = await Stage.open()
    // Its time stands still: there is no beat by which it would ask.
    const solo = await open(stage, { clock: new ManualClock() })
    const lease = await solo.lock('lock', { ttlMs: TTL_MS })
    const waiting = solo.lock('lock', { ttlMs: TTL_MS })
    await once(solo, 'waiting')
    const lost = stage.proxy.dropReplyTo(runs('release'), 'reset')
    await lease.release()
    await lost.hit
    const next = await waiting
    expect(await stage.owner('lock')).toBe(next.owner)
    expect(next.fence).toBeGreaterThan(lease.fence)
  })

  test('a call that is given up while its grant is on the way leaves nothing behind', async () => {
    await using stage = await Stage.open()
    const solo = await open(stage)
    await (await solo.lock('warm-up')).release()
    const abort = new AbortController()
    const lost = stage.proxy.dropReplyTo(runs('acquire', 'lock'), 'reset')
    const acquiring = solo.lock('lock', { ttlMs: TTL_MS, signal: abort.signal })
    const refused = expect(acquiring).rejects.toMatchObject({ code: 'ABORTED' })
    await lost.hit
    abort.abort()
    await refused
    await solo.close()
    expect(await stage.owner('lock')).toBe(null)
    expect(await stage.direct().inspect('lock')).toBe(null)
  })

  test('a pushed grant is lost: the next beat finds it', async () => {
    await using stage = await Stage.open()
    const [solo, direct] = [await open(stage), stage.direct()]
    const held = await direct.lock('lock', { ttlMs: TTL_MS })
    const acquiring = solo.lock('lock', { ttlMs: TTL_MS })
    await once(solo, 'waiting')
    await stage.hears(solo, 'lock')
    const lost = stage.proxy.dropPush(([kind]) => kind === 'message')
    await held.release()
    await lost.hit
    const lease = await acquiring
    expect(await stage.owner('lock')).toBe(lease.owner)
    expect(lease.fence).toBeGreaterThan(held.fence)
  })
})
