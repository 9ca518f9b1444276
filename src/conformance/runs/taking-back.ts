import assert from 'node:assert/strict'
import type { Claim } from '../../backend.js'
import { LONG_MS, type TrialClient } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

const FOLLOW = { running: 'follow', pending: 'follow' } as const

/** What a trigger learns of the note that it left with a run, of which nobody knows whether its owner will begin it. */
export function takingBack(suite: Suite): void {
  suite.test('a note that the owner of the run was told of stays, and who takes it back is told so', async trial => {
    const [a, b] = await trial.clients(2)
    const [run, adding, never] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    await a.starts(run, { begins: true, note: 'run' })
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, run)
    const left = [
      [run, 'run'],
      [adding, 'adding'],
    ] as const
    await a.begins(run, left)
    for (let i = 0; i < 2; i += 1) await assertBack(b, run, adding, 'adding')
    await assertBack(b, run, never, null)
    await a.begins(run, left)
    await a.give(run)
    await assertOver(b, run, adding, 'lost')
  })

  suite.test('a note that is taken back is not told to the run, which nobody adds to any more', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [run, first, adding, next] = [a.claim('lock'), b.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.starts(run, { begins: true, note: 'run' })
    await b.meets(first, { ...FOLLOW, note: 'first' }, run)
    await c.meets(adding, { ...FOLLOW, note: 'adding' }, run)
    for (let i = 0; i < 2; i += 1) await assertBack(c, run, adding, null)
    await a.assertPending('lock', null)
    await a.assertHeldBy('lock', run)
    await c.waits(next, { ...FOLLOW, note: 'next' })
    await a.assertPending('lock', next, 1)
    const left = [
      [run, 'run'],
      [first, 'first'],
    ] as const
    await a.begins(run, left)
    await assertBack(b, run, first, 'first')
    await a.begins(run, left)
    await a.give(run)
    await assertOver(b, run, first, 'lost')
  })

  suite.test('of a run that ended, and whose owner had not begun it, word is kept', async trial => {
    const [a, b, c] = await trial.clients(3)
    const cases: readonly [string, (run: Claim, adding: Claim) => Promise<unknown>][] = [
      ['released', run => a.give(run)],
      ['taken back before', (run, adding) => assertBack(b, run, adding, null).then(() => a.give(run))],
      ['without', run => c.starts(c.claim(run.name), { without: run.owner })],
    ]
    for (const [name, end] of cases) {
      const [run, adding] = [a.claim(name), b.claim(name)]
      await a.starts(run, { begins: true, note: 'run' })
      await b.meets(adding, { ...FOLLOW, note: 'adding' }, run)
      await end(run, adding)
      for (let i = 0; i < 2; i += 1) await assertOver(b, run, adding, 'displaced')
      await a.beginsNot(run, `${name}: it is over`)
    }
  })

  suite.test('the word is of the last run of this owner, and tells its trigger nothing', async trial => {
    const [a, b] = await trial.clients(2)
    const [run, adding, again] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    for (const other of [adding, again]) {
      await a.starts(run, { begins: true, note: 'run' })
      await b.meets(other, { ...FOLLOW, note: 'other' }, run)
      if (other === again)
        await a.begins(run, [
          [run, 'run'],
          [again, 'other'],
        ])
      await a.give(run)
      await assertOver(b, run, other, other === again ? 'lost' : 'displaced')
    }
  })

  suite.test('a run of which nobody left any note ends without a word', async trial => {
    const [a, b] = await trial.clients(2)
    const [alone, other] = [a.claim('lock'), b.claim('lock')]
    await a.starts(alone, { begins: true, note: 'alone' })
    await a.give(alone)
    await assertOver(b, alone, other, 'lost')
  })
}

/** The same of a run that waits: it is closed, and keeps its place. */
export function closing(suite: Suite): void {
  suite.test('a note is taken back from a pending run that waits, which nobody adds to any more', async trial => {
    const [a, b, c] = await trial.clients(3)
    const running = await a.executing('lock')
    const [run, first, adding, next] = [a.claim('lock'), b.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.waits(run, { ...FOLLOW, note: 'run' })
    await b.meets(first, { ...FOLLOW, note: 'first' }, run)
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, run)
    for (let i = 0; i < 2; i += 1) await assertBack(b, run, adding, null)
    await a.beginsNot(run, 'it waits')
    await a.assertPending('lock', null)
    await c.waits(next, { ...FOLLOW, note: 'next' })
    await a.assertWaiting('lock', run, next)
    await a.assertPending('lock', next, 1)
    await a.give(running)
    await a.told(run)
    await assertBack(b, run, adding, null)
    const left = [
      [run, 'run'],
      [first, 'first'],
    ] as const
    await a.begins(run, left)
    await assertBack(b, run, first, 'first')
    await a.begins(run, left)
    await a.give(run)
    await assertOver(b, run, first, 'lost')
    await c.told(next)
    await c.begins(next, [[next, 'next']])
  })

  suite.test('of a closed run that waits nobody takes the place, and no debounce puts it off', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [run, adding, next] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    const displaces = { running: 'displace', pending: 'displace' } as const
    const { ticket } = await a.waits(run, { ...FOLLOW, debounce: { waitMs: LONG_MS, maxWaitMs: LONG_MS } })
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, run)
    await assertBack(b, run, adding, null)
    assert.equal((await a.beat(run, ticket)).status, 'granted')
    await c.waits(next, displaces)
    await a.assertHeldBy('lock', run)
    await a.assertWaiting('lock', next)
    const [behind, last] = [a.claim('other'), b.claim('other')]
    await a.executing('other')
    await a.waits(behind, FOLLOW)
    await assertBack(b, behind, adding, null)
    await b.waits(last, displaces)
    await a.assertWaiting('other', behind, last)
  })

  suite.test('of a closed run that waits, and ends, word is kept', async trial => {
    const [a, b] = await trial.clients(2)
    const ends: readonly [string, (run: Claim) => Promise<unknown>][] = [
      ['released', run => a.giveNothing(run)],
      ['without', run => a.trigger(a.claim(run.name), { ...FOLLOW, without: run.owner })],
    ]
    for (const [name, end] of ends) {
      await a.executing(name)
      const [run, adding] = [a.claim(name), b.claim(name)]
      await a.waits(run, { ...FOLLOW, note: 'run' })
      await b.meets(adding, { ...FOLLOW, note: 'adding' }, run)
      await assertBack(b, run, adding, null)
      await end(run)
      for (let i = 0; i < 2; i += 1) await assertOver(b, run, adding, 'displaced')
    }
  })

  suite.test('a run that waits behind the pending one can be closed, and never becomes pending', async trial => {
    const [a, b] = await trial.clients(2)
    const running = await a.executing('lock')
    const [pending, closed, last, adding] = [a.claim('lock'), a.claim('lock'), a.claim('lock'), b.claim('lock')]
    const waits = { running: 'wait', pending: 'wait', begins: true } as const
    await a.waits(pending, { ...waits, note: 'pending' })
    await a.waits(closed, { ...waits, note: 'closed' })
    await a.waits(last, { ...waits, note: 'last' })
    for (let i = 0; i < 2; i += 1) await assertBack(b, closed, adding, null)
    await a.assertPending('lock', pending, 1)
    await a.give(running)
    await a.told(pending)
    await a.begins(pending, [[pending, 'pending']])
    await a.assertPending('lock', null)
    await a.give(pending)
    await a.told(closed)
    await a.assertPending('lock', last, 1)
    await a.begins(closed, [[closed, 'closed']])
    await a.assertWaiting('lock', last)
  })

  suite.test('a run keeps of several that share the lock what is its own, closed while it waited', async trial => {
    const [a, b] = await trial.clients(2)
    const [held, closed, last] = [a.shared('lock', 2), a.shared('lock', 2), a.shared('lock', 2)]
    const [also, adding] = [a.shared('lock', 2), b.shared('lock', 2)]
    const waits = { running: 'wait', pending: 'wait', begins: true } as const
    for (const one of [held, also]) await a.starts(one, { begins: true })
    for (const one of [held, also]) await a.begins(one, [])
    await a.waits(closed, { ...waits, note: 'closed' })
    await a.waits(last, { ...waits, note: 'last' })
    await assertBack(b, closed, adding, null)
    for (const one of [held, also]) await a.give(one)
    for (const one of [closed, last]) await a.told(one)
    await a.begins(closed, [[closed, 'closed']])
    await a.assertPending('lock', last, 1)
    await a.begins(last, [[last, 'last']])
  })

  suite.test('a claim that waits and begins no run goes on waiting', async trial => {
    const [a, b] = await trial.clients(2)
    const [held, waiting, adding] = [a.claim('lock'), b.claim('lock'), a.claim('lock')]
    await a.take(held)
    await b.queue(waiting)
    await assertBack(a, waiting, adding, null)
    await a.assertWaiting('lock', waiting)
    await a.give(held)
    await b.told(waiting)
    await b.begins(waiting, [])
    await b.give(waiting)
    await assertOver(a, waiting, adding, 'lost')
  })
}

/** @param text of the note that its run's owner was told of; `null`: it was taken back */
async function assertBack(client: TrialClient, run: Claim, by: Claim, text: string | null): Promise<void> {
  const answer = await client.takesBack(run, by)
  assert.ok(answer.status === 'begun', `${run.owner} is held: ${answer.status}`)
  assert.deepEqual(answer.notes, text === null ? [] : [{ owner: by.owner, text }])
}

async function assertOver(client: TrialClient, run: Claim, by: Claim, status: 'lost' | 'displaced'): Promise<void> {
  const answer = await client.takesBack(run, by)
  assert.deepEqual(answer, status === 'lost' ? { status } : { status, by: '' })
}
