import assert from 'node:assert/strict'
import type { Suite } from '../trial/suite.js'

/** Who is granted a lock, and who is not. */
export function grantRule(suite: Suite): void {
  suite.test('an exclusive claim is alone', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.claim('lock')
    await a.take(mine)
    const busy = await b.refused(b.claim('lock'))
    assert.equal(busy.holder, mine.owner, 'the holder that stands in the way is named')
    await b.refused(b.shared('lock'))
    await b.refused(b.shared('lock', 5))
    await a.refused(a.claim('lock'))
    await b.assertHeldBy('lock', mine)
    await b.assertWaiting('lock')
  })

  suite.test('locks of different names do not touch', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.claim('first'), b.claim('second')]
    await a.take(first)
    await b.take(second)
    await a.assertHeldBy('first', first)
    await a.assertHeldBy('second', second)
  })

  suite.test('a released lock is free for the next', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, next] = [a.claim('lock'), b.claim('lock')]
    await a.take(mine)
    await a.give(mine)
    await a.assertFree('lock')
    await b.take(next)
    await a.assertHeldBy('lock', next)
  })

  suite.test('shared claims without a limit hold the lock together', async trial => {
    const [a, b] = await trial.clients(2)
    const readers = [a.shared('lock'), b.shared('lock'), a.shared('lock'), b.shared('lock')]
    for (const reader of readers) await a.take(reader)
    await b.assertHeldBy('lock', ...readers)
    await b.refused(b.claim('lock'))
    await b.assertHeldBy('lock', ...readers)
  })

  suite.test('shared claims hold the lock up to their limit', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second, third] = [a.shared('lock', 2), b.shared('lock', 2), b.shared('lock', 2)]
    await a.take(first)
    await b.take(second)
    const busy = await b.refused(third)
    assert.ok([first.owner, second.owner].includes(busy.holder ?? ''), `${busy.holder} should be one of the holders`)
    await a.give(first)
    await b.take(third)
    await a.assertHeldBy('lock', second, third)
  })

  suite.test('a limit of one is as good as exclusive', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.shared('lock', 1)
    await a.take(mine)
    await b.refused(b.shared('lock', 1))
    await b.assertHeldBy('lock', mine)
  })

  suite.test('a writer waits for all readers', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [first, second, writer] = [a.shared('lock'), b.shared('lock'), c.claim('lock')]
    await a.take(first)
    await b.take(second)
    await c.queue(writer)
    await a.give(first)
    await a.assertHeldBy('lock', second)
    await a.assertWaiting('lock', writer)
    await b.give(second)
    await c.told(writer)
    await a.assertHeldBy('lock', writer)
  })

  suite.test('a reader waits behind a waiting writer', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [reader, writer, late] = [a.shared('lock'), b.claim('lock'), c.shared('lock')]
    await a.take(reader)
    await b.queue(writer)
    await c.queue(late)
    await a.assertHeldBy('lock', reader)
    await a.assertWaiting('lock', writer, late)
    await a.give(reader)
    await b.told(writer)
    await a.assertHeldBy('lock', writer)
    await b.give(writer)
    await c.told(late)
    await a.assertHeldBy('lock', late)
  })

  suite.test('a try never overtakes a claim that waits', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [reader, writer] = [a.shared('lock'), b.claim('lock')]
    await a.take(reader)
    await b.queue(writer)
    await c.refused(c.shared('lock'))
    await c.refused(c.claim('lock'))
    await c.assertHeldBy('lock', reader)
    await c.assertWaiting('lock', writer)
  })

  suite.test('a refused try leaves nothing behind', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.claim('lock')
    await a.take(mine)
    await b.refused(b.claim('lock'))
    await b.refused(b.shared('lock', 3))
    await a.give(mine)
    await a.assertFree('lock')
    assert.deepEqual(b.grants, [], 'nothing is granted to a claim that was only tried')
  })

  suite.test('consecutive readers at the head are granted together, and no further', async trial => {
    const [a, b, c] = await trial.clients(3)
    const holder = a.claim('lock')
    const readers = [b.shared('lock'), c.shared('lock'), b.shared('lock')] as const
    const [writer, late] = [c.claim('lock'), b.shared('lock')]
    await a.take(holder)
    await b.queue(readers[0])
    await c.queue(readers[1])
    await b.queue(readers[2])
    await c.queue(writer)
    await b.queue(late)
    await a.give(holder)
    await b.told(readers[0])
    await c.told(readers[1])
    await b.told(readers[2])
    await a.assertHeldBy('lock', ...readers)
    await a.assertWaiting('lock', writer, late)
  })

  suite.test('as many waiting shared claims are granted as the limit allows', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.shared('lock', 2), a.shared('lock', 2)]
    const waiting = [b.shared('lock', 2), b.shared('lock', 2), b.shared('lock', 2)] as const
    await a.take(first)
    await a.take(second)
    for (const claim of waiting) await b.queue(claim)
    await a.give(first)
    await b.told(waiting[0])
    await a.assertHeldBy('lock', second, waiting[0])
    await a.assertWaiting('lock', waiting[1], waiting[2])
    await a.give(second)
    await b.told(waiting[1])
    await a.assertHeldBy('lock', waiting[0], waiting[1])
    await a.assertWaiting('lock', waiting[2])
  })

  suite.test('the limit holds when an exclusive holder makes way for many', async trial => {
    const [a, b] = await trial.clients(2)
    const holder = a.claim('lock')
    const waiting = [b.shared('lock', 2), b.shared('lock', 2), b.shared('lock', 2)] as const
    await a.take(holder)
    for (const claim of waiting) await b.queue(claim)
    await a.give(holder)
    await b.told(waiting[0])
    await b.told(waiting[1])
    await a.assertHeldBy('lock', waiting[0], waiting[1])
    await a.assertWaiting('lock', waiting[2])
  })
}
