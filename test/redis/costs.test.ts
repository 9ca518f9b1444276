import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import type { Claim } from 'soloist'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { acquire, begin, type PortClient, portClient, release, renewal, trigger } from './support.js'

// What steps cost, counted by the server: script calls, the commands they run, and the bytes that arrive. These do not
// depend on the machine.

let server: RedisServer
let admin: Redis
let prefix: string
let a: PortClient
let b: PortClient
beforeAll(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
})
beforeEach(async () => {
  prefix = `${randomUUID()}:`
  a = portClient(server.url, prefix)
  b = portClient(server.url, prefix)
  // Connections, scripts and channels are there.
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const [held, waiting] = [other.claim('warm-up'), one.claim('warm-up')]
    await other.take(held)
    await one.queue(waiting)
    await one.hears()
    await other.release(held)
    await one.release(waiting)
    await one.backend.results?.watch(held)
  }
})
afterEach(() => Promise.all([a, b].map(({ backend }) => backend.close())))
afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

interface Cost {
  /** Script calls. */
  readonly calls: number
  /** Commands within them. */
  readonly commands: number
  /** What arrived at the server. */
  readonly bytes: number
}

const counter = async (section: string, pattern: RegExp) => {
  const text = await admin.info(section)
  return [...text.matchAll(pattern)].reduce((sum, [, count]) => sum + Number(count), 0)
}
const bytesIn = () => counter('stats', /^total_net_input_bytes:(\d+)/gm)

async function costOf(run: () => Promise<unknown>): Promise<Cost> {
  await admin.config('RESETSTAT')
  const before = await bytesIn()
  const asking = (await bytesIn()) - before
  const start = await bytesIn()
  await run()
  const bytes = (await bytesIn()) - start - asking
  const calls = await counter('commandstats', /^cmdstat_eval(?:sha)?:calls=(\d+)/gm)
  const all = await counter(
    'commandstats',
    /^cmdstat_(?!info|config|evalsha|eval|ping|client|subscribe)\S+:calls=(\d+)/gm,
  )
  return { calls, commands: all, bytes }
}

/** A name of the same length for each. */
const named = (i: number) => `lock ${String(i).padStart(5, '0')}`

describe('one step', () => {
  test('of a lock with nothing in its way', async () => {
    const claim = a.claim(named(1))
    const taken = await costOf(() => a.take(claim, { ticket: 'new' }))
    expect(taken).toMatchObject({ calls: 1, commands: 4 })
    expect(taken.bytes).toBeLessThan(600)
    const given = await costOf(() => a.give(claim))
    expect(given).toMatchObject({ calls: 1, commands: 3 })
    expect(given.bytes).toBeLessThan(600)
    expect((await costOf(() => a.take(claim, { ticket: null }))).commands).toBe(4)
  })

  test('that renews: the fence is noted once, and neither costs more with time', async () => {
    const claim = a.claim(named(1))
    const fence = await a.take(claim)
    expect((await costOf(() => a.renew(claim, fence))).commands).toBeLessThanOrEqual(11)
    const next = await costOf(() => a.renew(claim, fence))
    expect(next.commands).toBeLessThanOrEqual(11)
    expect(await costOf(() => a.renew(claim, fence))).toEqual(next)
  })
})

describe('a list of 100 steps', () => {
  const claims = (count: number) => Array.from({ length: count }, (_, i) => a.claim(named(i)))

  test('takes and gives back 100 locks by one command a lock, and a handful for all', async () => {
    const all = claims(100)
    expect(await costOf(() => a.run(...all.map(claim => acquire(claim, { ticket: 'new' }))))).toMatchObject({
      ...{ calls: 1, commands: 105 },
    })
    expect(await costOf(() => a.run(...all.map(claim => release(claim))))).toMatchObject({ calls: 1, commands: 5 })
  })

  test('renews 100 leases by a few commands each', async () => {
    const all = claims(100)
    await a.run(...all.map(claim => acquire(claim)))
    const first = await costOf(() => a.run(...all.map(claim => renewal(claim, 5))))
    expect(first).toMatchObject({ calls: 1 })
    expect(first.commands).toBeLessThanOrEqual(305)
    const next = await costOf(() => a.run(...all.map(claim => renewal(claim, 5))))
    expect(next.commands).toBeLessThanOrEqual(405)
    const given = await costOf(() => a.run(...all.map(claim => release(claim))))
    expect(given).toMatchObject({ calls: 1 })
    expect(given.commands).toBeLessThanOrEqual(305)
  })
})

describe('a hand-over', () => {
  /** Queues so many claims of one client for a lock that the other holds, and tells the first and the last two. */
  async function line(name: string, of: PortClient, waiting: number) {
    const held = a.claim(name)
    await a.take(held)
    const claims = Array.from({ length: waiting }, () => of.claim(name))
    let left = claims
    while (left.length > 0) {
      const some = left.slice(0, 32)
      const { steps } = await of.run(...some.map(claim => acquire(claim, { ticket: 'new' })))
      expect(steps.every(({ status }) => status === 'busy')).toBe(true)
      left = left.slice(32)
    }
    return { held, first: claims[0] as typeof held, second: claims[1] as typeof held }
  }

  test.each([
    ['in the answer to a release of its own client', () => a, 11],
    ['by a push', () => b, 21],
  ])('%s takes the same commands with 10 waiters and with 10,000', async (_, of, most) => {
    const costs: Cost[] = []
    for (const waiting of [10, 10_000]) {
      const { held, first } = await line(named(waiting), of(), waiting)
      costs.push(await costOf(() => a.give(held)))
      if (of() === b) await b.pushed(first)
      costs.push(await costOf(() => of().renew(first)))
      costs.push(await costOf(() => of().give(first)))
    }
    const counted = costs.map(({ calls, commands }) => [calls, commands])
    expect(counted.slice(0, 3)).toEqual(counted.slice(3))
    const [release, confirmation] = costs as [Cost, Cost]
    expect(release).toMatchObject({ calls: 1 })
    expect(release.commands).toBeLessThanOrEqual(most)
    expect(confirmation.commands).toBeLessThanOrEqual(11)
  })

  test('and so does waiting: a place in the queue, and a beat', async () => {
    const costs: Cost[] = []
    for (const waiting of [10, 10_000]) {
      const name = named(waiting)
      await line(name, b, waiting)
      const claim = b.claim(name)
      let ticket = 0
      costs.push(
        await costOf(async () => {
          ticket = await b.queue(claim)
        }),
      )
      costs.push(await costOf(() => b.queue(claim, ticket)))
    }
    expect(costs.slice(0, 2).map(({ commands }) => commands)).toEqual(costs.slice(2).map(({ commands }) => commands))
    for (const { commands } of costs) expect(commands).toBeLessThanOrEqual(14)
  })
})

test('what a lock leaves in memory: one key while it is held, none afterwards', async () => {
  const claims = Array.from({ length: 100 }, (_, i) => a.claim(named(i)))
  const before = await admin.dbsize()
  await a.run(...claims.map(claim => acquire(claim)))
  expect(await admin.dbsize()).toBe(before + 100)
  await a.run(...claims.map(claim => release(claim)))
  expect(await admin.dbsize()).toBe(before)
})

test('an operator reads no more than is shown of a lock', async () => {
  const name = named(1)
  await a.take(a.claim(name, { mode: 'shared' }))
  const readers = Array.from({ length: 2_000 }, () => a.claim(name, { mode: 'shared' }))
  for (let i = 0; i < readers.length; i += 32) await a.run(...readers.slice(i, i + 32).map(claim => acquire(claim)))
  const few = await costOf(() => b.backend.inspect(name))
  expect(few.commands).toBeLessThanOrEqual(7)
  const state = await b.backend.inspect(name)
  expect([state?.holding, state?.holders.length]).toEqual([2_001, 100])
})

test('a list of many locks takes a call for a hundred, and one more where much is to be shown', async () => {
  const claims = Array.from({ length: 500 }, (_, i) => a.claim(named(i)))
  for (let i = 0; i < claims.length; i += 100) await a.run(...claims.slice(i, i + 100).map(claim => acquire(claim)))
  const names: string[] = []
  const cost = await costOf(async () => {
    for await (const state of b.backend.list('')) names.push(state.name)
  })
  expect(names.toSorted()).toEqual(claims.map(claim => claim.name))
  expect(cost.calls).toBeLessThanOrEqual(20)
})

describe('a run of a job', () => {
  const result = { text: 'its result', keepMs: 60_000 }

  test('granted at once, and released with a result: no more than a lock', async () => {
    const [claim, plain] = [a.claim(named(1), { noted: true }), a.claim(named(2), { noted: true })]
    const granted = await costOf(() => a.run(trigger(claim)))
    expect(granted).toMatchObject({ calls: 1, commands: 7 })
    expect(granted.bytes).toBeLessThan(700)
    expect(granted.commands).toBeLessThanOrEqual((await costOf(() => a.take(plain))).commands)
    expect(await costOf(() => a.give(claim, result))).toMatchObject({ calls: 1, commands: 5 })
  })

  test('a hundred in a list: three commands each to trigger, three to release with a result', async () => {
    const claims = Array.from({ length: 100 }, (_, i) => a.claim(named(i), { noted: true }))
    const granted = await costOf(() => a.run(...claims.map(claim => trigger(claim))))
    expect(granted).toMatchObject({ calls: 1 })
    expect(granted.commands).toBeLessThanOrEqual(306)
    const released = await costOf(() => a.run(...claims.map(claim => release(claim, result))))
    expect(released).toMatchObject({ calls: 1 })
    expect(released.commands).toBeLessThanOrEqual(306)
  })

  test('triggered while one runs: the same with 10 notes and with 1,000', async () => {
    const costs: Record<string, number>[] = []
    for (const notes of [10, 1_000]) {
      const name = named(notes)
      const [running, pending, other] = [0, 1, 2].map(() => a.claim(name, { noted: true })) as [Claim, Claim, Claim]
      await a.run(trigger(running))
      const count = async (...steps: Parameters<PortClient['run']>) => (await costOf(() => a.run(...steps))).commands
      const cost: Record<string, number> = { queued: await count(trigger(pending)) }
      for (let i = 0; i < notes; i += 1) await a.run(trigger(a.claim(name)))
      cost.followed = await count(trigger(other))
      cost.repeated = await count(trigger(other))
      cost.met = await count(trigger(a.claim(name), { pending: 'meet' }))
      costs.push(cost)
      const { steps } = await a.run(release(running), begin(pending))
      expect(steps[1]).toMatchObject({ status: 'begun' })
      await a.run(release(pending))
      expect(await admin.keys(`*${prefix}${name}*`)).toEqual([])
    }
    expect(costs[1]).toEqual(costs[0])
    for (const [what, most] of Object.entries({ queued: 15, followed: 14, repeated: 12, met: 12 })) {
      expect(costs[0]?.[what], what).toBeLessThanOrEqual(most)
    }
  })

  test('displaced, handed on, begun and released', async () => {
    const name = named(1)
    const [running, first, second] = [0, 1, 2].map(() => a.claim(name, { noted: true })) as [Claim, Claim, Claim]
    await a.run(trigger(running))
    await a.run(trigger(first, { running: 'displace', pending: 'displace' }))
    const cost: Record<string, number> = {}
    const count = async (...steps: Parameters<PortClient['run']>) => (await costOf(() => a.run(...steps))).commands
    cost.displaced = await count(trigger(second, { running: 'displace', pending: 'displace' }))
    cost.handed = await count(release(running, result))
    cost.begun = await count(begin(second))
    cost.begunAgain = await count(begin(second))
    cost.released = await count(release(second, result))
    for (const [what, most] of Object.entries({ displaced: 24, handed: 18, begun: 12, begunAgain: 7, released: 11 })) {
      expect(cost[what], what).toBeLessThanOrEqual(most)
    }
  })
})
