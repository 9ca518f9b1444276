import assert from 'node:assert/strict'
import { LONG_MS } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'
import { assertSeen } from './seen.js'

/** A ttl that is meant to run out within its test, and not before a slow machine has made some calls. */
const SHORT_MS = 4_000
/** One that is meant to run out at once. */
const AT_ONCE_MS = 200

/** From its begin on, nobody adds to a run or takes its place. */
export function beginning(suite: Suite): void {
  suite.test('who triggers after the begin finds the run executing, and makes the next', async trial => {
    const [a, b] = await trial.clients(2)
    for (const action of ['follow', 'displace'] as const) {
      const [run, next] = [a.claim(action), b.claim(action)]
      await a.starts(run, { begins: true, note: 'run' })
      await a.begins(run, [[run, 'run']])
      const answer = await b.waits(next, { running: action, pending: 'meet', note: 'next' })
      assertSeen(answer, { running: run })
      await a.assertHeldBy(action, run)
      await a.assertWaiting(action, next)
      await a.assertPending(action, next, 1)
      await a.begins(run, [[run, 'run']])
      await b.listens(a)
      await a.give(run)
      await b.told(next)
      await b.begins(next, [[next, 'next']])
    }
  })

  suite.test('a trigger is told whether its run has to begin, also when it is sent again', async trial => {
    const [a, b] = await trial.clients(2)
    const run = a.claim('lock')
    assert.equal((await a.starts(run, { begins: true })).pending, true, 'it was asked for')
    await a.begins(run, [])
    assert.equal((await a.starts(run, { begins: true })).pending, false, 'it has begun')
    const next = b.claim('lock')
    await b.waits(next, { running: 'follow', note: 'next' })
    await b.listens(a)
    await a.give(run)
    await b.told(next)
    assert.equal(
      (await b.starts(next, { running: 'follow', note: 'next' })).pending,
      true,
      'it was pending when granted',
    )
    await b.begins(next, [[next, 'next']])
    assert.equal((await b.starts(next, { running: 'follow', note: 'next' })).pending, false, 'it has begun')
    assert.equal((await a.starts(a.claim('other'))).pending, false, 'it was not asked for')
    // A run in the place of one that was granted and had not begun.
    const [granted, newer] = [a.claim('third'), b.claim('third')]
    await a.starts(granted, { begins: true })
    assert.equal((await b.starts(newer, { pending: 'displace' })).pending, false, 'it was not asked for')
    await b.give(newer)
  })

  suite.test('what is not held cannot begin', async trial => {
    const [a, b] = await trial.clients(2)
    const [held, brief] = [a.claim('lock'), a.claim('brief')]
    await a.starts(held, { begins: true })
    await a.starts(brief, { begins: true, note: 'brief' })
    const [waiting, stranger] = [b.claim('lock'), b.claim('lock')]
    await b.waits(waiting, { pending: 'wait', begins: true })
    await b.beginsNot(waiting, `${waiting.owner} waits behind ${held.owner}`)
    await b.beginsNot(stranger, `${stranger.owner} never claimed anything`)
    await b.beginsNot(b.claim('free'), 'the lock is free')
    await a.renewed({ ...brief, ttlMs: AT_ONCE_MS })
    await trial.outlast(AT_ONCE_MS)
    await a.beginsNot(brief, `${brief.owner} ran out`)
    await a.begins(held, [])
    await a.give(held)
    await a.beginsNot(held, `${held.owner} was released`)
    await b.told(waiting)
    await b.begins(waiting, [])
  })

  suite.test('a pending run that waits cannot begin, and stays pending', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const next = b.claim('lock')
    await b.waits(next, { running: 'follow', note: 'next' })
    await b.beginsNot(next, `${next.owner} waits behind ${run.owner}`)
    await a.assertPending('lock', next, 1)
    await b.listens(a)
    await a.give(run)
    await b.told(next)
    await b.begins(next, [[next, 'next']])
  })

  suite.test('a claim that was never pending begins without notes', async trial => {
    const a = await trial.client()
    const [plain, triggered] = [a.claim('plain'), a.claim('triggered')]
    await a.take(plain)
    await a.starts(triggered, { note: 'mine' })
    for (const mine of [plain, triggered]) await a.begins(mine, [])
    await a.assertHeldBy('plain', plain)
  })

  suite.test('a begin does not renew, and a renewal does not begin', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.claim('lock', { ttlMs: SHORT_MS })
    await a.starts(mine, { begins: true, note: 'mine' })
    await a.renewed({ ...mine, ttlMs: LONG_MS })
    await b.assertPending('lock', mine, 1)
    await a.renewed(mine)
    await a.begins(mine, [[mine, 'mine']])
    await trial.outlast(SHORT_MS)
    await a.beginsNot(mine, `${mine.owner} ran out`)
    await b.assertFree('lock')
  })
}
