import assert from 'node:assert/strict'
import { assertBegun, grantedTo } from '../trial/client.js'
import { acquire, begin, release, renew, trigger } from '../trial/steps.js'
import type { Suite } from '../trial/suite.js'
import { assertSeen } from './seen.js'

const FOLLOW = { running: 'follow', pending: 'follow', begins: true } as const

/** Triggers and begins beside other steps in one call. */
export function runLists(suite: Suite): void {
  suite.test('steps of many kinds and locks are answered in their order', async trial => {
    const [a, b] = await trial.clients(2)
    const theirs = await b.executing('met')
    const pending = b.claim('pending')
    await b.starts(pending, { begins: true })
    const [plain, held] = [a.claim('plain'), a.claim('held')]
    await a.take(held)
    const [free, waiting, adding] = [a.claim('free'), a.claim('met'), a.claim('pending')]
    const [one, two, three, four, five, six, seven] = await a.run([
      trigger(free, { ...FOLLOW, note: 'free' }),
      acquire(plain),
      trigger(waiting, FOLLOW),
      begin(held),
      trigger(adding, { ...FOLLOW, note: 'adding' }),
      release(held),
      begin(a.claim('never')),
    ])
    assert.ok(one.status === 'granted')
    grantedTo(plain, two)
    assert.ok(three.status === 'busy' && three.ticket !== null)
    assertSeen(three, { running: theirs })
    assertBegun(held, four, [])
    assert.ok(five.status === 'met' && five.noted === pending.owner)
    assert.deepEqual({ ...six }, { status: 'released', held: true })
    assert.deepEqual({ ...seven }, { status: 'lost' })
    await b.assertHeldBy('free', free)
    await b.assertPending('met', waiting)
    await b.begins(pending, [[adding, 'adding']])
  })

  suite.test('steps of one lock take effect in their order', async trial => {
    const a = await trial.client()
    const [first, adding, second, late] = [a.claim('lock'), a.claim('lock'), a.claim('lock'), a.claim('lock')]
    const [one, two, three, four, five, six] = await a.run([
      trigger(first, { ...FOLLOW, note: 'first' }),
      trigger(adding, { ...FOLLOW, note: 'adding' }),
      begin(first),
      trigger(second, { ...FOLLOW, note: 'second' }),
      trigger(late, { ...FOLLOW, note: 'late' }),
      release(first),
    ])
    assert.equal(one.status, 'granted')
    assert.ok(two.status === 'met' && two.noted === first.owner)
    assertBegun(first, three, [
      [first, 'first'],
      [adding, 'adding'],
    ])
    assert.equal(four.status, 'busy')
    assert.ok(five.status === 'met' && five.noted === second.owner)
    assert.deepEqual({ ...six }, { status: 'released', held: true })
    await a.told(second)
    const [begun, renewed] = await a.run([begin(second), renew(second)])
    assertBegun(second, begun, [
      [second, 'second'],
      [late, 'late'],
    ])
    assert.equal(renewed.status, 'held')
    await a.assertHeldBy('lock', second)
  })

  suite.test('a run is released and the next triggered in one call', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const next = a.claim('lock')
    const [given, granted, begun] = await a.run([release(run), trigger(next, { ...FOLLOW, note: 'next' }), begin(next)])
    assert.equal(given.held, true)
    assert.ok(granted.status === 'granted')
    assertSeen(granted, {})
    assertBegun(next, begun, [[next, 'next']])
    await b.assertHeldBy('lock', next)
    await b.assertPending('lock', null)
  })

  suite.test('a full list of triggers is done as a whole: of many locks, and of one', async trial => {
    const [a, b] = await trial.clients(2)
    const claims = Array.from({ length: a.backend.mostSteps }, (_, i) => a.claim(`lock ${i}`))
    const answers = await a.run(claims.map(claim => trigger(claim, { ...FOLLOW, note: claim.name })))
    for (const [i, answer] of answers.entries()) assert.equal(answer.status, 'granted', `trigger ${i}`)
    for (const [i, answer] of (await a.run(claims.map(claim => begin(claim)))).entries()) {
      const claim = claims[i] ?? a.claim('none')
      assertBegun(claim, answer, [[claim, claim.name]])
    }
    await a.run(claims.map(claim => release(claim)))
    for (const claim of [claims[0], claims.at(-1)]) await b.assertFree(claim?.name ?? '')
    const [first, ...others] = Array.from({ length: b.backend.mostSteps }, () => b.claim('lock'))
    if (first === undefined) return
    const [opened, ...left] = await b.run([first, ...others].map(claim => trigger(claim, { ...FOLLOW, note: 'mine' })))
    assert.equal(opened?.status, 'granted')
    for (const answer of left) assert.ok(answer.status === 'met' && answer.noted === first.owner)
    await b.begins(
      first,
      [first, ...others].map(claim => [claim, 'mine']),
    )
  })
}
