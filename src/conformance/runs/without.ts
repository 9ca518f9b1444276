import { LONG_MS } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'
import { assertSeen } from './seen.js'

/** A trigger that knows that an owner is dead. */
export function without(suite: Suite): void {
  suite.test('the lock of an owner that is dead is granted, and who watched it is told', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [dead, mine] = [a.claim('lock', { ttlMs: null }), b.claim('lock')]
    await a.starts(dead)
    await c.sees(dead, 'live')
    assertSeen(await b.starts(mine, { without: dead.owner }), {})
    await c.ended(dead)
    await c.sees(dead, 'gone')
    await a.lost(dead, `${dead.owner} is taken for dead`)
    await a.giveNothing(dead, { text: 'late', keepMs: LONG_MS })
    assertSeen(await b.starts(mine, { without: dead.owner }), {})
    await c.assertHeldBy('lock', mine)
  })

  suite.test('who waits for the lock of a dead owner comes first', async trial => {
    const [a, b] = await trial.clients(2)
    const [dead, next, mine] = [a.claim('lock'), b.claim('lock'), a.claim('lock')]
    await a.starts(dead)
    await b.queue(next)
    assertSeen(await a.meets(mine, { without: dead.owner }), { running: next })
    await b.told(next)
    await a.assertHeldBy('lock', next)
    await a.assertWaiting('lock')
  })

  suite.test('a dead owner that waits leaves the queue, and nobody else does', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [dead, next, mine] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    // Else it would ask again for the one that is dead.
    await a.listens(b)
    await a.queue(dead)
    await b.queue(next)
    assertSeen(await b.waits(mine, { running: 'wait', without: dead.owner }), { running: run, waiting: next })
    await a.assertHeldBy('lock', run)
    await a.assertWaiting('lock', next, mine)
  })

  suite.test('a pending run that is dead is none any more, and its notes are gone', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [dead, adding, mine] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    await a.listens(b)
    await a.waits(dead, { running: 'follow', note: 'dead' })
    await b.meets(adding, { pending: 'follow', note: 'adding' }, dead)
    const options = { running: 'follow', pending: 'follow', note: 'mine', without: dead.owner } as const
    assertSeen(await b.waits(mine, options), { running: run })
    await a.assertPending('lock', mine, 1)
    await b.waits(mine, options)
    await b.listens(a)
    await a.give(run)
    await b.told(mine)
    await b.begins(mine, [[mine, 'mine']])
  })

  suite.test('a granted run that is dead makes room for one more', async trial => {
    const [a, b] = await trial.clients(2)
    const [dead, other, mine] = [a.shared('lock', 2), a.shared('lock', 2), b.shared('lock', 2)]
    await a.starts(dead, { begins: true, note: 'dead' })
    await a.starts(other)
    await b.starts(mine, { begins: true, note: 'mine', without: dead.owner })
    await a.assertHeldBy('lock', other, mine)
    await b.begins(mine, [[mine, 'mine']])
  })

  suite.test('an owner that has nothing here changes nothing', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    await a.executing('other', { owner: 'dead' })
    assertSeen(await b.meets(b.claim('lock'), { without: 'dead' }), { running: run })
    assertSeen(await b.starts(b.claim('free'), { without: 'dead' }), {})
    await b.assertHeldBy('lock', run)
    await b.assertHeldBy('other', { name: 'other', owner: 'dead' })
  })
}
