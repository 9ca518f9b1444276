import assert from 'node:assert/strict'
import type { Claim } from '../../backend.js'
import { LONG_MS } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

const SHORT_MS = 200
/** Nobody need ask for it again. */
const STAYS = { durable: true } as const
const FOLLOW = { running: 'follow', pending: 'follow', begins: true } as const

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

  suite.test('of who waits and has only to be granted the lock, that is taken', async trial => {
    const [a, b] = await trial.clients(2)
    const [dead, old, next, mine] = [a.claim('lock'), a.claim('lock', STAYS), a.claim('lock', STAYS), b.claim('lock')]
    await a.take(dead)
    await a.queue(old)
    await a.queue(next)
    await a.renewed({ ...dead, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    await b.take(mine, { replaces: old.owner })
    await a.assertHeldBy('lock', mine)
    await a.assertWaiting('lock', next)
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

  suite.test('of several that share a lock one is replaced by another', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, old, mine, next] = [a, a, b, b].map(client => client.shared('lock', 2)) as [
      Claim,
      Claim,
      Claim,
      Claim,
    ]
    await a.take(first)
    const fence = await a.take(old)
    await b.queue(next)
    for (let i = 0; i < 2; i += 1) {
      assert.ok((await b.take(mine, { replaces: old.owner })) > fence, 'with a higher fence')
      await a.assertHeldBy('lock', first, mine)
    }
    await a.lost(old, `${old.owner} was replaced`)
    await a.assertWaiting('lock', next)
    await b.give(mine)
    await b.told(next)
    await a.assertHeldBy('lock', first, next)
  })

  suite.test('of a claim that waits the place is taken by one that is to be queued', async trial => {
    const [a, b] = await trial.clients(2)
    await a.listens(b)
    const [held, first, old] = [a.claim('lock'), a.claim('lock'), a.claim('lock', STAYS)]
    const [last, mine] = [a.claim('lock'), b.claim('lock')]
    await a.take(held)
    await a.queue(first)
    const place = await a.queue(old)
    await a.queue(last)
    await b.refused(mine, { replaces: old.owner })
    await a.assertWaiting('lock', first, old, last)
    for (let i = 0; i < 2; i += 1) {
      const answer = await b.refused(mine, { ticket: 'new', replaces: old.owner })
      assert.deepEqual([answer.ticket, answer.requeued], [place, false], `${mine.owner} has the place of ${old.owner}`)
      await a.assertWaiting('lock', first, mine, last)
    }
    await a.giveNothing(old)
    await a.give(held)
    await a.give(first)
    await b.told(mine)
    await a.assertHeldBy('lock', mine)
    await a.assertWaiting('lock', last)
  })

  suite.test('who has a place before that of whom it is to replace keeps it, and so does the other', async trial => {
    const [a, b] = await trial.clients(2)
    const [held, mine, other] = [a.claim('lock'), a.claim('lock'), a.claim('lock')]
    await b.take(held)
    const place = await a.queue(mine)
    await a.queue(other)
    const answer = await a.refused(mine, { ticket: 'new', replaces: other.owner })
    assert.equal(answer.ticket, place)
    await a.assertWaiting('lock', mine, other)
  })

  for (const limit of [null, 2]) {
    const mode = limit === null ? 'a lock' : 'a lock that others share'
    suite.test(`who waits for ${mode} takes the place of another before it, or what that holds`, async trial => {
      const [a, b] = await trial.clients(2)
      await a.listens(b)
      const how = { durable: true, mode: limit === null ? 'exclusive' : 'shared', limit } as const
      const held = limit === null ? [b.claim('lock')] : [b.shared('lock', 2), b.shared('lock', 2)]
      const [other, between, mine] = [a.claim('lock', how), a.claim('lock', how), a.claim('lock', how)]
      for (const one of held) await b.take(one)
      const place = await a.queue(other)
      await a.queue(between)
      await a.queue(mine)
      for (let i = 0; i < 2; i += 1) {
        const answer = await a.refused(mine, { ticket: 'new', replaces: other.owner })
        assert.deepEqual([answer.ticket, answer.requeued], [place, false])
        await a.assertWaiting('lock', mine, between)
      }
      const [first, ...rest] = held as [Claim, ...Claim[]]
      await a.take(mine, { ticket: 'new', replaces: first.owner })
      await a.assertHeldBy('lock', ...rest, mine)
      await a.assertWaiting('lock', between)
      await a.give(mine)
      await a.told(between)
      await a.give(between)
      for (const one of rest) await b.give(one)
      await a.assertFree('lock')
    })
  }

  suite.test('who is to replace an owner that has nothing waits behind everybody else', async trial => {
    const [a, b] = await trial.clients(2)
    const [held, first, mine] = [a.claim('lock'), a.claim('lock'), b.claim('lock')]
    await a.take(held)
    await a.queue(first)
    await b.refused(mine, { ticket: 'new', replaces: 'nobody' })
    await a.assertWaiting('lock', first, mine)
  })

  suite.test('the place of the pending run is a place without a run, and who left a note is told', async trial => {
    const [a, b] = await trial.clients(2)
    await a.listens(b)
    const running = await a.executing('lock')
    const [run, adding, mine, next] = [a.claim('lock', STAYS), b.claim('lock'), b.claim('lock'), a.claim('lock')]
    await a.waits(run, { ...FOLLOW, note: 'run' })
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, run)
    await b.refused(mine, { ticket: 'new', replaces: run.owner })
    await a.assertPending('lock', null)
    assert.deepEqual(await b.takesBack(run, adding), { status: 'displaced', by: '' })
    await a.waits(next, { ...FOLLOW, note: 'next' })
    await a.assertWaiting('lock', mine, next)
    await a.give(running)
    await b.told(mine)
    await b.begins(mine, [])
    await a.assertPending('lock', next, 1)
  })

  suite.test('a claim in the place of another is granted at once where it fits and that did not', async trial => {
    const [a, b] = await trial.clients(2)
    await a.listens(b)
    const [reader, writer, mine, last] = [a.shared('lock'), a.claim('lock', STAYS), b.shared('lock'), a.shared('lock')]
    await a.take(reader)
    await a.queue(writer)
    await a.queue(last)
    await b.take(mine, { ticket: 'new', replaces: writer.owner })
    await a.told(last)
    await a.assertHeldBy('lock', reader, mine, last)
  })
}
