import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import type { Answer, Claim, Step } from 'soloist'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { acquire, begin, type PortClient, portClient, release, renewal, trigger } from './support.js'

// What only Redis can get wrong with the runs of jobs: keys and their expiry, memory, the bounds of one call.

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

function client(id?: string): PortClient {
  const one = portClient(server.url, prefix, id)
  opened.push(one)
  return one
}

const keysOf = (name: string) => {
  const lock = `${prefix}${name}`
  return { lock, queue: `{${lock}}:q2`, details: `{${lock}}:d2` }
}
const keys = () => admin.keys(`*${prefix}*`)
const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status)
const displacing = { running: 'displace', pending: 'displace' } as const

test('a list of triggers, begins and releases with results, of free locks and others', async () => {
  const a = client()
  const claims = Array.from({ length: 40 }, (_, i) => a.claim(`lock ${i}`, { noted: i % 2 === 0 }))
  const behind = claims.slice(0, 3).map(({ name }) => a.claim(name))
  const { steps } = await a.run(
    ...claims.map(claim => trigger(claim)),
    ...behind.map(claim => trigger(claim)),
    release(claims[0] as Claim, { text: 'left', keepMs: 60_000 }),
    begin(behind[0] as Claim),
  )
  expect(statuses(steps)).toEqual([...claims.map(() => 'granted'), 'busy', 'busy', 'busy', 'released', 'begun'])
  expect(steps.at(-1)).toEqual({
    ...{ status: 'begun', notes: [{ owner: behind[0]?.owner, text: `of ${behind[0]?.owner}` }] },
  })
  expect(steps[40]).toMatchObject({ seen: { running: { owner: claims[0]?.owner, ageMs: expect.any(Number) } } })
  expect(await a.backend.results?.watch(claims[0] as Claim)).toEqual({ status: 'result', text: 'left' })
  const state = await a.backend.inspect('lock 2')
  expect(state?.holders[0]?.fence).toBe(Reflect.get(steps[2] as Answer, 'fence'))
  const given = await a.run(...[...claims, ...behind].map(claim => release(claim, { text: 'end', keepMs: 5 })))
  expect(statuses(given.steps)).toEqual([...claims, ...behind].map(() => 'released'))
  await expect.poll(async () => (await keys()).filter(key => !/:[fr]2$/.test(key))).toEqual([])
})

test('three thousand notes are told in their order, by one call', async () => {
  const a = client()
  const [running, pending] = [a.claim('lock'), a.claim('lock')]
  await a.run(trigger(running), trigger(pending))
  const others = Array.from({ length: 3_000 }, () => a.claim('lock'))
  for (let i = 0; i < others.length; i += 32) await a.run(...others.slice(i, i + 32).map(claim => trigger(claim)))
  await a.run(release(running))
  for (let times = 0; times < 2; times += 1) {
    const [answer] = (await a.run(begin(pending))).steps
    expect(answer).toEqual({
      status: 'begun',
      notes: [pending, ...others].map(({ owner }) => ({ owner, text: `of ${owner}` })),
    })
  }
  expect((await a.run(trigger(others[2_999] as Claim))).steps[0]).toMatchObject({ status: 'met', noted: pending.owner })
  await a.run(release(pending))
  expect((await keys()).filter(key => !key.endsWith(':f2'))).toEqual([])
})

describe('the keys of a lock', () => {
  test('stay while a durable claim waits, and go with time when none does', async () => {
    const [a, b] = [client(), client()]
    const { queue, details } = keysOf('lock')
    const [held, durable, other] = [a.claim('lock'), b.claim('lock', { durable: true }), b.claim('lock')]
    const expiries = () => Promise.all([admin.pttl(queue), admin.pttl(details)])
    await a.run(trigger(held))
    await b.run(trigger(durable, { running: 'wait', note: null }))
    expect(await expiries()).toEqual([-1, -1])
    await b.queue(other)
    await a.renew(held, 5)
    expect(await expiries()).toEqual([-1, -1])
    expect((await a.backend.inspect('lock'))?.waiters.map(one => one.durable)).toEqual([true, false])
    await b.release(durable)
    for (const ms of await expiries()) expect(ms).toBeGreaterThan(0)
    await b.release(other)
    await a.give(held)
    expect((await keys()).filter(key => !key.endsWith(':f2'))).toEqual([])
  })

  test('a durable claim is granted for its own ttl to who has long gone, and told to who granted it', async () => {
    const [a, b] = [client(), client()]
    const [held, durable] = [a.claim('lock'), b.claim('lock', { durable: true, ttlMs: null })]
    await a.run(trigger(held))
    await b.run(trigger(durable, { begins: true }))
    await b.backend.close()
    // Nothing is known of its client, and nobody is told by a push.
    expect(await admin.hkeys(keysOf('lock').details)).not.toContain(`c${b.id}`)
    expect((await a.run(release(held))).handed).toEqual([
      { name: 'lock', owner: durable.owner, fence: expect.any(Number) },
    ])
    expect(await admin.get(keysOf('lock').lock)).toBe(durable.owner)
    expect(await admin.pttl(keysOf('lock').lock)).toBe(-1)
    expect(await admin.pttl(keysOf('lock').details)).toBe(-1)
    expect((await a.run(begin(durable))).steps).toMatchObject([{ status: 'begun', notes: [{ owner: durable.owner }] }])
    await a.run(release(durable))
    expect((await keys()).filter(key => !key.endsWith(':f2'))).toEqual([])
  })

  test('what a displaced run leaves is all that is left, for as long as it is kept', async () => {
    const a = client()
    const claims = [1, 2, 3].map(() => a.claim('lock')) as [Claim, Claim, Claim]
    await a.run(...claims.map(claim => trigger(claim, { ...displacing, keepMs: 60_000 })))
    await a.run(...claims.map(claim => release(claim)))
    const left = (await keys()).filter(key => !key.endsWith(':f2'))
    expect(left).toEqual([expect.stringMatching(/:r2$/)])
    expect(await a.backend.results?.watch(claims[1])).toEqual({ status: 'displaced', by: claims[2].owner })
    expect((await a.run(trigger(claims[1]))).steps).toEqual([{ status: 'displaced', by: claims[2].owner }])
    const leftMs = await admin.pttl(String(left[0]))
    expect(leftMs).toBeGreaterThan(50_000)
    expect(leftMs).toBeLessThanOrEqual(60_000)
    await admin.pexpire(String(left[0]), 1)
    await expect.poll(() => admin.exists(...left)).toBe(0)
    expect((await a.run(trigger(claims[1]))).steps).toMatchObject([{ status: 'granted' }])
  })

  test('a pending run whose holder ran out takes its notes with it', async () => {
    const a = client()
    const [held, follower] = [a.claim('lock', { ttlMs: 30 }), a.claim('lock')]
    await a.run(trigger(held, { begins: true }), trigger(follower))
    await expect.poll(() => admin.exists(keysOf('lock').lock)).toBe(0)
    expect((await a.run(trigger(follower, { begins: true }))).steps).toMatchObject([{ status: 'granted' }])
    expect((await a.run(begin(follower))).steps).toMatchObject([
      { status: 'begun', notes: [{ owner: follower.owner, text: `of ${follower.owner}` }] },
    ])
    await a.run(release(follower))
    // For who asks what became of its note.
    const [word = '', ...others] = (await keys()).filter(key => !key.endsWith(':f2'))
    expect([word.slice(-3), others]).toEqual([':r2', []])
    expect((await a.run({ ...begin(held), takesBack: follower.owner })).steps).toEqual([
      { status: 'displaced', by: '' },
    ])
    expect(await admin.pttl(word)).toBeGreaterThan(50_000)
  })
})

describe('a key of another type', () => {
  test.each(['lock', 'queue', 'details'] as const)('in place of the %s harms that lock alone', async which => {
    const a = client()
    await admin.rpush(keysOf('bad')[which], 'x')
    const [bad, good, held] = [a.claim('bad'), a.claim('good', { noted: true }), a.claim('held')]
    await a.run(trigger(held))
    const steps: Step[] = [
      trigger(bad, { begins: true }),
      begin(bad),
      trigger(a.claim('bad'), { ...displacing, begins: true }),
    ]
    const { steps: answers } = await a.run(trigger(good), ...steps, release(held, { text: '', keepMs: 9 }), begin(good))
    const fault = expect.objectContaining({ message: expect.stringMatching(/WRONGTYPE/) })
    expect(answers.slice(1, 4)).toEqual(steps.map(() => ({ status: 'fault', error: fault })))
    expect(statuses([...answers.slice(0, 1), ...answers.slice(4)])).toEqual(['granted', 'released', 'begun'])
    for (const step of steps) expect((await a.run(step)).steps).toEqual([{ status: 'fault', error: fault }])
    const left = await Promise.all(Object.values(keysOf('bad')).map(key => admin.exists(key)))
    expect(left.reduce((sum, one) => sum + one, 0)).toBe(1)
  })
})

test('without memory: no new runs and notes; begins, releases and hand-overs go on', async () => {
  const [a, b] = [client(), client()]
  const [held, pending, durable] = [a.claim('lock'), a.claim('lock'), b.claim('lock', { durable: true })]
  await a.run(trigger(held), trigger(pending), trigger(a.claim('lock')))
  await b.run(trigger(durable, { pending: 'wait', begins: true }))
  await admin.config('SET', 'maxmemory', '1')
  const oom = { status: 'fault', error: { message: expect.stringMatching(/OOM/) } }
  for (const step of [trigger(a.claim('lock')), trigger(a.claim('lock'), displacing), trigger(a.claim('free'))]) {
    const alone = await a.run(step).then(
      ({ steps }) => steps[0],
      (error: unknown) => ({ status: 'fault', error }),
    )
    expect(alone).toMatchObject(oom)
  }
  expect((await a.backend.inspect('lock'))?.pending).toMatchObject({ owner: pending.owner, notes: 2 })
  expect((await a.run(release(held, { text: 'left', keepMs: 60_000 }))).handed).toMatchObject([
    { owner: pending.owner },
  ])
  expect((await a.run(begin(pending))).steps).toMatchObject([{ status: 'begun', notes: [{}, {}] }])
  expect((await a.run(renewal(pending, 5))).steps).toMatchObject([{ status: 'held' }])
  expect((await a.run(release(pending))).handed).toMatchObject([{ owner: durable.owner }])
  expect((await a.run(begin(durable), release(durable))).steps).toMatchObject([
    ...[{ status: 'begun' }, { status: 'released', held: true }],
  ])
  expect((await keys()).filter(key => !/:[fr]2$/.test(key))).toEqual([])
})

test('one call does no more than 32 triggers of a lock that is held; the rest is to be sent again', async () => {
  const a = client()
  const all = Array.from({ length: 60 }, () => a.claim('lock'))
  const { steps } = await a.run(...all.map(claim => trigger(claim)))
  const done = statuses(steps).indexOf('again')
  expect(done).toBeGreaterThanOrEqual(32)
  expect(done).toBeLessThanOrEqual(33)
  expect(statuses(steps.slice(done))).toEqual(all.slice(done).map(() => 'again'))
  expect((await a.backend.inspect('lock'))?.pending?.notes).toBe(done - 1)
})

test('a claim that waits durably and is granted while it asks is told in the answer alone', async () => {
  const [a, b] = [client('a'), client('b')]
  const [held, durable] = [a.claim('lock'), b.claim('lock', { durable: true })]
  /** Its lease runs out, which no step notices. */
  const ends = async (claim: Claim) => {
    await a.run(renewal({ ...claim, ttlMs: 1 }))
    await expect.poll(() => admin.exists(keysOf('lock').lock)).toBe(0)
  }
  await a.run(trigger(held))
  await b.run(trigger(durable, { running: 'wait' }))
  await ends(held)
  const { steps, handed } = await b.run(trigger(durable, { running: 'wait' }))
  expect([statuses(steps), handed]).toEqual([['granted'], []])
  // Another client that asks is told of it, and waits.
  const again = b.claim('lock', { durable: true })
  await b.run(trigger(again, { running: 'wait' }))
  await ends(durable)
  const asked = await a.run(acquire(a.claim('lock'), { ticket: 'new' }))
  expect(asked).toMatchObject({ steps: [{ status: 'busy', holder: again.owner }], handed: [{ owner: again.owner }] })
})

describe('what a trigger of a free lock notes', () => {
  const claims: readonly Partial<Claim>[] = [
    {},
    { noted: true },
    { durable: true },
    { noted: true, durable: true },
    { meta: 'a, b' },
    { noted: true, durable: true, meta: 'of whom' },
  ]
  const all = claims.flatMap(claim => [
    { ...claim, ttlMs: 60_000 },
    { ...claim, ttlMs: null },
  ])

  /** The notes of a lock and how long they and the lock live, without what differs for each claim. */
  async function left({ name, owner }: Claim): Promise<object> {
    const { lock, queue, details } = keysOf(name)
    const notes = Object.entries(await admin.hgetall(details)).map(([field, text]) => [
      field.replace(owner, 'OWNER'),
      text.replace(/ \d{16}/, ' FENCE'),
    ])
    const lives = await Promise.all(
      [lock, queue, details].map(async key => Math.ceil((await admin.pttl(key)) / 10_000)),
    )
    expect(await admin.get(lock)).toBe(owner)
    return { notes: notes.sort(), lives }
  }

  test.each(all)('is the same alone, among others, and where a lock has two steps: %o', async options => {
    const a = client('a')
    const [alone, among, other, twice] = ['alone', 'among', 'other', 'twice'].map(name => a.claim(name, options))
    if (alone === undefined || among === undefined || other === undefined || twice === undefined) throw new Error()
    await a.run(trigger(alone))
    await a.run(trigger(among), trigger(other))
    await a.run(trigger(twice), release(a.claim('twice')))
    const expected = await left(twice)
    expect(await left(alone)).toEqual(expected)
    expect(await left(among)).toEqual(expected)
    expect(await left(other)).toEqual(expected)
  })
})
