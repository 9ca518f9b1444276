import assert from 'node:assert/strict'
import { LONG_MS } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'
import { assertSeen } from './seen.js'

/** For how long it is kept, where a test outlasts it: a slow machine makes some calls before that. */
const KEEP_MS = 4_000
const DISPLACE = { running: 'displace', pending: 'displace', begins: true } as const

/** What becomes of a run whose place another takes. */
export function displacing(suite: Suite): void {
  for (const granted of [false, true]) {
    const state = granted ? 'was granted and has not begun' : 'waits'

    suite.test(`who watches a run that ${state} is told by whom it was displaced`, async trial => {
      const [a, b, c] = await trial.clients(3)
      if (!granted) await a.executing('lock')
      const [first, second] = [a.claim('lock'), b.claim('lock')]
      await a.trigger(first, DISPLACE)
      await c.sees(first, 'live')
      await b.trigger(second, DISPLACE)
      await c.ended(first)
      await c.sees(first, { by: second })
      await c.sees(first, { by: second })
      await c.sees(second, 'live')
      assert.equal(c.endings.length, 1)
    })

    suite.test(`the owner of a run that ${state} is told so, whatever it asks`, async trial => {
      const [a, b] = await trial.clients(2)
      if (!granted) await a.executing('lock')
      const [first, second] = [a.claim('lock'), b.claim('lock')]
      const before = await a.trigger(first, DISPLACE)
      const after = await b.trigger(second, DISPLACE)
      if (before.status === 'granted' && after.status === 'granted') {
        assert.ok(after.fence > before.fence, `the fence ${after.fence} should be above ${before.fence}`)
      } else assert.deepEqual([before.status, after.status], ['busy', 'busy'])
      for (const answer of [await a.begin(first), await a.trigger(first, DISPLACE), await a.trigger(first)]) {
        assert.deepEqual({ ...answer }, { status: 'displaced', by: second.owner }, `what ${first.owner} is told`)
      }
      await a.lost(first, `${first.owner} was displaced`)
      await a.giveNothing(first, { text: 'late', keepMs: LONG_MS })
      await b.sees(first, { by: second })
      await b.assertPending('lock', second)
    })
  }

  suite.test('a run that was displaced does not come back into the queue by asking with its ticket', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [first, second] = [a.claim('lock'), b.claim('lock')]
    const { ticket } = await a.waits(first, DISPLACE)
    await b.waits(second, DISPLACE)
    for (const holder of [run, null]) {
      const answer = await a.beat(first, ticket)
      assert.ok(answer.status === 'busy', `${first.owner} was displaced: ${answer.status}`)
      assert.equal(answer.ticket, null, `${first.owner} has no place any more`)
      await a.assertWaiting('lock', ...(holder === null ? [] : [second]))
      if (holder === null) continue
      await b.listens(a)
      await a.give(run)
      await b.told(second)
      await b.renewed(second)
    }
    await a.assertHeldBy('lock', second)
  })

  suite.test('it is kept for its time that a run was displaced, and not longer', async trial => {
    const [a, b] = await trial.clients(2)
    await a.executing('lock')
    const [first, second, third] = [a.claim('lock'), a.claim('lock'), a.claim('lock')]
    await a.waits(first, DISPLACE)
    await a.waits(second, { ...DISPLACE, keepMs: KEEP_MS })
    await a.waits(third, DISPLACE)
    await b.sees(first, { by: second })
    await trial.outlast(KEEP_MS)
    await b.sees(first, 'gone')
    await a.beginsNot(first, `it is not kept any more that ${first.owner} was displaced`)
    await b.sees(second, { by: third })
  })

  suite.test('the notes of a run go with it, and who left one leaves it anew', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [first, adding, second] = [a.claim('lock'), b.claim('lock'), a.claim('lock')]
    await a.waits(first, { ...DISPLACE, note: 'first' })
    await b.meets(adding, { pending: 'follow', note: 'adding' }, first)
    await a.waits(second, { ...DISPLACE, note: 'second' })
    await a.assertPending('lock', second, 1)
    await b.meets(adding, { pending: 'follow', note: 'adding' }, second)
    await a.give(run)
    await a.told(second)
    await a.begins(second, [
      [second, 'second'],
      [adding, 'adding'],
    ])
  })

  suite.test('a displacing trigger sent again displaces nobody, least of all itself', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [first, second] = [a.claim('lock'), b.claim('lock')]
    await a.waits(first, DISPLACE)
    const { ticket } = await b.waits(second, { ...DISPLACE, note: 'second' })
    const again = await b.waits(second, { ...DISPLACE, note: 'second' })
    assert.equal(again.ticket, ticket)
    assertSeen(again, { running: run })
    await a.assertPending('lock', second, 1)
    await b.sees(second, 'live')
    const [granted, next] = [a.claim('other'), b.claim('other')]
    await a.starts(granted, DISPLACE)
    await b.starts(next, DISPLACE)
    await b.starts(next, DISPLACE)
    await a.assertHeldBy('other', next)
    await a.assertPending('other', next)
  })

  suite.test('a claim that takes a granted place and does not begin is no pending run', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second, third] = [a.claim('lock'), b.claim('lock'), a.claim('lock')]
    await a.starts(first, DISPLACE)
    await b.starts(second, { ...DISPLACE, begins: false })
    await a.assertPending('lock', null)
    assertSeen(await a.waits(third, DISPLACE), { running: second })
    await a.assertHeldBy('lock', second)
  })

  suite.test('of several that hold the lock only the pending run is displaced', async trial => {
    const [a, b] = await trial.clients(2)
    const [run, first, second] = [a.shared('lock', 2), a.shared('lock', 2), b.shared('lock', 2)]
    await a.starts(run)
    await a.starts(first, DISPLACE)
    await b.starts(second, DISPLACE)
    await a.assertHeldBy('lock', run, second)
    await a.assertPending('lock', second)
    await a.sees(run, 'live')
    await a.sees(first, { by: second })
  })

  suite.test('a claim that does not fit where it displaced another waits before everybody', async trial => {
    const [a, b] = await trial.clients(2)
    const [run, first, behind, second] = [
      a.shared('lock', 2),
      a.shared('lock', 2),
      a.shared('lock', 2),
      b.claim('lock'),
    ]
    await a.starts(run)
    await a.starts(first, DISPLACE)
    await a.queue(behind)
    await b.listens(a)
    await b.waits(second, DISPLACE)
    await a.assertHeldBy('lock', run)
    await a.assertWaiting('lock', second, behind)
    await a.sees(first, { by: second })
    await a.give(run)
    await b.told(second)
    await a.assertHeldBy('lock', second)
    await a.assertWaiting('lock', behind)
  })
}
