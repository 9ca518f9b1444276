import assert from 'node:assert/strict'
import { LONG_MS } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

const SHORT_MS = 200

/** Taking a lock from exactly one owner: compare and set. */
export function replaces(suite: Suite): void {
  suite.test('the named owner is replaced, with a higher fence and the ttl of the new claim', async trial => {
    const [a, b] = await trial.clients(2)
    const [old, mine] = [a.claim('lock', { ttlMs: LONG_MS / 4 }), b.claim('lock', { ttlMs: LONG_MS })]
    const fence = await a.take(old)
    const next = await b.take(mine, { replaces: old.owner })
    assert.ok(next > fence, `the fence of ${mine.owner}, ${next}, should be above ${fence}`)
    await a.assertHeldBy('lock', mine)
    const { holders, atMs } = await a.state('lock')
    const leftMs = (holders[0]?.expiresAtMs ?? Number.NaN) - atMs
    assert.ok(leftMs > LONG_MS / 2 && leftMs <= LONG_MS, `${mine.owner} has ${leftMs} ms of ${LONG_MS} left`)
    await a.lost(old, `${old.owner} was replaced`)
    await a.giveNothing(old)
    await a.assertHeldBy('lock', mine)
  })

  suite.test('any other owner stays', async trial => {
    const [a, b] = await trial.clients(2)
    const holder = a.claim('lock')
    const fence = await a.take(holder)
    for (const wrong of [`${holder.owner}0`, holder.owner.slice(0, -1), holder.owner.toLowerCase(), a.id, '*']) {
      const busy = await b.refused(b.claim('lock'), { replaces: wrong })
      assert.equal(busy.holder, holder.owner, `${holder.owner} holds the lock, not ${wrong}`)
      await b.assertHeldBy('lock', holder)
    }
    await a.renewed(holder, fence)
  })

  suite.test('only one of two that replace the same owner succeeds', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [old, first, second] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.take(old)
    await b.take(first, { replaces: old.owner })
    await c.refused(second, { replaces: old.owner })
    await a.assertHeldBy('lock', first)
  })

  suite.test('a replacement sent twice is granted again, with no lower fence', async trial => {
    const [a, b] = await trial.clients(2)
    const [old, mine] = [a.claim('lock'), b.claim('lock')]
    await a.take(old)
    const fence = await b.take(mine, { replaces: old.owner })
    const again = await b.take(mine, { replaces: old.owner })
    assert.ok(again >= fence, `the fence of ${mine.owner}, ${again}, should not be below ${fence}`)
    await a.assertHeldBy('lock', mine)
  })

  suite.test('a free lock is granted as without it', async trial => {
    const a = await trial.client()
    const mine = a.claim('lock')
    await a.take(mine, { replaces: 'nobody' })
    await a.assertHeldBy('lock', mine)
  })

  suite.test('who waits stays where it is', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [old, mine, first, second] = [a.claim('lock'), b.claim('lock'), c.claim('lock'), c.claim('lock')]
    await a.take(old)
    await c.queue(first)
    await c.queue(second)
    await b.take(mine, { replaces: old.owner })
    await a.assertHeldBy('lock', mine)
    await a.assertWaiting('lock', first, second)
    await b.give(mine)
    await c.told(first)
    await a.assertHeldBy('lock', first)
    await a.assertWaiting('lock', second)
  })

  suite.test('a claim that waits and takes the lock by replacing does not wait any more', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [old, mine, next] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.take(old)
    await b.queue(mine)
    await c.queue(next)
    const fence = await b.take(mine, { replaces: old.owner })
    await a.assertHeldBy('lock', mine)
    await a.assertWaiting('lock', next)
    await b.give(mine)
    const { fence: nextFence } = await c.told(next)
    assert.ok(nextFence > fence, `the fence of ${next.owner}, ${nextFence}, should be above ${fence}`)
    await a.assertHeldBy('lock', next)
    await c.give(next)
    await a.assertFree('lock')
    assert.deepEqual(b.grants, [], `${mine.owner} is not granted again what it gave back`)
  })

  suite.test('an owner whose ttl has passed cannot be replaced before who waits', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [dead, mine, first] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.take(dead)
    const ticket = await c.queue(first)
    await a.renewed({ ...dead, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    await b.refused(mine, { replaces: dead.owner })
    await c.take(first, { ticket })
    await a.assertHeldBy('lock', first)
  })

  suite.test('an owner whose ttl has passed is no obstacle when nobody waits', async trial => {
    const [a, b] = await trial.clients(2)
    const [dead, mine] = [a.claim('lock', { ttlMs: SHORT_MS }), b.claim('lock')]
    await a.take(dead)
    await trial.outlast(SHORT_MS)
    await b.take(mine, { replaces: dead.owner })
    await a.assertHeldBy('lock', mine)
  })

  suite.test('a shared holder is not replaced by an exclusive claim', async trial => {
    const [a, b] = await trial.clients(2)
    const reader = a.shared('lock')
    await a.take(reader)
    await b.refused(b.claim('lock'), { replaces: reader.owner })
    await a.assertHeldBy('lock', reader)
  })
}
