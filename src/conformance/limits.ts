import assert from 'node:assert/strict'
import type { Claim } from '../backend.js'
import { shown, type TrialClient } from './client.js'
import type { Suite } from './trial.js'

const SHORT_MS = 200

/** Whoever shares a lock agrees on its limit. */
export function limits(suite: Suite): void {
  suite.test('another limit than that of the holders is refused, and changes nothing', async trial => {
    const [a, b] = await trial.clients(2)
    for (const [limit, others] of [
      [2, [1, 3, null]],
      [null, [1, 2]],
    ] as const) {
      const mine = a.shared(`limit ${limit}`, limit)
      await a.take(mine)
      for (const other of others) {
        const claim = b.shared(mine.name, other)
        await assertMismatch(b, claim, limit)
        await assertMismatch(b, claim, limit, 'new')
        await b.giveNothing(claim)
      }
      await b.assertHeldBy(mine.name, mine)
      await b.assertWaiting(mine.name)
      assert.equal((await b.state(mine.name)).limit, limit, 'the limit stands')
    }
  })

  suite.test('a queued claim fixes the limit, a refused one does not', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, queued] = [a.claim('lock'), b.shared('lock', 3)]
    await a.take(holder)
    await b.refused(b.shared('lock', 7))
    await b.queue(queued)
    await assertMismatch(b, b.shared('lock', 7), 3)
    await a.assertHeldBy('lock', holder)
    await a.assertWaiting('lock', queued)
    assert.equal((await a.state('lock')).limit, 3, 'the limit of the claim that waits stands')
  })

  suite.test('exclusive claims do not mind the limit, nor change it', async trial => {
    const [a, b] = await trial.clients(2)
    const [shared, writer] = [a.shared('lock', 2), b.claim('lock')]
    await a.take(shared)
    await b.refused(b.claim('lock'))
    await b.queue(writer)
    await assertMismatch(b, b.shared('lock', 3), 2)
    await a.give(shared)
    await b.pushed(writer)
    await a.assertHeldBy('lock', writer)
    await assertMismatch(a, a.shared('lock', 3), 2)
    await a.assertHeldBy('lock', writer)
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

  suite.test('when the lock was released by all, a new limit may come', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.shared('lock', 2), b.shared('lock', 5)]
    await a.take(first)
    await a.give(first)
    await b.take(second)
    await a.assertHeldBy('lock', second)
    assert.equal((await a.state('lock')).limit, 5, 'the new limit stands')
    await assertMismatch(a, a.shared('lock', 2), 5)
  })

  suite.test('when every holder ran out, a new limit may come', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.shared('lock', 2, { ttlMs: SHORT_MS }), b.shared('lock', 5)]
    await a.take(first)
    await trial.outlast(SHORT_MS)
    await b.take(second)
    await a.assertHeldBy('lock', second)
  })
}

async function assertMismatch(client: TrialClient, claim: Claim, stands: number | null, ticket?: 'new'): Promise<void> {
  const reply = await client.backend.acquire(claim, ticket === undefined ? {} : { ticket })
  const expected = { status: 'limit', limit: stands }
  const message = `${claim.owner} with limit ${claim.limit} should be told that ${stands} stands, not ${shown(reply)}`
  assert.deepEqual({ ...reply }, expected, message)
}
