import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { acquire, type PortClient, portClient, release, renewal } from './support.js'

// Lists of steps, at the level of the port: each is answered as if it had been alone.

const url = String(process.env.SOLOIST_TEST_REDIS)
const admin = new Redis(url)
let prefix: string
const opened: PortClient[] = []
beforeEach(() => {
  prefix = `${randomUUID()}:`
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map(({ backend }) => backend.close()))
})
afterAll(() => admin.disconnect())

function client(id?: string): PortClient {
  const one = portClient(url, prefix, id)
  opened.push(one)
  return one
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `lock ${i}`)
const owner = (name: string) => admin.get(`${prefix}${name}`)

test('all kinds of steps in one list, of locks of all kinds', async () => {
  const [a, b] = [client('a'), client('b')]
  const held = a.claim('held')
  const noted = a.claim('noted', { meta: 'why' })
  const permit = a.claim('permit', { mode: 'shared', limit: 2 })
  const other = b.claim('other')
  const handing = a.claim('handing')
  await b.take(other)
  for (const claim of [held, noted, permit, handing]) await a.take(claim)
  const next = a.claim('handing', { ttlMs: 77_000 })
  await a.queue(next)
  const fresh = a.claim('fresh')
  const { steps, handed } = await a.run(
    renewal(held),
    acquire(fresh),
    acquire(a.claim('other')),
    release(handing),
    renewal(noted),
    renewal(permit),
    acquire(a.claim('permit', { mode: 'shared', limit: 2 })),
    release(a.claim('other')),
    renewal(a.claim('held')),
    release(a.claim('nothing')),
  )
  expect(steps.map(({ status }) => status)).toEqual([
    ...['held', 'granted', 'busy', 'released', 'held', 'held', 'granted', 'released', 'lost', 'released'],
  ])
  expect(steps.at(-1)).toEqual({ status: 'released', held: false })
  expect(handed).toEqual([{ name: 'handing', owner: next.owner, fence: expect.any(Number) }])
  expect(await admin.pttl(`${prefix}handing`)).toBeGreaterThan(65_000)
  expect(await owner('fresh')).toBe(fresh.owner)
  expect(await owner('other')).toBe(other.owner)
})

describe('of one lock', () => {
  test('steps in one list are done in their order', async () => {
    const a = client()
    const [first, second, third] = [a.claim('lock'), a.claim('lock'), a.claim('lock')]
    const { steps, handed } = await a.run(
      acquire(first),
      acquire(second),
      acquire(third, { ticket: 'new' }),
      release(first),
      acquire(second),
      release(third),
      acquire(second),
    )
    expect(steps.map(({ status }) => status)).toEqual([
      ...['granted', 'busy', 'busy', 'released', 'busy', 'released', 'granted'],
    ])
    expect(steps[3]).toEqual({ status: 'released', held: true })
    expect(steps[5]).toEqual({ status: 'released', held: true })
    expect(handed.map(grant => grant.owner)).toEqual([third.owner])
    expect(await owner('lock')).toBe(second.owner)
  })

  test('a release and an acquire change places neither way, whatever else is in the list', async () => {
    const a = client()
    const claims = names(20).map(name => a.claim(name))
    await a.run(...claims.map(claim => acquire(claim)))
    const next = names(20).map(name => a.claim(name))
    const steps = claims.flatMap((claim, i) => {
      const other = acquire(next[i] as (typeof next)[number])
      return i % 2 === 0 ? [release(claim), other] : [other, release(claim)]
    })
    let todo = steps
    const answers = new Map<(typeof steps)[number], string>()
    while (todo.length > 0) {
      const { steps: answered } = await a.run(...todo)
      todo.forEach((step, i) => {
        answers.set(step, String(answered[i]?.status))
      })
      todo = todo.filter(step => answers.get(step) === 'again')
    }
    const owners = await Promise.all(names(20).map(owner))
    expect(owners).toEqual(next.map((claim, i) => (i % 2 === 0 ? claim.owner : null)))
  })
})

describe('fences', () => {
  test('of one list rise, and are told as they were given', async () => {
    const a = client()
    const claims = names(10).map(name => a.claim(name))
    const { steps } = await a.run(...claims.map(claim => acquire(claim)))
    const fences = steps.map(step => Number(Reflect.get(step, 'fence')))
    expect(fences).toEqual(fences.toSorted((x, y) => x - y))
    expect(new Set(fences).size).toBe(10)
    const now = Date.now() * 1_000
    for (const fence of fences) expect(Math.abs(fence - now)).toBeLessThan(60_000_000)
    const { steps: renewed } = await a.run(...claims.map((claim, i) => renewal(claim, fences[i] as number)))
    expect(renewed).toEqual(claims.map(() => ({ status: 'held', fence: null })))
    const { steps: again } = await a.run(...claims.map((claim, i) => renewal(claim, fences[i] as number)))
    expect(again).toEqual(fences.map(fence => ({ status: 'held', fence })))
    for (const [i, claim] of claims.entries()) {
      expect((await a.backend.inspect(claim.name))?.holders[0]?.fence).toBe(fences[i])
    }
  })

  test('a renewal replaces none that is noted', async () => {
    const a = client()
    const claim = a.claim('lock', { meta: 'why' })
    const fence = await a.take(claim)
    expect(await a.renew(claim, 5)).toEqual({ status: 'held', fence })
    expect(await a.renew(claim)).toEqual({ status: 'held', fence })
  })
})

describe('a waiting claim', () => {
  test('of this client is handed the lock for its own ttl, and not told of it by a push', async () => {
    const a = client()
    const first = a.claim('lock')
    await a.take(first)
    const second = a.claim('lock', { ttlMs: 120_000, meta: 'a, b' })
    await a.queue(second)
    await a.hears()
    const [grant] = await a.give(first)
    expect(grant).toEqual({ name: 'lock', owner: second.owner, fence: expect.any(Number) })
    expect(await admin.pttl(`${prefix}lock`)).toBeGreaterThan(115_000)
    expect((await a.backend.inspect('lock'))?.holders).toMatchObject([{ fence: grant?.fence, meta: 'a, b' }])
    expect(a.events.filter(({ type }) => type === 'granted')).toEqual([])
  })

  test.each([
    [60_000, 5_000],
    [4_000, 4_000],
    [null, 5_000],
  ])(
    'of another client with a ttl of %s ms is pushed a grant for %s ms, whose fence a renewal tells',
    async (ttlMs, ms) => {
      const [a, b] = [client(), client()]
      const first = a.claim('lock')
      await a.take(first)
      const second = b.claim('lock', { ttlMs })
      await b.queue(second)
      await b.hears()
      expect(await a.give(first)).toEqual([])
      const { fence } = await b.pushed(second)
      const left = await admin.pttl(`${prefix}lock`)
      expect(left).toBeLessThanOrEqual(ms)
      expect(left).toBeGreaterThan(0)
      const [seconds, us] = await admin.time()
      expect(await b.renew(second)).toEqual({ status: 'held', fence })
      const endsAt = Number(await admin.call('PEXPIRETIME', `${prefix}lock`))
      if (ttlMs === null) expect(endsAt).toBe(-1)
      else expect(endsAt).toBeGreaterThanOrEqual(Number(seconds) * 1_000 + Math.floor(Number(us) / 1_000) + ttlMs)
      await b.give(second)
      expect(await admin.keys(`*${prefix}lock*`)).toEqual([])
    },
  )

  test.each(['by a claim of its own client', 'by one of another'])(
    'of a lock whose holder is watched is handed it %s, and who watches is told',
    async which => {
      const [a, b] = [client(), client()]
      const next = which.includes('own') ? a : b
      const [holder, first, second] = [a.claim('lock'), next.claim('lock'), next.claim('lock')]
      await a.take(holder)
      for (const claim of [first, second]) await next.queue(claim)
      await next.hears()
      for (const claim of [holder, first]) expect(await b.backend.results?.watch(claim)).toEqual({ status: 'live' })
      const handed = await a.give(holder)
      expect(handed.map(grant => grant.owner)).toEqual(next === a ? [first.owner] : [])
      const ended = (owner: string) => b.events.filter(event => event.type === 'ended' && event.owner === owner)
      await expect.poll(() => ended(holder.owner)).toEqual([{ type: 'ended', name: 'lock', owner: holder.owner }])
      expect(ended(first.owner)).toEqual([])
      await next.give(first)
      await expect.poll(() => ended(first.owner)).toEqual([{ type: 'ended', name: 'lock', owner: first.owner }])
      await next.release(second)
      expect(await admin.keys(`*${prefix}lock*`)).toEqual([])
    },
  )

  test('keeps its ticket when it is queued once more, since the first answer was lost', async () => {
    const a = client()
    await a.take(a.claim('lock'))
    const claims = [a.claim('lock'), a.claim('lock'), a.claim('lock')]
    const tickets: number[] = []
    for (const claim of claims) tickets.push(await a.queue(claim))
    await a.hears()
    for (const [i, claim] of claims.entries()) expect(await a.queue(claim)).toBe(tickets[i])
    expect((await a.backend.inspect('lock'))?.waiters.map(one => one.owner)).toEqual(claims.map(one => one.owner))
  })

  test('that takes the lock from its holder leaves the queue', async () => {
    const [a, b] = [client(), client()]
    const [holder, waiting, behind] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    await a.take(holder)
    const ticket = await b.queue(waiting)
    await b.queue(behind)
    expect(await b.acquire(waiting, { ticket, replaces: 'nobody' })).toMatchObject({ status: 'busy', ticket })
    await b.take(waiting, { ticket, replaces: holder.owner })
    expect((await a.backend.inspect('lock'))?.waiters.map(one => one.owner)).toEqual([behind.owner])
    expect((await b.give(waiting)).map(grant => grant.owner)).toEqual([behind.owner])
    expect(await b.give(behind)).toEqual([])
    expect(await admin.keys(`*${prefix}lock*`)).toEqual([])
  })
})

describe('limits', () => {
  test('each claim is judged by its own, and all are shown', async () => {
    const a = client()
    const two = a.claim('s', { mode: 'shared', limit: 2 })
    const three = a.claim('s', { mode: 'shared', limit: 3 })
    const any = a.claim('s', { mode: 'shared' })
    await a.take(two)
    await a.take(three)
    expect(await a.acquire(a.claim('s', { mode: 'shared', limit: 2 }))).toMatchObject({ status: 'busy' })
    await a.take(any)
    expect(await a.acquire(a.claim('s', { mode: 'shared', limit: 3 }))).toMatchObject({ status: 'busy' })
    const last = a.claim('s', { mode: 'shared', limit: 4 })
    await a.take(last)
    const state = await a.backend.inspect('s')
    expect(state?.holders.map(({ owner, limit }) => [owner, limit])).toEqual([
      ...[
        [two.owner, 2],
        [three.owner, 3],
        [any.owner, null],
        [last.owner, 4],
      ],
    ])
  })
})

describe('one call', () => {
  test('does at most 32 long steps, and nothing at all for the others', async () => {
    const [a, b] = [client(), client()]
    const held = names(128).map(name => b.claim(name))
    await b.run(...held.map(claim => acquire(claim)))
    const mine = held.map(({ name }) => a.claim(name))
    const { steps } = await a.run(...mine.map(claim => acquire(claim, { ticket: 'new' })))
    const expected = mine.map((_, i) => (i < 32 ? 'busy' : 'again'))
    expect(steps.map(({ status }) => status)).toEqual(expected)
    const waiting = await Promise.all(names(128).map(async name => (await a.backend.inspect(name))?.waiting))
    expect(waiting).toEqual(mine.map((_, i) => (i < 32 ? 1 : 0)))
  })

  test('leaves later steps of a lock whose earlier one it left', async () => {
    const [a, b] = [client(), client()]
    const held = names(40).map(name => b.claim(name))
    await b.run(...held.map(claim => acquire(claim)))
    const mine = held.map(({ name }) => a.claim(name))
    const twice = a.claim('twice')
    const { steps } = await a.run(
      ...mine.map(claim => acquire(claim, { ticket: 'new' })),
      acquire(twice),
      renewal(twice),
      release(twice),
      acquire(a.claim('once')),
    )
    expect(steps.slice(32).map(({ status }) => status)).toEqual([
      ...Array.from({ length: 11 }, () => 'again'),
      'granted',
    ])
    expect(await owner('twice')).toBeNull()
  })

  test('skips and grants no more than it may, and the release is answered when all is done', async () => {
    const [a, b] = [client('a'), client('b')]
    const writer = a.claim('lock')
    await a.take(writer)
    const dead = names(300).map(() => b.claim('lock'))
    for (const claim of dead) await b.queue(claim)
    const readers = names(200).map(() => a.claim('lock', { mode: 'shared' }))
    for (const claim of readers) await a.queue(claim)
    await b.backend.close()
    await admin.hset(`{${prefix}lock}:d2`, 'cb', '1')
    const handed = await a.give(writer)
    expect(handed.map(grant => grant.owner)).toEqual(readers.map(claim => claim.owner))
    expect((await a.backend.inspect('lock'))?.holding).toBe(200)
  })

  test('renews 128 leases', async () => {
    const a = client()
    const claims = names(128).map(name => a.claim(name))
    await a.run(...claims.map(claim => acquire(claim)))
    for (const fence of [1, 1]) {
      const { steps } = await a.run(...claims.map(claim => renewal(claim, fence)))
      expect(steps.every(({ status }) => status === 'held')).toBe(true)
    }
  })
})
