// Guards invariants S5, S7, S10 and L4 of docs/guarantees.md.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lease, Soloist } from 'soloist'
import { connect, SoloistError } from 'soloist'
import { describe, expect, test } from 'vitest'
import { Stage } from './support.js'

/** What a test allows beyond the moment it names. */
const SLACK_MS = 2_000
/** How long a call may take here: time enough for the first one on a slow machine, which connects. */
const CALL_MS = 4_000
/** Nobody listens there. */
const NOBODY = 1

/** The work, unless it takes longer. A timer of this process judges, so that a process that is held up is late as a whole. */
async function within<T>(ms: number, work: Promise<T>): Promise<T | 'too late'> {
  return await Promise.race([work, sleep(ms, 'too late' as const, { ref: false })])
}

async function aborted(lease: Lease): Promise<unknown> {
  if (!lease.signal.aborted) await once(lease.signal, 'abort')
  return lease.signal.reason
}

/** Resolves once the call waits in the queue. Where it is refused instead, as when the machine is too busy to connect, that is told. */
async function queued(solo: Soloist, ask: () => Promise<Lease>): Promise<{ readonly lease: Promise<Lease> }> {
  const waiting = once(solo, 'waiting')
  const lease = ask()
  await Promise.race([waiting, lease.then(() => expect.unreachable('the lock was free'))])
  return { lease }
}

/** Queues `count` claims one after the other; each notes its number when granted and gives the lock back. */
async function queue(solo: Soloist, name: string, count: number) {
  const granted: number[] = []
  const served: Promise<void>[] = []
  for (let i = 0; i < count; i++) {
    const { lease: granting } = await queued(solo, () => solo.lock(name))
    const serve = async () => {
      const lease = await granting
      granted.push(i)
      await lease.release()
    }
    served.push(serve())
  }
  return { granted, served: Promise.all(served) }
}

describe('the network is gone', () => {
  test("the holder's signal fires at its deadline; a successor gets the lock; the old lease changes nothing after", async () => {
    await using stage = await Stage.open()
    const [solo, direct] = [stage.behindProxy(), stage.direct()]
    const lease = await solo.lock('lock', { ttlMs: 4_000 })
    stage.proxy.blackhole()
    const expiresAtMs = lease.expiresAt.getTime()
    const reason = await within(expiresAtMs - Date.now() + SLACK_MS, aborted(lease))
    expect(reason).toMatchObject({ code: 'LEASE_LOST' })
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAtMs - 1)
    expect(() => lease.assertValid()).toThrow(expect.objectContaining({ code: 'LEASE_LOST' }))
    const successor = await direct.lock('lock', { ttlMs: 60_000, waitMs: 10_000 })
    expect(successor.fence).toBeGreaterThan(lease.fence)
    stage.proxy.heal()
    await lease.release()
    await expect(lease.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
    // A call that has been answered through the healed connection shows that what was sent before has arrived.
    expect((await solo.inspect('lock'))?.holders[0]?.owner).toBe(successor.owner)
    expect(await stage.owner('lock')).toBe(successor.owner)
  })

  test('an AbortSignal ends a wait that hangs; waitMs does not mistake it for a lock that is held', async () => {
    await using stage = await Stage.open()
    const solo = stage.behindProxy({ callTimeoutMs: CALL_MS })
    await (await solo.lock('warm-up')).release()
    stage.proxy.blackhole()
    const refused = within(CALL_MS + SLACK_MS, solo.lock('lock', { waitMs: 300 }))
    await expect(refused).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    const aborting = within(300 + SLACK_MS, solo.lock('lock', { signal: AbortSignal.timeout(300) }))
    await expect(aborting).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('close() ends although nothing answers', async () => {
    await using stage = await Stage.open()
    const solo = stage.behindProxy({ callTimeoutMs: CALL_MS })
    const lease = await solo.lock('lock', { ttlMs: 60_000 })
    stage.proxy.blackhole()
    const waiting = expect(solo.lock('other')).rejects.toBeInstanceOf(SoloistError)
    await solo.close()
    await waiting
    expect(lease.signal.aborted).toBe(true)
  })
})

describe('the server', () => {
  test('is not there: one clear error, with the cause, without the password', async () => {
    await using solo = connect(`redis://user:s3cret@127.0.0.1:${NOBODY}`)
    const error: SoloistError = await solo.lock('lock').then(
      () => expect.unreachable(),
      reason => reason,
    )
    expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', cause: { code: 'ECONNREFUSED' } })
    for (let at: unknown = error; at instanceof Error; at = at.cause) expect(at.stack).not.toContain('s3cret')
  })

  test('restarts empty: the holder is told, waiters get back their places, fences still rise', async () => {
    await using stage = await Stage.open()
    const [solo, waiters] = [stage.direct(), stage.direct()]
    const lease = await solo.lock('lock', { ttlMs: 6_000 })
    const { granted, served } = await queue(waiters, 'lock', 10)
    const regranted = once(waiters, 'acquired')
    await stage.server.kill()
    await stage.server.restart()
    const [{ fence }] = await regranted
    expect(fence).toBeGreaterThan(lease.fence)
    await served
    expect(granted).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(await aborted(lease)).toMatchObject({ code: 'LEASE_LOST' })
  })

  test('forgets its scripts: nobody notices', async () => {
    await using stage = await Stage.open()
    const solo = stage.direct()
    const held = await solo.lock('lock')
    const { granted, served } = await queue(solo, 'lock', 3)
    await stage.admin.script('FLUSH')
    await held.renew()
    await stage.admin.script('FLUSH')
    await held.release()
    await served
    expect(granted).toEqual([0, 1, 2])
    await stage.admin.script('FLUSH')
    expect(await solo.inspect('lock')).toBe(null)
  })

  test.each(['normal', 'pubsub'] as const)(
    'drops every %s connection: leases stand and waiters are served in order',
    async type => {
      await using stage = await Stage.open()
      const [solo, waiters] = [stage.direct(), stage.direct()]
      const held = await solo.lock('lock', { ttlMs: 60_000 })
      const { granted, served } = await queue(waiters, 'lock', 5)
      await stage.admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
      await held.renew()
      await held.release()
      await served
      expect(granted).toEqual([0, 1, 2, 3, 4])
    },
  )

  test('is out of memory: no new lock, but renewal, release and hand-over go on', async () => {
    await using stage = await Stage.open()
    const [solo, waiter] = [stage.direct(), stage.direct()]
    const held = await solo.lock('lock', { ttlMs: 60_000, meta: 'why' })
    const shared = await solo.semaphore('shared', 2).lock({ ttlMs: 60_000 })
    const { lease: waiting } = await queued(waiter, () => waiter.lock('lock', { ttlMs: 60_000 }))
    // One that pushes do not reach loses its place, and would have to take a new lock.
    await stage.hears(waiter, 'lock')
    await stage.admin.config('SET', 'maxmemory-policy', 'noeviction', 'maxmemory', '1')
    await expect(solo.lock('new')).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      cause: expect.objectContaining({ message: expect.stringContaining('OOM') }),
    })
    await held.renew()
    await shared.renew()
    await held.release()
    const next = await waiting
    expect(next.fence).toBeGreaterThan(held.fence)
    expect(await stage.owner('lock')).toBe(next.owner)
    await shared.release()
    await stage.admin.config('SET', 'maxmemory', '0')
    expect(await stage.owner('new')).toBe(null)
    expect(await solo.inspect('shared')).toBe(null)
  })

  test('is a replica: a typed error, and the lease stands when it is a primary again', async () => {
    await using stage = await Stage.open()
    const solo = stage.direct()
    const lease = await solo.lock('lock', { ttlMs: 60_000 })
    await stage.admin.replicaof('127.0.0.1', NOBODY)
    await expect(solo.lock('other')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await expect(lease.renew()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await stage.admin.replicaof('NO', 'ONE')
    await lease.renew()
    expect(await stage.owner('lock')).toBe(lease.owner)
  })

  test('answers later than the ttl: a grant without validity left is no grant', async () => {
    await using stage = await Stage.open()
    const solo = stage.behindProxy()
    await (await solo.lock('warm-up')).release()
    stage.proxy.delayReplies(400)
    await expect(solo.lock('lock', { ttlMs: 200 })).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    stage.proxy.delayReplies(0)
    await solo.close()
    expect(await stage.owner('lock')).toBe(null)
  })
})
