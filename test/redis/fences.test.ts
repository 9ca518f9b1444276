// Guards invariants S2 and S10 of docs/guarantees.md.
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { acquire, type PortClient, portClient } from './support.js'

// A fence is the server's time in microseconds, and above every one before it whatever the server's clock does. To Redis, a
// clock that was set back by an hour looks like a mark that is an hour ahead.

const url = String(process.env.SOLOIST_TEST_REDIS)
const admin = new Redis(url)
let a: PortClient
let mark: string
beforeEach(() => {
  const prefix = `${randomUUID()}:`
  a = portClient(url, prefix)
  mark = `{${prefix}}:f2`
})
afterEach(() => a.backend.close())
afterAll(() => admin.disconnect())

/** The last fence is this far ahead of the clock. */
async function markAhead(): Promise<number> {
  const fence = (Date.now() + 3_600_000) * 1_000
  await admin.set(mark, String(fence), 'PX', 60_000)
  return fence
}

const fencesOf = (answers: readonly unknown[]) => answers.map(answer => Number(Reflect.get(answer as object, 'fence')))

describe('the clock was set back', () => {
  test('a lock that nobody holds', async () => {
    const last = await markAhead()
    const claim = a.claim('lock')
    expect(await a.take(claim)).toBe(last + 1)
    await a.give(claim)
    expect(await a.take(a.claim('lock'))).toBe(last + 2)
  })

  test('many locks in one list', async () => {
    const last = await markAhead()
    const { steps } = await a.run(...[1, 2, 3].map(i => acquire(a.claim(`lock ${i}`))))
    expect(fencesOf(steps)).toEqual([last + 1, last + 2, last + 3])
  })

  test('a semaphore that nobody holds', async () => {
    const last = await markAhead()
    const { steps } = await a.run(...[1, 2].map(() => acquire(a.claim('permits', { mode: 'shared', limit: 2 }))))
    expect(fencesOf(steps)).toEqual([last + 1, last + 2])
  })

  test('a lock that is handed over, and one that is pushed', async () => {
    const b = portClient(url, mark.slice(1, -4))
    const last = await markAhead()
    const [first, second, third] = [a.claim('lock'), a.claim('lock'), b.claim('lock')]
    expect(await a.take(first)).toBe(last + 1)
    await a.queue(second)
    await b.queue(third)
    await b.hears()
    expect(fencesOf(await a.give(first))).toEqual([last + 2])
    await a.give(second)
    expect((await b.pushed(third)).fence).toBe(last + 3)
    expect(Number(await admin.get(mark))).toBe(last + 3)
    await b.backend.close()
  })

  test('and until it has caught up, the mark is kept', async () => {
    await markAhead()
    await a.take(a.claim('lock'))
    const left = await admin.pttl(mark)
    expect(left).toBeGreaterThan(3_600_000)
    expect(left).toBeLessThanOrEqual(3_661_000)
  })
})

test('the mark goes a minute after the last grant, and so does everything else of a lock that was released', async () => {
  const claims = [a.claim('bare'), a.claim('meta', { meta: 'why' }), a.claim('permit', { mode: 'shared', limit: 2 })]
  for (const claim of claims) await a.take(claim)
  const waiting = a.claim('bare')
  await a.queue(waiting)
  for (const claim of claims) await a.renew(claim, 7)
  for (const claim of [...claims, waiting]) await a.release(claim)
  const left = await admin.keys(`*${mark.slice(1, -4)}*`)
  expect(left).toEqual([mark])
  const ms = await admin.pttl(mark)
  expect(ms).toBeGreaterThan(50_000)
  expect(ms).toBeLessThanOrEqual(60_000)
})
