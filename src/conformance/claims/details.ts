import assert from 'node:assert/strict'
import { assertFence } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

/** What is noted beside who holds a lock and who waits may be lost: it is never made up, and nobody else gets the lock. */
export function details(suite: Suite, loseDetails: (prefix: string) => Promise<void> | void): void {
  suite.test('who holds the lock still does, and is granted it again with a fence that is no lower', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.claim('lock', { meta: 'lost' })
    const fence = await a.take(mine)
    await loseDetails(trial.prefix)
    await b.refused(b.claim('lock'))
    await b.refused(b.shared('lock'))
    await a.renewed(mine)
    await b.assertHeldBy('lock', mine)
    const again = await a.take(mine)
    assertFence(again)
    assert.ok(again >= fence, `the fence of ${mine.owner}, ${again}, should not be below ${fence}`)
    await a.give(mine)
    await a.assertFree('lock')
  })

  suite.test('a claim that waits is granted with a fence, or comes back and is', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, next] = [a.claim('lock'), b.claim('lock', { meta: 'lost' })]
    const before = await a.take(holder)
    const ticket = await b.queue(next)
    await loseDetails(trial.prefix)
    await a.give(holder)
    const answer = await b.beat(next, ticket)
    assert.ok(answer.status === 'granted', `${next.owner} is alone by now`)
    assertFence(answer.fence)
    assert.ok(answer.fence > before, `the fence of ${next.owner}, ${answer.fence}, should be above ${before}`)
    for (const grant of b.grants) assertFence(grant.fence)
    await a.assertHeldBy('lock', next)
  })
}
