import assert from 'node:assert/strict'
import type { Suite } from '../trial/suite.js'

const SHORT_MS = 200

/** Each shared claim is judged by its own limit, so that two versions of a program can run side by side. */
export function limits(suite: Suite): void {
  suite.test('a claim with a higher limit joins those with a lower one, and not the other way round', async trial => {
    const [a, b] = await trial.clients(2)
    const [old, new1, new2] = [a.shared('lock', 1), b.shared('lock', 3), b.shared('lock', 3)]
    await a.take(old)
    await b.take(new1)
    await a.refused(a.shared('lock', 1))
    await a.refused(a.shared('lock', 2))
    await b.take(new2)
    await b.refused(b.shared('lock', 3))
    await b.assertHeldBy('lock', old, new1, new2)
    await b.give(new1)
    await b.give(new2)
    await a.refused(a.shared('lock', 1))
    await a.give(old)
    const again = a.shared('lock', 1)
    await a.take(again)
    await a.assertHeldBy('lock', again)
  })

  suite.test('a claim without a limit joins those with one, and counts for them', async trial => {
    const [a, b] = await trial.clients(2)
    const [counted, reader] = [a.shared('lock', 2), b.shared('lock')]
    await a.take(counted)
    await b.take(reader)
    await a.refused(a.shared('lock', 2))
    await b.assertHeldBy('lock', counted, reader)
  })

  suite.test('a claim that waits keeps its own limit', async trial => {
    const [a, b] = await trial.clients(2)
    const holders = [a.shared('lock', 3), a.shared('lock', 3), a.shared('lock', 3)] as const
    for (const holder of holders) await a.take(holder)
    const [narrow, wide] = [b.shared('lock', 1), b.shared('lock', 4)]
    await b.queue(narrow)
    await b.queue(wide)
    await a.give(holders[0])
    await a.give(holders[1])
    // The first in the queue waits for the lock to be empty, and nobody passes it.
    await b.assertHeldBy('lock', holders[2])
    await b.assertWaiting('lock', narrow, wide)
    await a.give(holders[2])
    await b.told(narrow)
    await b.told(wide)
    await b.assertHeldBy('lock', narrow, wide)
  })

  suite.test('inspect shows the limit of each holder and of each that waits', async trial => {
    const [a, b] = await trial.clients(2)
    for (const limit of [2, 5]) await a.take(a.shared('lock', limit))
    const waiting = [b.shared('lock', 1), b.claim('lock'), b.shared('lock'), b.shared('lock', 7)]
    for (const claim of waiting) await b.queue(claim)
    const state = await b.state('lock')
    assert.deepEqual(
      state.holders.map(({ limit }) => limit),
      [2, 5],
      'the limits of the holders',
    )
    assert.deepEqual(
      state.waiters.map(({ limit }) => limit),
      [1, null, null, 7],
      'the limits of those that wait',
    )
  })

  suite.test('exclusive claims do not mind a limit, nor change it', async trial => {
    const [a, b] = await trial.clients(2)
    const [shared, writer, next] = [a.shared('lock', 2), b.claim('lock'), a.shared('lock', 3)]
    await a.take(shared)
    await b.refused(b.claim('lock'))
    await b.queue(writer)
    await a.queue(next)
    await a.give(shared)
    await b.told(writer)
    await a.assertHeldBy('lock', writer)
    await b.give(writer)
    await a.told(next)
    await a.assertHeldBy('lock', next)
  })

  suite.test('an exclusive holder and a semaphore keep each other out', async trial => {
    const [a, b] = await trial.clients(2)
    const [writer, shared] = [a.claim('lock'), b.shared('lock', 2)]
    await a.take(writer)
    await b.refused(shared)
    await a.give(writer)
    await b.take(shared)
    await a.refused(writer)
    await a.assertHeldBy('lock', shared)
  })

  suite.test('a holder that ran out does not count', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.shared('lock', 5, { ttlMs: SHORT_MS }), b.shared('lock', 1)]
    await a.take(first)
    await trial.outlast(SHORT_MS)
    await b.take(second)
    await a.assertHeldBy('lock', second)
  })
}
