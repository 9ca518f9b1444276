import assert from 'node:assert/strict'
import { ODD_TEXTS } from '../showing/names.js'
import type { Suite } from '../trial/suite.js'
import { kept } from './kept.js'

/** A ttl that is meant to run out within its test. */
const SHORT_MS = 200
/** Time enough for one more call on a slow machine before it is over. */
const CALL_MS = 4_000

/** What an owner leaves with its release: for how long, and for which claim. */
export function results(suite: Suite): void {
  suite.test('a result is kept for its time after its release, and not longer', async trial => {
    const [a, b] = await trial.clients(2)
    const [brief, lasting] = [a.claim('brief'), a.claim('lasting')]
    for (const mine of [brief, lasting]) await a.take(mine)
    await a.give(lasting, kept('lasting'))
    await a.give(brief, { text: 'brief', keepMs: CALL_MS })
    await b.sees(brief, { text: 'brief' })
    await trial.outlast(CALL_MS)
    await b.sees(brief, 'gone')
    await b.sees(lasting, { text: 'lasting' })
    await b.sees(lasting, { text: 'lasting' })
  })

  suite.test('a result is kept only if its owner held the lock until now', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, waiting, stranger, late] = [
      a.claim('lock'),
      a.claim('lock'),
      a.claim('lock'),
      a.claim('late', { ttlMs: SHORT_MS }),
    ]
    await a.take(late)
    await a.take(holder)
    await a.queue(waiting)
    await a.giveNothing(waiting, kept('from the queue'))
    await a.giveNothing(stranger, kept('from outside'))
    await trial.outlast(SHORT_MS)
    await a.giveNothing(late, kept('too late'))
    for (const claim of [waiting, stranger, late]) await b.sees(claim, 'gone')
    await b.sees(holder, 'live')
  })

  suite.test('a release sent again, with a result or without, keeps the one that came first', async trial => {
    const [a, b] = await trial.clients(2)
    for (const mine of [a.claim('lock'), a.shared('shared', 2)]) {
      await a.take(mine)
      await a.give(mine, kept('first'))
      await a.giveNothing(mine, kept('second'))
      await a.giveNothing(mine)
      await b.sees(mine, { text: 'first' })
    }
    const bare = a.claim('lock')
    await a.take(bare)
    await a.give(bare)
    await a.giveNothing(bare, kept('afterwards'))
    await b.sees(bare, 'gone')
  })

  suite.test('a claim is live while it waits and while it is held, and gone when it left nothing', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [holder, next] = [a.claim('lock'), b.claim('lock')]
    await c.sees(holder, 'gone')
    await a.take(holder)
    await c.sees(next, 'gone')
    await b.queue(next)
    for (const claim of [holder, next]) await c.sees(claim, 'live')
    await a.give(holder)
    await b.told(next)
    await c.ended(holder)
    await c.sees(holder, 'gone')
    await c.sees(next, 'live')
    await b.renewed(next)
    await b.give(next, kept('done'))
    await c.ended(next)
    await c.sees(next, { text: 'done' })
    assert.deepEqual(
      c.endings.map(({ owner }) => owner),
      [holder.owner, next.owner],
    )
  })

  suite.test('a result is kept as it is, up to 256 KiB', async trial => {
    const [a, b] = await trial.clients(2)
    for (const text of ['', ' ', ...ODD_TEXTS, 'x'.repeat(256 * 1024), '🔒'.repeat(64 * 1024)]) {
      const mine = a.claim('lock')
      await a.take(mine)
      await b.sees(mine, 'live')
      await a.give(mine, kept(text))
      await b.ended(mine)
      await b.sees(mine, { text })
    }
  })

  suite.test('a claim that ran out is gone, also when another holds the lock', async trial => {
    const [a, b, c] = await trial.clients(3)
    const claims = [a.claim('lock'), a.shared('shared', 1)]
    const next = b.claim('lock')
    for (const dead of claims) {
      await a.take(dead)
      await c.sees(dead, 'live')
      await a.renewed({ ...dead, ttlMs: SHORT_MS })
    }
    await trial.outlast(SHORT_MS)
    await b.take(next)
    for (const dead of claims) await c.sees(dead, 'gone')
    await c.sees(next, 'live')
    await b.give(next, kept('of the next'))
    await c.ended(next)
    for (const dead of claims) await c.sees(dead, 'gone')
    await c.sees(next, { text: 'of the next' })
  })

  suite.test('a claim whose lock was taken from it is gone, and leaves nothing any more', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [old, mine] = [a.claim('lock', { ttlMs: null }), b.claim('lock')]
    await a.take(old)
    await c.sees(old, 'live')
    await b.take(mine, { replaces: old.owner })
    await c.sees(old, 'gone')
    await c.sees(mine, 'live')
    await a.giveNothing(old, kept('of the old'))
    await c.sees(old, 'gone')
    await b.give(mine, kept('of the new'))
    await c.ended(mine)
    await c.sees(old, 'gone')
    await c.sees(mine, { text: 'of the new' })
  })

  suite.test('the next claim is granted in the step that keeps the result', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [holder, next] = [a.claim('lock'), b.claim('lock')]
    await a.take(holder)
    await b.queue(next)
    await c.sees(holder, 'live')
    await a.give(holder, kept('done'))
    await c.assertHeldBy('lock', next)
    await b.told(next)
    await c.ended(holder)
    await c.sees(holder, { text: 'done' })
  })

  suite.test('neither a result nor a watcher keeps a lock in use', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, dead] = [a.claim('lock'), a.claim('dead')]
    for (const claim of [mine, dead]) {
      await a.take(claim)
      await b.sees(claim, 'live')
      await a.assertHeldBy(claim.name, claim)
      await a.assertWaiting(claim.name)
    }
    await a.give(mine, kept('done'))
    await a.renewed({ ...dead, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    for (const { name } of [mine, dead]) await b.assertFree(name)
    const listed: string[] = []
    for await (const { name } of b.backend.list('')) listed.push(name)
    assert.deepEqual(listed, [])
    const next = b.shared('lock', 2)
    await b.take(next)
    await b.assertHeldBy('lock', next)
    await b.sees(mine, { text: 'done' })
  })
}
