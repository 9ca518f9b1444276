import assert from 'node:assert/strict'
import type { TriggerAction } from '../../backend.js'
import type { Suite } from '../trial/suite.js'
import { assertSeen } from './seen.js'

/** A ttl that is meant to run out within its test. */
const SHORT_MS = 200
const ACTIONS: readonly TriggerAction[] = ['meet', 'wait', 'follow', 'displace']

/** When a trigger is granted, as a claim is, and what it saw. */
export function granting(suite: Suite): void {
  suite.test('a free lock is granted, whatever is to be done where it is not', async trial => {
    const [a, b] = await trial.clients(2)
    for (const action of ACTIONS) {
      for (const begins of [true, false]) {
        const mine = a.claim(`${action} ${begins}`)
        assertSeen(await a.starts(mine, { running: action, pending: action, begins, note: 'mine' }), {})
        await b.assertHeldBy(mine.name, mine)
        await b.assertWaiting(mine.name)
      }
    }
  })

  suite.test('a run that begins is pending until then, also where it was granted at once', async trial => {
    const a = await trial.client()
    const [plain, begun] = [a.claim('plain'), a.claim('begun')]
    await a.starts(plain, { note: 'mine' })
    await a.assertPending('plain', null)
    await a.starts(begun, { begins: true, note: 'mine' })
    await a.assertPending('begun', begun, 1)
    await a.begins(begun, [[begun, 'mine']])
    await a.assertPending('begun', null)
    await a.assertHeldBy('begun', begun)
  })

  suite.test('a lock whose holder ran out is granted, with a higher fence', async trial => {
    const [a, b] = await trial.clients(2)
    const [dead, next] = [a.claim('lock', { ttlMs: SHORT_MS }), b.claim('lock')]
    const { fence } = await a.starts(dead, { begins: true, note: 'of the dead' })
    await trial.outlast(SHORT_MS)
    const after = await b.starts(next, { running: 'follow', pending: 'follow', begins: true, note: 'mine' })
    assert.ok(after.fence > fence, `the fence ${after.fence} should be above ${fence}`)
    assertSeen(after, {})
    await a.assertHeldBy('lock', next)
    await b.begins(next, [[next, 'mine']])
  })

  suite.test('a run is held for its ttl and renewed, released and told of as any claim', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, brief] = [a.claim('lock', { meta: 'of mine' }), a.claim('brief', { ttlMs: SHORT_MS })]
    const { fence } = await a.starts(mine)
    await a.starts(brief)
    await a.renewed(mine, fence)
    const [held] = (await b.state('lock')).holders
    assert.equal(held?.meta, 'of mine')
    await trial.outlast(SHORT_MS)
    await a.lost(brief, `${brief.owner} ran out`)
    await b.sees(mine, 'live')
    await a.give(mine, { text: 'done', keepMs: 60_000 })
    await b.ended(mine)
    await b.sees(mine, { text: 'done' })
    await b.assertFree('lock')
  })

  suite.test('shared runs are granted up to their limit', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second, third] = [a.shared('lock', 2), b.shared('lock', 2), a.shared('lock', 2)]
    await a.starts(first)
    await b.starts(second)
    assertSeen(await a.meets(third, {}), { running: first })
    await a.assertHeldBy('lock', first, second)
    await a.give(first)
    await a.starts(third)
    await a.assertHeldBy('lock', second, third)
  })

  suite.test('a run is not granted while somebody waits, even where it fits', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, writer, reader] = [a.shared('lock'), b.claim('lock'), a.shared('lock')]
    await a.take(holder)
    await b.queue(writer)
    assertSeen(await a.meets(reader, {}), { running: holder, waiting: writer })
    assertSeen(await a.waits(reader, { running: 'wait' }), { running: holder, waiting: writer })
    await a.assertWaiting('lock', writer, reader)
  })

  suite.test('a trigger sees the run that executes, the pending one and the first that waits', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [first, second, next, other] = [a.claim('lock'), b.claim('lock'), b.claim('lock'), a.claim('lock')]
    assertSeen(await a.meets(other, {}), { running: run })
    await a.waits(first, { running: 'wait' })
    assertSeen(await b.waits(second, { running: 'wait' }), { running: run, waiting: first })
    assertSeen(await b.waits(next, { running: 'follow' }), { running: run, waiting: first })
    assertSeen(await a.meets(other, {}), { running: run, pending: next, waiting: first })
    await a.giveNothing(first)
    await b.giveNothing(second)
    assertSeen(await a.meets(other, {}), { running: run, pending: next })
  })

  suite.test('a run that was granted and has not begun is seen as the pending one', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.claim('lock')
    await a.starts(mine, { begins: true })
    assertSeen(await b.meets(b.claim('lock'), {}), { pending: mine })
    await a.begins(mine, [])
    assertSeen(await b.meets(b.claim('lock'), {}), { running: mine })
  })

  suite.test('a trigger sent again is answered again, and does not see itself', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, next] = [a.claim('lock'), b.claim('lock')]
    const { fence } = await a.starts(mine, { begins: true })
    const again = await a.starts(mine, { begins: true })
    assert.ok(again.fence >= fence, `the fence ${again.fence} should not be below ${fence}`)
    assertSeen(again, {})
    await a.begins(mine, [])
    const { ticket } = await b.waits(next, { running: 'follow' })
    const repeated = await b.waits(next, { running: 'follow', pending: 'displace' })
    assert.equal(repeated.ticket, ticket, 'it keeps its ticket')
    assertSeen(repeated, { running: mine })
    await a.assertHeldBy('lock', mine)
    await a.assertWaiting('lock', next)
    await a.starts(mine, { begins: true })
    await a.assertPending('lock', next)
  })
}
