// Guards invariants S10 and L1 of docs/guarantees.md.
import { once } from 'node:events'
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Lease, Soloist } from 'soloist'
import { describe, expect, test } from 'vitest'
import { Stage } from './support.js'

// What happens to a server's data and clock, row by row of the table in docs/track-record.md, with the outcome it names.

const LOGGED = { args: ['--appendonly', 'yes', '--appendfsync', 'always'] }

/** Resolves when the holder was told that it has lost the lock. */
async function told(lease: Lease): Promise<void> {
  if (!lease.signal.aborted) await once(lease.signal, 'abort')
  expect(lease.signal.reason).toMatchObject({ code: 'LEASE_LOST' })
}

/** The lock is somebody else's before its holder knows: both count on it until the holder's next renewal. */
async function overtaken(lease: Lease, other: Soloist): Promise<void> {
  const next = await other.lock('lock', { ttlMs: 60_000 })
  expect(next.fence).toBeGreaterThan(lease.fence)
  await expect(lease.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
  await told(lease)
  next.assertValid()
}

describe.concurrent('the server', () => {
  test('is killed and comes back with its log: the holder keeps the lock, and who waits goes on waiting', async () => {
    await using stage = await Stage.open(LOGGED)
    const [solo, other] = [stage.direct(), stage.direct()]
    const lease = await solo.lock('lock', { ttlMs: 60_000 })
    const waiting = once(other, 'waiting')
    const next = other.lock('lock', { ttlMs: 60_000 })
    await waiting
    await stage.server.kill()
    await stage.server.restart()
    await lease.renew()
    expect(await stage.owner('lock')).toBe(lease.owner)
    await lease.release()
    expect((await next).fence).toBeGreaterThan(lease.fence)
  })

  test('loses the end of its log with its power: the next holder has a higher fence, and the first one is told', async () => {
    await using stage = await Stage.open(LOGGED)
    const [solo, other] = [stage.direct(), stage.direct()]
    await (await solo.lock('lock')).release()
    const [, dir = ''] = (await stage.admin.config('GET', 'dir')) as string[]
    const log = join(dir, 'appendonlydir')
    await cp(log, `${log}.before`, { recursive: true })
    const lease = await solo.lock('lock', { ttlMs: 60_000 })
    await stage.server.kill()
    await rm(log, { recursive: true })
    await cp(`${log}.before`, log, { recursive: true })
    await stage.server.restart()
    await overtaken(lease, other)
  })

  test('is flushed: the same', async () => {
    await using stage = await Stage.open()
    const [solo, other] = [stage.direct(), stage.direct()]
    const lease = await solo.lock('lock', { ttlMs: 60_000 })
    await stage.admin.flushall()
    await overtaken(lease, other)
  })

  test('sets its clock forward, so that the lease ends there at once: the same', async ({ expect }) => {
    await using stage = await Stage.open()
    const [solo, other] = [stage.direct(), stage.direct()]
    const lease = await solo.lock('lock', { ttlMs: 60_000 })
    // What such a clock does to a key.
    expect(await stage.admin.pexpire('soloist:lock', 1)).toBe(1)
    await expect.poll(() => stage.owner('lock')).toBe(null)
    await overtaken(lease, other)
  })

  test('sets its clock back: what a dead holder left stays for as much longer, and fences rise all the same', async () => {
    await using stage = await Stage.open()
    const [solo, other] = [stage.behindProxy(), stage.direct()]
    const lease = await solo.lock('lock', { ttlMs: 6_000 })
    stage.proxy.blackhole()
    // To such a clock the lease's end and the last fence are in the future.
    await stage.admin.pexpire('soloist:lock', 3_600_000)
    const ahead = String((Date.now() + 3_600_000) * 1_000)
    await stage.admin.set('{soloist:}:f2', ahead, 'PX', 60_000)
    await told(lease)
    expect(await other.tryLock('lock')).toBe(null)
    expect(await other.unlock('lock', { force: true })).toBe(true)
    const next = await other.lock('lock')
    expect(next.fence).toBe(Number(ahead) + 1)
    stage.proxy.heal()
  })
})
