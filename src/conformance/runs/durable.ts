import assert from 'node:assert/strict'
import type { Claim } from '../../backend.js'
import { grantedTo, LONG_MS, type TrialClient } from '../trial/client.js'
import { acquire, release } from '../trial/steps.js'
import type { Suite } from '../trial/suite.js'

/** A ttl that is meant to run out within its test, and not before a slow machine has made some calls. */
const SHORT_MS = 4_000
/** More beats than a client may be silent for. */
const SILENT_BEATS = 4

/** Claims of what has a life of its own: they wait without their clients. */
export function durable(suite: Suite): void {
  suite.test(
    'a durable claim is granted in the step of another client, which is told, for its own ttl',
    async trial => {
      const [a, b] = await trial.clients(2)
      await b.listens(a)
      const holder = await a.executing('lock')
      const [triggered, acquired] = [b.claim('lock', { durable: true }), b.claim('lock', { durable: true })]
      await b.waits(triggered, { running: 'wait' })
      await b.queue(acquired)
      for (const [before, next] of [
        [holder, triggered],
        [triggered, acquired],
      ] as const) {
        await a.give(before)
        await assertHanded(a, next)
        await a.assertHeldBy('lock', next)
        await assertOwnTtl(a, next)
      }
      await b.renewed(acquired)
      await b.give(acquired)
      assert.deepEqual(b.grants, [], 'nothing is pushed to its own client')
      await a.assertFree('lock')
    },
  )

  suite.test('a durable claim waits though its client is silent or gone', async trial => {
    const [a, b, c, d] = await trial.clients(4)
    const holder = await a.executing('lock', { ttlMs: null })
    const [ofGone, ofSilent, plain] = [
      b.claim('lock', { durable: true }),
      c.claim('lock', { durable: true }),
      d.claim('lock'),
    ]
    await b.waits(ofGone, { running: 'wait' })
    await c.queue(ofSilent)
    await b.backend.close()
    for (let i = 0; i < SILENT_BEATS; i += 1) await trial.outlast(a.backend.beatMs)
    await d.queue(plain)
    await a.assertWaiting('lock', ofGone, ofSilent, plain)
    await a.give(holder)
    await assertHanded(a, ofGone)
    await assertOwnTtl(a, ofGone)
    await d.give(ofGone)
    await assertHanded(d, ofSilent)
    await d.assertHeldBy('lock', ofSilent)
  })

  suite.test('a durable claim that nobody confirms is held for its ttl, and not for ever', async trial => {
    const [a, b, c] = await trial.clients(3)
    const holder = await a.executing('lock')
    const [brief, next] = [b.claim('lock', { durable: true, ttlMs: SHORT_MS }), c.claim('lock', { durable: true })]
    await b.waits(brief, { running: 'wait' })
    await c.waits(next, { running: 'wait' })
    await a.give(holder)
    await assertHanded(a, brief)
    await trial.outlast(SHORT_MS)
    const other = a.claim('lock')
    await a.refused(other)
    await assertHanded(a, next)
    await a.assertHeldBy('lock', next)
    await b.lost(brief, `${brief.owner} ran out`)
  })

  suite.test('who asks for a durable claim of its own is told in the answer alone', async trial => {
    const [a, b] = await trial.clients(2)
    const holder = a.claim('lock', { ttlMs: SHORT_MS })
    await a.take(holder)
    const mine = b.claim('lock', { durable: true })
    const ticket = await b.queue(mine)
    await trial.outlast(SHORT_MS)
    grantedTo(mine, await b.beat(mine, ticket))
    assert.deepEqual(b.grants, [], 'it is not told of it twice')
    await a.assertHeldBy('lock', mine)
  })

  suite.test('durable claims share a lock up to their limit, and each grant is told', async trial => {
    const [a, b, c] = await trial.clients(3)
    const holders = [a.shared('lock', 2), a.shared('lock', 2)]
    for (const holder of holders) await a.take(holder)
    const waiting = Array.from({ length: 5 }, (_, i) => [b, c][i % 2]?.shared('lock', 2, { durable: true }) as Claim)
    for (const [i, claim] of waiting.entries()) await ([b, c][i % 2] ?? b).waits(claim, { running: 'wait' })
    const [first, second, third, fourth, fifth] = waiting as [Claim, Claim, Claim, Claim, Claim]
    await a.run(holders.map(holder => release(holder)))
    for (const claim of [first, second]) await assertHanded(a, claim)
    await a.assertHeldBy('lock', first, second)
    await c.run([release(first), release(second)])
    for (const claim of [third, fourth]) await assertHanded(c, claim)
    await b.give(third)
    await assertHanded(b, fifth)
    await a.assertHeldBy('lock', fourth, fifth)
    await a.assertWaiting('lock')
    assert.deepEqual(
      [a, b, c].map(({ grants }) => grants.length),
      [2, 1, 2],
    )
  })

  suite.test('durable claims keep their places among others', async trial => {
    const [a, b] = await trial.clients(2)
    await b.listens(a)
    const holder = await a.executing('lock')
    const [first, second, third] = [b.claim('lock'), b.claim('lock', { durable: true }), b.claim('lock')]
    await b.queue(first)
    await b.waits(second, { running: 'wait' })
    await b.queue(third)
    await a.give(holder)
    assert.equal((await b.told(first)).by, 'push')
    await a.give(first)
    await assertHanded(a, second)
    await a.give(second)
    assert.equal((await b.told(third)).by, 'push')
    await a.assertHeldBy('lock', third)
  })

  suite.test('a durable claim leaves the queue by its release, and by nothing else', async trial => {
    const [a, b] = await trial.clients(2)
    const holder = await a.executing('lock')
    const [leaving, staying] = [b.claim('lock', { durable: true }), b.claim('lock', { durable: true })]
    for (const claim of [leaving, staying]) await b.waits(claim, { running: 'wait' })
    await a.giveNothing(leaving)
    await a.assertWaiting('lock', staying)
    await a.give(holder)
    await a.assertHeldBy('lock', staying)
    await b.give(staying)
    await a.assertFree('lock')
  })

  suite.test('a durable run is pending without its client, and begins with its notes', async trial => {
    const [a, b] = await trial.clients(2)
    const holder = await a.executing('lock', { ttlMs: null })
    const [pending, adding] = [b.claim('lock', { durable: true }), a.claim('lock')]
    await b.waits(pending, { running: 'follow', note: 'pending' })
    await b.backend.close()
    for (let i = 0; i < SILENT_BEATS; i += 1) await trial.outlast(a.backend.beatMs)
    await a.meets(adding, { pending: 'follow', note: 'adding' }, pending)
    await a.give(holder)
    await assertHanded(a, pending)
    await a.begins(pending, [
      [pending, 'pending'],
      [adding, 'adding'],
    ])
  })

  suite.test('a trigger that removes a dead owner is told of the durable claim that gets its lock', async trial => {
    const [a, b] = await trial.clients(2)
    const dead = await a.executing('lock')
    const [next, mine] = [b.claim('lock', { durable: true }), a.claim('lock')]
    await b.waits(next, { running: 'wait' })
    await a.meets(mine, { without: dead.owner })
    await assertHanded(a, next)
    await a.assertHeldBy('lock', next)
  })

  suite.test(
    'who looks at a lock or watches a claim takes no durable grant from those who are to be told',
    async trial => {
      const [a, b] = await trial.clients(2)
      const holder = a.claim('lock', { ttlMs: SHORT_MS })
      await a.take(holder)
      const next = b.claim('lock', { durable: true })
      await b.queue(next)
      await trial.outlast(SHORT_MS)
      await a.sees(holder, 'gone')
      await a.sees(next, 'live')
      await a.backend.inspect('lock')
      const [answer] = await a.run([acquire(a.claim('lock'))])
      assert.equal(answer.status, 'busy')
      await assertHanded(a, next)
    },
  )
}

/** The client was told once, in an answer to its call, that the durable claim was granted. */
async function assertHanded(client: TrialClient, claim: Claim): Promise<void> {
  const told = client.grants.filter(({ owner }) => owner === claim.owner)
  assert.deepEqual(
    told.map(({ name, owner, by }) => ({ name, owner, by })),
    [{ name: claim.name, owner: claim.owner, by: 'answer' }],
    `${client.id}, whose step granted it, should be told of ${claim.owner} once`,
  )
  const held = (await client.state(claim.name)).holders.find(({ owner }) => owner === claim.owner)
  assert.ok(held !== undefined, `${claim.owner} should hold what ${client.id} was told of`)
  if (held.fence !== 0) assert.equal(told[0]?.fence, held.fence, `the fence of ${claim.owner}`)
}

/** The claim is held for its own long ttl, without a confirmation. */
async function assertOwnTtl(client: TrialClient, claim: Claim): Promise<void> {
  const { holders, atMs } = await client.state(claim.name)
  const leftMs = (holders[0]?.expiresAtMs ?? Number.NaN) - atMs
  assert.ok(leftMs > LONG_MS / 2 && leftMs <= LONG_MS, `${claim.owner} should be held for ${LONG_MS} ms, not ${leftMs}`)
}
