import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { acquire, type PortClient, portClient, release, renewal } from './support.js'

// What other programs, an eviction policy, a full memory and a clock do to keys of ours harms the lock it is done to, and
// no other; and never a fence.

let server: RedisServer
let admin: Redis
let prefix: string
const opened: PortClient[] = []
beforeAll(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
})
beforeEach(() => {
  prefix = `${randomUUID()}:`
})
afterEach(async () => {
  await admin.config('SET', 'maxmemory', '0')
  await Promise.all(opened.splice(0).map(({ backend }) => backend.close()))
})
afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

function client(): PortClient {
  const one = portClient(server.url, prefix)
  opened.push(one)
  return one
}

const keysOf = (name: string) => {
  const lock = `${prefix}${name}`
  return { lock, queue: `{${lock}}:q2`, details: `{${lock}}:d2` }
}

describe('a key of another type', () => {
  const makers: [string, (key: string) => Promise<unknown>][] = [
    ['a list', key => admin.rpush(key, 'x')],
    ['a hash', key => admin.hset(key, 'x', 'x')],
    ['a string', key => admin.set(key, 'x')],
    ['a set', key => admin.sadd(key, 'x')],
  ]
  const cases = (['lock', 'queue', 'details'] as const).flatMap(which => {
    return makers
      .filter(([kind]) => !(which === 'lock' && kind === 'a string') && !(which === 'details' && kind === 'a hash'))
      .map(([kind, make]) => ({ which, kind, make }))
  })

  test.each(cases)('$kind in place of the $which harms that lock alone', async ({ which, make }) => {
    const a = client()
    const others = ['a', 'b', 'c', 'd'].map(name => a.claim(name))
    await a.run(...others.slice(0, 2).map(claim => acquire(claim)))
    const bad = a.claim('bad')
    await make(keysOf('bad')[which])
    const permit = a.claim('bad', { mode: 'shared', limit: 2 })
    const steps = [acquire(bad), acquire(permit, { ticket: 'new' }), renewal(permit), release(permit)]
    const { steps: answers } = await a.run(
      acquire(others[2] as typeof bad),
      ...steps,
      release(others[0] as typeof bad),
      renewal(others[1] as typeof bad),
      acquire(others[3] as typeof bad, { ticket: 'new' }),
    )
    expect(answers.slice(1, 5)).toEqual(
      steps.map(() => ({
        status: 'fault',
        error: expect.objectContaining({ message: expect.stringMatching(/WRONGTYPE/) }),
      })),
    )
    expect(answers.filter((_, i) => i < 1 || i > 4).map(({ status }) => status)).toEqual([
      ...['granted', 'released', 'held', 'granted'],
    ])
    // Alone, each in a call of its own. A bare holder needs none of the other keys.
    if (which !== 'queue') expect(await a.acquire(bad)).toMatchObject({ status: 'fault' })
    expect(await a.acquire(permit)).toMatchObject({ status: 'fault' })
    if (which === 'details') await admin.set(keysOf('bad').lock, bad.owner)
    const alone = [await a.renew(bad), await a.release(bad)]
    if (which === 'queue') expect(alone.map(({ status }) => status)).toEqual(['fault', 'fault'])
    else
      expect(alone).toEqual([
        expect.objectContaining({ status: 'fault' }),
        expect.objectContaining({ status: 'fault' }),
      ])
    // Nothing was written beside it.
    const left = await Promise.all(Object.values(keysOf('bad')).map(key => admin.exists(key)))
    expect(left.reduce((sum, one) => sum + one, 0)).toBe(which === 'details' ? 2 : 1)
    await a.backend.inspect('bad')
    const names: string[] = []
    for await (const { name } of a.backend.list('')) names.push(name)
    expect(names).toEqual(expect.arrayContaining(['b', 'c', 'd']))
  })

  test('a lock that is held and then gets one keeps its holder', async () => {
    const a = client()
    const [held, other] = [a.claim('bad'), a.claim('other')]
    await a.run(acquire(held), acquire(other))
    await admin.rpush(keysOf('bad').details, 'x')
    const { steps } = await a.run(renewal(other), renewal(held), release(held))
    expect(steps.map(({ status }) => status)).toEqual(['held', 'fault', 'fault'])
    expect(await admin.get(keysOf('bad').lock)).toBe(held.owner)
    await admin.del(keysOf('bad').details)
    await a.give(held)
  })
})

describe('a fence mark', () => {
  const mark = () => `{${prefix}}:f2`
  const sane = (fence: number) => Math.abs(fence / 1_000 - Date.now()) < 60_000

  test.each([
    ['a hash', () => admin.hset(mark(), 'x', 'x')],
    ['no number', () => admin.set(mark(), 'fence')],
    ['no number that looks like a late one', () => admin.set(mark(), 'zzzzzzzzzzzzzzzz')],
    ['a number that is none any more', () => admin.set(mark(), '9007199254740993')],
    ['infinite', () => admin.set(mark(), 'inf')],
    ['nan', () => admin.set(mark(), 'nan')],
    ['negative', () => admin.set(mark(), '-5')],
  ])('that is %s is set right by the next grant', async (_, spoil) => {
    const a = client()
    for (const steps of [1, 3]) {
      await admin.del(mark())
      await spoil()
      const claims = Array.from({ length: steps }, (_, i) => a.claim(`${steps}/${i}`))
      const { steps: answers } = await a.run(...claims.map(claim => acquire(claim)))
      const fences = answers.map(answer => Number(Reflect.get(answer, 'fence')))
      expect(fences.every(sane), String(fences)).toBe(true)
      expect(new Set(fences).size).toBe(steps)
      expect(sane(Number(await admin.get(mark())))).toBe(true)
      expect(await admin.pttl(mark())).toBeGreaterThan(0)
    }
  })

  test('that was thrown away gives none twice', async () => {
    const a = client()
    const [first, second] = [a.claim('lock'), a.claim('lock')]
    const fence = await a.take(first)
    await a.give(first)
    await admin.del(mark())
    expect(await a.take(second)).toBeGreaterThan(fence)
  })
})

describe('details that were thrown away', () => {
  test('of a holder: who asks again is granted with a fence, and a renewal tells none', async () => {
    const a = client()
    const claim = a.claim('lock', { meta: 'why' })
    const fence = await a.take(claim)
    await admin.del(keysOf('lock').details)
    expect(await a.renew(claim)).toEqual({ status: 'held', fence: null })
    expect(await a.take(claim)).toBeGreaterThan(fence)
    const permit = a.claim('permit', { mode: 'shared', limit: 1 })
    const first = await a.take(permit)
    await admin.del(keysOf('permit').details)
    expect(await a.renew(permit)).toEqual({ status: 'held', fence: null })
    await a.queue(a.claim('permit', { mode: 'shared', limit: 1 }))
    expect(await a.take(permit)).toBeGreaterThan(first)
  })

  test('of claims that wait: those that ask again get their place back, and every grant has a fence', async () => {
    const [a, b] = [client(), client()]
    const holder = a.claim('lock')
    const fence = await a.take(holder)
    const waiting = [b.claim('lock'), b.claim('lock'), a.claim('lock')]
    const tickets: number[] = []
    for (const claim of waiting) tickets.push(await (claim === waiting[2] ? a : b).queue(claim))
    await b.hears()
    await admin.del(keysOf('lock').details)
    // Its place is there, and what is known of it is noted again.
    expect(await b.acquire(waiting[0] as typeof holder, { ticket: tickets[0] as number })).toMatchObject({
      ...{ status: 'busy', ticket: tickets[0], requeued: false },
    })
    await a.give(holder)
    const first = await b.pushed(waiting[0] as typeof holder)
    expect(first.fence).toBeGreaterThan(fence)
    expect(await b.renew(waiting[0] as typeof holder)).toEqual({ status: 'held', fence: first.fence })
    // Of the others nothing is known: they are passed over, and told when they ask.
    expect(await b.give(waiting[0] as typeof holder)).toEqual([])
    expect(await a.backend.inspect('lock')).toBeNull()
    expect(await b.take(waiting[1] as typeof holder, { ticket: tickets[1] as number })).toBeGreaterThan(first.fence)
    expect(await a.acquire(waiting[2] as typeof holder, { ticket: tickets[2] as number })).toMatchObject({
      ...{ status: 'busy', ticket: tickets[2], requeued: true },
    })
  })
})

describe('without memory', () => {
  test('nothing new is locked; renewals, releases and hand-overs go on; a list is answered step by step', async () => {
    const [a, b] = [client(), client()]
    const held = Array.from({ length: 6 }, (_, i) => a.claim(`held ${i}`))
    await a.run(...held.map(claim => acquire(claim)))
    const [own, others] = [a.claim('held 0'), b.claim('held 1')]
    await a.queue(own)
    await b.queue(others)
    await b.hears()
    const permit = a.claim('permit', { mode: 'shared', limit: 1 })
    await a.take(permit)
    const behind = b.claim('permit', { mode: 'shared', limit: 1 })
    const ticket = await b.queue(behind)
    await admin.config('SET', 'maxmemory', '1')
    const alone = await a.acquire(a.claim('alone')).catch((error: unknown) => ({ status: 'fault', error }))
    expect(alone).toMatchObject({ status: 'fault', error: { message: expect.stringMatching(/OOM/) } })
    const { steps: refused } = await a.run(
      ...[1, 2, 3].map(i => acquire(a.claim(`new ${i}`))),
      acquire(a.claim('shared', { mode: 'shared', limit: 1 })),
    )
    expect(refused).toEqual(
      refused.map(() => ({
        status: 'fault',
        error: expect.objectContaining({ message: expect.stringMatching(/^OOM/) }),
      })),
    )
    const [first, second, third, fourth] = held as [typeof own, typeof own, typeof own, typeof own]
    expect((await a.run(renewal(third, 5), renewal(fourth, 5))).steps.map(({ status }) => status)).toEqual([
      ...['held', 'held'],
    ])
    expect(await a.renew(permit)).toMatchObject({ status: 'held' })
    expect(await b.queue(behind, ticket)).toBe(ticket)
    await a.give(permit)
    await b.pushed(behind)
    await b.give(behind)
    expect((await a.give(first)).map(({ owner }) => owner)).toEqual([own.owner])
    await a.give(second)
    await b.pushed(others)
    expect(await b.renew(others)).toMatchObject({ status: 'held', fence: expect.any(Number) })
    expect((await a.run(release(third), release(fourth))).steps.map(({ status }) => status)).toEqual([
      ...['released', 'released'],
    ])
    await a.give(own)
    await a.give(held[4] as typeof own, { text: 'left', keepMs: 60_000 })
    expect(await a.backend.results?.watch(held[4] as typeof own)).toEqual({ status: 'result', text: 'left' })
  })
})
