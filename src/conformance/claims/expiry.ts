import assert from 'node:assert/strict'
import { LONG_MS } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

/** A ttl that is meant to run out within its test. */
const SHORT_MS = 200
/** A ttl that leaves a slow machine time for one more call before it runs out. */
const CALL_MS = 4_000

/** What ends when a ttl has passed, and that nothing of it comes back. */
export function expiry(suite: Suite): void {
  suite.test('a lock is held until its ttl has passed, then the next gets it with a higher fence', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, next] = [a.claim('lock', { ttlMs: CALL_MS }), b.claim('lock')]
    const fence = await a.take(mine)
    const { retryAfterMs } = await b.refused(next)
    assert.ok(retryAfterMs !== null && retryAfterMs > 0 && retryAfterMs <= CALL_MS, `retry after ${retryAfterMs} ms`)
    await b.assertHeldBy('lock', mine)
    await trial.outlast(CALL_MS)
    await a.assertFree('lock')
    const nextFence = await b.take(next)
    assert.ok(nextFence > fence, `the fence of ${next.owner}, ${nextFence}, should be above ${fence}`)
    await a.assertHeldBy('lock', next)
  })

  suite.test('a stale release changes nothing', async trial => {
    const [a, b] = await trial.clients(2)
    const [stale, next] = [a.claim('lock', { ttlMs: SHORT_MS }), b.claim('lock')]
    await a.take(stale)
    await trial.outlast(SHORT_MS)
    const fence = await b.take(next)
    await a.giveNothing(stale)
    await a.assertHeldBy('lock', next)
    await b.renewed(next, fence)
  })

  suite.test('a stale renewal changes nothing', async trial => {
    const [a, b] = await trial.clients(2)
    const [stale, next] = [a.claim('lock', { ttlMs: SHORT_MS }), b.claim('lock')]
    await a.take(stale)
    await trial.outlast(SHORT_MS)
    const fence = await b.take(next)
    await a.lost(stale, `${stale.owner} lost the lock to ${next.owner}`)
    await a.assertHeldBy('lock', next)
    await b.renewed(next, fence)
  })

  suite.test('renewing never revives', async trial => {
    const a = await trial.client()
    const claims = [a.claim('lock', { ttlMs: SHORT_MS }), a.shared('shared', 2, { ttlMs: SHORT_MS })]
    for (const stale of claims) await a.take(stale)
    await trial.outlast(SHORT_MS)
    for (const stale of claims) {
      await a.lost(stale, `the ttl of ${stale.owner} has passed`)
      await a.assertFree(stale.name)
      await a.giveNothing(stale)
    }
  })

  suite.test('renewing starts the ttl again', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.claim('lock', { ttlMs: CALL_MS })
    const fence = await a.take(mine)
    await a.renewed({ ...mine, ttlMs: LONG_MS }, fence)
    await trial.outlast(CALL_MS)
    await b.refused(b.claim('lock'))
    await b.assertHeldBy('lock', mine)
  })

  suite.test('a renewal may shorten the ttl', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, next] = [a.claim('lock', { ttlMs: LONG_MS }), b.claim('lock')]
    await a.take(mine)
    await a.renewed({ ...mine, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    await b.take(next)
    await a.assertHeldBy('lock', next)
  })

  suite.test('a lock without a ttl does not run out, and can get one by renewal', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, next] = [a.claim('lock', { ttlMs: null }), b.claim('lock')]
    await a.take(mine)
    await trial.outlast(SHORT_MS)
    const { retryAfterMs } = await b.refused(next)
    assert.equal(retryAfterMs, null, 'no lease is going to run out')
    await b.assertHeldBy('lock', mine)
    await a.renewed({ ...mine, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    await b.take(next)
    await b.assertHeldBy('lock', next)
  })

  suite.test('each shared holder has a ttl of its own', async trial => {
    const [a, b] = await trial.clients(2)
    const [brief, lasting] = [a.shared('lock', 2, { ttlMs: SHORT_MS }), a.shared('lock', 2)]
    await a.take(brief)
    await a.take(lasting)
    await trial.outlast(SHORT_MS)
    await b.assertHeldBy('lock', lasting)
    const next = b.shared('lock', 2)
    await b.take(next)
    await a.giveNothing(brief)
    await b.assertHeldBy('lock', lasting, next)
  })

  suite.test('after the ttl of a holder that fell silent, a beat grants the head of the queue', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [dead, first, second] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    const fence = await a.take(dead)
    await b.queue(first)
    const ticket = await c.queue(second)
    await a.renewed({ ...dead, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    const reply = await c.beat(second, ticket)
    assert.equal(reply.status, 'busy', `${second.owner} came after ${first.owner}`)
    const push = await b.told(first)
    assert.ok(push.fence > fence, `the fence of ${first.owner}, ${push.fence}, should be above ${fence}`)
    await a.assertHeldBy('lock', first)
    await a.assertWaiting('lock', second)
  })

  suite.test('a try after the ttl of the holder does not overtake who waits', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [dead, first] = [a.claim('lock'), b.claim('lock')]
    await a.take(dead)
    const ticket = await b.queue(first)
    await a.renewed({ ...dead, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    await c.refused(c.claim('lock'))
    const reply = await b.beat(first, ticket)
    assert.equal(reply.status, 'granted', `${first.owner} is the head of the queue`)
    await c.assertHeldBy('lock', first)
  })
}
