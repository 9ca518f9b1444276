import assert from 'node:assert/strict'
import type { Claim } from '../../backend.js'
import { LONG_MS } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

/** A ttl that leaves time for one more call before it runs out. */
const CALL_MS = 1_000

/** Any reply may be lost, so any call may be sent twice. */
export function replay(suite: Suite): void {
  suite.test('who holds the lock and asks again is granted it with no lower fence and a fresh ttl', async trial => {
    const [a, b] = await trial.clients(2)
    const claims = [a.claim('lock', { ttlMs: CALL_MS }), a.shared('shared', 1, { ttlMs: CALL_MS })]
    for (const mine of claims) {
      const fence = await a.take(mine)
      assertNotLower(mine, await a.take({ ...mine, ttlMs: LONG_MS }), fence)
    }
    await trial.outlast(CALL_MS)
    await b.refused(b.claim('lock'))
    await b.refused(b.shared('shared', 1))
    for (const mine of claims) await b.assertHeldBy(mine.name, mine)
  })

  suite.test('who holds the lock and asks for a place in the queue is not queued', async trial => {
    const a = await trial.client()
    const mine = a.claim('lock')
    const fence = await a.take(mine)
    assertNotLower(mine, await a.take(mine, { ticket: 'new' }), fence)
    await a.assertHeldBy('lock', mine)
    await a.assertWaiting('lock')
    await a.give(mine)
    await a.assertFree('lock')
  })

  suite.test('who holds the lock and asks again keeps it also when others wait', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, next] = [a.claim('lock'), b.claim('lock')]
    const fence = await a.take(mine)
    await b.queue(next)
    assertNotLower(mine, await a.take(mine, { ticket: 'new' }), fence)
    await a.assertHeldBy('lock', mine)
    await a.assertWaiting('lock', next)
  })

  suite.test('who waits and asks again keeps its ticket and its place', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, first, second] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    await a.take(holder)
    const ticket = await b.queue(first)
    await b.queue(second)
    for (const again of ['new', ticket] as const) {
      const reply = await b.refused(first, { ticket: again })
      assert.equal(reply.ticket, ticket, `${first.owner} keeps its ticket`)
      assert.equal(reply.requeued, false, `${first.owner} was in the queue all the time`)
      await a.assertWaiting('lock', first, second)
    }
  })

  suite.test('a release sent twice is a success that changes nothing', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, next] = [a.claim('lock'), b.claim('lock')]
    await a.take(mine)
    await a.give(mine)
    await a.giveNothing(mine)
    await b.take(next)
    await a.giveNothing(mine)
    await b.assertHeldBy('lock', next)
  })

  suite.test('a release sent twice does not skip anybody in the queue', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [mine, next, last] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.take(mine)
    await b.queue(next)
    await c.queue(last)
    await a.give(mine)
    await a.giveNothing(mine)
    await b.told(next)
    await a.assertHeldBy('lock', next)
    await a.assertWaiting('lock', last)
  })

  suite.test('a release of what nobody ever asked for changes nothing', async trial => {
    const [a, b] = await trial.clients(2)
    await a.giveNothing(a.claim('lock'))
    await a.assertFree('lock')
    const mine = b.claim('lock')
    await b.take(mine)
    await a.giveNothing(a.claim('lock'))
    await b.assertHeldBy('lock', mine)
  })

  suite.test(
    'an acquire that arrives after the release of its owner is a new grant with a higher fence',
    async trial => {
      const [a, b] = await trial.clients(2)
      for (const mine of [a.claim('lock'), a.shared('shared', 1)]) {
        const fence = await a.take(mine)
        await a.give(mine)
        const again = await a.take(mine)
        assert.ok(again > fence, `the second fence of ${mine.owner}, ${again}, should be above its first, ${fence}`)
        await b.assertHeldBy(mine.name, mine)
      }
    },
  )

  suite.test(
    'who was granted the lock from the queue and asks again is granted no less than it was told',
    async trial => {
      const [a, b] = await trial.clients(2)
      const [holder, next] = [a.claim('lock'), b.claim('lock')]
      await a.take(holder)
      const ticket = await b.queue(next)
      await a.give(holder)
      const { fence } = await b.told(next)
      for (const again of [ticket, 'new'] as const) {
        assertNotLower(next, await b.take(next, { ticket: again }), fence)
      }
      await b.assertHeldBy('lock', next)
      await b.assertWaiting('lock')
    },
  )
}

/** Who repeats an acquire still has the lock; a datastore that forgot the fence gives a new one, which is higher. */
function assertNotLower(claim: Claim, again: number, fence: number): void {
  assert.ok(again >= fence, `the fence of ${claim.owner}, ${again}, should not be below ${fence}, which it had`)
}
