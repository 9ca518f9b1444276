import { Redis } from 'ioredis'
import { connect, LockTimeoutError } from 'soloist'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const { REDIS_URL: url, PREFIX: prefix, BUSY: busy } = process.env

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

describe('with fake timers', () => {
  it('a lock in memory is held, waited for, and given up by real time', async () => {
    const solo = connect('memory:')
    const lease = await solo.lock('report')
    expect((await solo.inspect('report')).holders.map(({ owner }) => owner)).toEqual([lease.owner])
    expect(await solo.tryLock('report')).toBe(null)

    const refused = await solo.lock('report', { waitMs: 50 }).catch(error => error)
    expect(refused).toBeInstanceOf(LockTimeoutError)
    expect(refused.holder).toBe(lease.owner)
    const waiting = solo.lock('report', { waitMs: 60_000 })
    await vi.advanceTimersByTimeAsync(60_000)
    expect((await solo.inspect('report')).waiting).toBe(1)

    await lease.release()
    const next = await waiting
    expect((await solo.inspect('report')).holders.map(({ owner }) => owner)).toEqual([next.owner])
    await solo.close()
  })

  it('a lock on Redis is held by who took it', async () => {
    const plain = new Redis(url)
    const solo = connect(url, { prefix })
    const lease = await solo.lock('report')
    expect(await plain.get(`${prefix}report`)).toBe(lease.owner)
    expect((await solo.inspect('report')).holders.map(({ owner }) => owner)).toEqual([lease.owner])
    expect(await solo.tryLock('busy')).toBe(null)
    expect((await solo.inspect('busy')).holders.map(({ owner }) => owner)).toEqual([busy])
    await lease.release()
    await solo.close()
    plain.disconnect()
  })
})
