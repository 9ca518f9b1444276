import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { connect } from 'soloist'
import { afterAll, describe, expect, test } from 'vitest'

// A fence is the server's time in microseconds, and above the last one of its lock whatever the server's clock does. To
// Redis, a clock that was set back by an hour looks like a last fence that is an hour ahead.

const url = String(process.env.SOLOIST_TEST_REDIS)
const prefix = `${randomUUID()}:`
const admin = new Redis(url)
const solo = connect(url, { prefix })
afterAll(async () => {
  await solo.close()
  admin.disconnect()
})

const fenceKey = (name: string) => `{${prefix}${name}}:f`

/** The lock has not been held for a while, and its last fence is this far ahead of the clock. */
async function lastFenceAhead(name: string): Promise<number> {
  const fence = (Date.now() + 3_600_000) * 1_000
  await admin.set(fenceKey(name), `${fence} somebody`, 'PX', 60_000)
  return fence
}

describe('the clock was set back', () => {
  test('a lock that nobody holds', async () => {
    const last = await lastFenceAhead('free')
    expect((await solo.lock('free')).fence).toBe(last + 1)
  })

  test('a semaphore that nobody holds', async () => {
    const last = await lastFenceAhead('permits')
    const permits = await Promise.all([1, 2].map(() => solo.semaphore('permits', 2).lock()))
    expect(permits.map(({ fence }) => fence)).toEqual([last + 1, last + 2])
  })

  test('a lock that is handed over', async () => {
    const last = await lastFenceAhead('handed')
    const first = await solo.lock('handed')
    const second = solo.lock('handed')
    await first.release()
    expect([first.fence, (await second).fence]).toEqual([last + 1, last + 2])
  })
})

describe('the last fence outlives the lease by about a minute', () => {
  const minute = (ms: number) => ms > 50_000 && ms <= 60_000 + 5_000

  test('that ends by itself', async () => {
    await solo.tryLock('runs out', { ttlMs: 5_000 })
    expect(await admin.pttl(fenceKey('runs out'))).toSatisfy(ms => minute(ms - 5_000))
  })

  test('that is released', async () => {
    await (await solo.lock('released', { ttlMs: 600_000 })).release()
    expect(await admin.pttl(fenceKey('released'))).toBeGreaterThan(50_000)
  })

  test('that has no end, once it is released', async () => {
    const name = 'job:name:v1:'.padEnd(76, '0')
    await solo.jobs.take(name, 'owner')
    expect(await admin.pttl(fenceKey(name))).toBe(-1)
    await solo.jobs.release(name, 'owner')
    expect(await admin.pttl(fenceKey(name))).toSatisfy(minute)
  })
})
