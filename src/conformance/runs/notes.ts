import assert from 'node:assert/strict'
import { ODD_TEXTS } from '../showing/names.js'
import { begin, trigger } from '../trial/steps.js'
import type { Suite } from '../trial/suite.js'

const FOLLOW = { running: 'follow', pending: 'follow' } as const

/** What a run is told by those who triggered it. */
export function notes(suite: Suite): void {
  suite.test('a run begins with the notes in the order they came, from whichever client', async trial => {
    const [a, b, c] = await trial.clients(3)
    const run = await a.executing('lock')
    const pending = a.claim('lock')
    await a.waits(pending, { ...FOLLOW, note: '0' })
    const left: [typeof pending, string][] = [[pending, '0']]
    for (let i = 1; i <= 12; i += 1) {
      const client = [c, b, a][i % 3] ?? a
      const claim = client.claim('lock')
      await client.meets(claim, { ...FOLLOW, note: `${i}` }, pending)
      left.push([claim, `${i}`])
    }
    await a.give(run)
    await a.told(pending)
    await a.begins(pending, left)
  })

  suite.test('a trigger without a note leaves none', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [pending, silent, empty] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    await a.waits(pending, FOLLOW)
    await b.meets(silent, FOLLOW, pending)
    await b.meets(empty, { ...FOLLOW, note: '' }, pending)
    await a.assertPending('lock', pending, 1)
    await a.give(run)
    await a.told(pending)
    await a.begins(pending, [[empty, '']])
  })

  suite.test('a note is any text, and its owner any', async trial => {
    const [a, b] = await trial.clients(2)
    const pending = a.claim('lock')
    await a.starts(pending, { begins: true })
    const texts = [...ODD_TEXTS, 'x'.repeat(64 * 1024)]
    const left = texts.map((text, i) => [b.claim('lock', i < ODD_TEXTS.length ? { owner: text } : {}), text] as const)
    for (const [claim, note] of left) await b.meets(claim, { ...FOLLOW, note }, pending)
    await a.begins(pending, left)
  })

  suite.test('a trigger sent again leaves its note once, before the run has begun and afterwards', async trial => {
    const [a, b] = await trial.clients(2)
    const [pending, adding] = [a.claim('lock'), b.claim('lock')]
    const mine = { ...FOLLOW, begins: true, note: 'mine' }
    await a.starts(pending, mine)
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, pending)
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, pending)
    await a.starts(pending, mine)
    await a.assertPending('lock', pending, 2)
    const left = [
      [pending, 'mine'],
      [adding, 'adding'],
    ] as const
    await a.begins(pending, left)
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, pending)
    await a.starts(pending, mine)
    await a.assertPending('lock', null)
    await a.assertWaiting('lock')
    await a.begins(pending, left)
  })

  suite.test('a run of which a later one is pending begins again with the same notes', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, adding, second, late] = [a.claim('lock'), b.claim('lock'), b.claim('lock'), a.claim('lock')]
    await a.starts(first, { begins: true, note: 'first' })
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, first)
    const left = [
      [first, 'first'],
      [adding, 'adding'],
    ] as const
    await a.begins(first, left)
    await b.waits(second, { ...FOLLOW, note: 'second' })
    await a.meets(late, { ...FOLLOW, note: 'late' }, second)
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, first)
    await a.begins(first, left)
    await b.listens(a)
    await a.give(first)
    await b.told(second)
    await b.begins(second, [
      [second, 'second'],
      [late, 'late'],
    ])
  })

  suite.test('a call whose answer was lost changes nothing when it is sent again', async trial => {
    const [a, b] = await trial.clients(2)
    const [pending, ...adding] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    const opening = [trigger(pending, { begins: true, note: 'mine' })]
    const following = adding.map(claim => trigger(claim, { ...FOLLOW, note: claim.owner }))
    for (let i = 0; i < 2; i += 1) {
      await a.run(opening)
      for (const answer of await b.run(following)) {
        assert.deepEqual([answer.status, 'noted' in answer && answer.noted], ['met', pending.owner])
      }
    }
    const expected = [pending.owner, ...adding.map(({ owner }) => owner)]
    for (let i = 0; i < 2; i += 1) {
      const [answer] = await a.run([begin(pending)])
      assert.ok(answer.status === 'begun')
      assert.deepEqual(
        answer.notes.map(({ owner }) => owner),
        expected,
      )
    }
  })
}
