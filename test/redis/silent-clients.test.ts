import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, afterEach, expect, test } from 'vitest'
import { type PortClient, portClient } from './support.js'

// Who cannot be told of a grant is passed over.

const url = String(process.env.SOLOIST_TEST_REDIS)
const prefix = `${randomUUID()}:`
const admin = new Redis(url)
const opened: PortClient[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map(({ backend }) => backend.close()))
})
afterAll(() => admin.disconnect())

/** Three clients, of which the first holds the lock and the others wait for it, with pushes that reach them. */
async function threeOf(lock: string) {
  const clients = ['a', 'b', 'c'].map(name => portClient(url, prefix, `${lock}-${name}`))
  opened.push(...clients)
  const [a, b, c] = clients as [PortClient, PortClient, PortClient]
  const [first, second, third] = [a.claim(lock), b.claim(lock), c.claim(lock)]
  await a.take(first)
  await b.queue(second)
  await c.queue(third)
  await b.hears()
  await c.hears()
  // As core does when it was told of a gap.
  await b.queue(second)
  await c.queue(third)
  return { a, b, c, first, second, third }
}

const holders = async ({ backend }: PortClient, lock: string) => {
  return (await backend.inspect(lock))?.holders.map(({ owner }) => owner)
}

test('a client that is connected but was silent for three beats is passed over', async () => {
  const { a, b, c, first, third } = await threeOf('lock')
  // As twelve seconds without a beat leave it.
  await admin.hset(`{${prefix}lock}:d2`, `c${b.id}`, '1')
  await a.give(first)
  await c.pushed(third)
  expect(await holders(a, 'lock')).toEqual([third.owner])
  expect(b.events.filter(({ type }) => type === 'granted')).toEqual([])
})

test('a client whose connection is gone is passed over at once', async () => {
  const { a, b, c, first, third } = await threeOf('other')
  await b.backend.close()
  await expect.poll(() => admin.pubsub('NUMSUB', `${prefix}grants:${b.id}`)).toEqual([expect.anything(), 0])
  await a.give(first)
  await c.pushed(third)
  expect(await holders(a, 'other')).toEqual([third.owner])
})

test('a client that is still subscribing keeps its place: it is granted the lock, and finds it once it asks', async () => {
  const { a, b, c, first, second, third } = await threeOf('new')
  // As it was between its first question and the end of its SUBSCRIBE.
  await admin.hset(`{${prefix}new}:d2`, `c${b.id}`, `${Date.now() + 12_000}?`)
  await b.backend.close()
  await expect.poll(() => admin.pubsub('NUMSUB', `${prefix}grants:${b.id}`)).toEqual([expect.anything(), 0])
  await a.give(first)
  expect(await holders(a, 'new')).toEqual([second.owner])
  expect(await admin.pttl(`${prefix}new`)).toBeLessThanOrEqual(5_000)
  const back = portClient(url, prefix, b.id)
  opened.push(back)
  const fence = await back.take(second, { ticket: 'new' })
  expect((await a.backend.inspect('new'))?.holders).toMatchObject([{ owner: second.owner, fence }])
  expect(await back.give(second)).toEqual([])
  await c.pushed(third)
})

test("a client's first claim that waits is served before who asks next, however soon the lock is free", async () => {
  const holder = portClient(url, prefix, 'holder')
  opened.push(holder)
  for (let round = 0; round < 10; round += 1) {
    const lock = `first ${round}`
    const [early, late] = [portClient(url, prefix, `early-${round}`), portClient(url, prefix, `late-${round}`)]
    opened.push(early, late)
    const [held, first, second] = [holder.claim(lock), early.claim(lock), late.claim(lock)]
    await holder.take(held)
    const ticket = await early.queue(first)
    const behind = await late.queue(second)
    expect(behind).toBeGreaterThan(ticket)
    await holder.give(held)
    expect(await holders(holder, lock)).toEqual([first.owner])
    await early.take(first, { ticket })
    await early.give(first)
    expect(await holders(holder, lock)).toEqual([second.owner])
  }
})
