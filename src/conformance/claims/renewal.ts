import assert from 'node:assert/strict'
import { assertNoted } from '../trial/client.js'
import { renew } from '../trial/steps.js'
import type { Suite } from '../trial/suite.js'

const SHORT_MS = 200

/** Many claims renewed in one call, and what a renewal tells of the fence. */
export function renewal(suite: Suite): void {
  suite.test('each claim of a batch has its own answer, in the order of the claims', async trial => {
    const [a, b] = await trial.clients(2)
    const held = a.claim('held')
    const reader = a.shared('readers', 3)
    const [stolen, thief] = [a.claim('stolen'), b.claim('stolen')]
    const [waiting, holder] = [a.claim('busy'), b.claim('busy')]
    const released = a.claim('released')
    const last = a.claim('last', { ttlMs: null })
    const fences = { held: await a.take(held), reader: await a.take(reader), last: await a.take(last) }
    await a.take(stolen)
    await b.take(thief, { replaces: stolen.owner })
    await b.take(holder)
    await a.queue(waiting)
    await a.take(released)
    await a.give(released)
    const answers = await a.run([released, held, stolen, a.claim('never'), reader, waiting, last].map(c => renew(c)))
    assert.deepEqual(
      answers.map(({ status }) => status),
      ['lost', 'held', 'lost', 'lost', 'held', 'lost', 'held'],
    )
    assertNoted(held, answers[1] as never, fences.held)
    assertNoted(reader, answers[4] as never, fences.reader)
    assertNoted(last, answers[6] as never, fences.last)
    await b.assertHeldBy('stolen', thief)
    await b.assertHeldBy('busy', holder)
    await b.assertHeldBy('held', held)
    await b.assertHeldBy('readers', reader)
    await b.assertFree('released')
    await b.assertFree('never')
  })

  suite.test('each claim of a batch gets its own ttl', async trial => {
    const [a, b] = await trial.clients(2)
    const [brief, lasting, endless] = [a.claim('brief'), a.claim('lasting'), a.claim('endless')]
    for (const claim of [brief, lasting, endless]) await a.take(claim)
    await a.run([renew({ ...brief, ttlMs: SHORT_MS }), renew(lasting), renew({ ...endless, ttlMs: null })])
    await trial.outlast(SHORT_MS)
    await b.assertFree('brief')
    await b.assertHeldBy('lasting', lasting)
    await b.assertHeldBy('endless', endless)
    assert.equal((await b.state('endless')).holders[0]?.expiresAtMs, null, `${endless.owner} never runs out`)
  })

  suite.test('a thousand claims are renewed in full lists', async trial => {
    const [a, b] = await trial.clients(2)
    const claims = Array.from({ length: 1_000 }, (_, i) => a.claim(`lock ${i}`))
    await Promise.all(claims.map(claim => a.take(claim)))
    const gone = claims.filter((_, i) => i % 10 === 0)
    await Promise.all(gone.map(claim => a.give(claim)))
    const { mostSteps } = a.backend
    for (let from = 0; from < claims.length; from += mostSteps) {
      const some = claims.slice(from, from + mostSteps)
      const answers = await a.run(some.map(claim => renew(claim)))
      assert.deepEqual(
        answers.map(({ status }) => status),
        some.map((_, i) => ((from + i) % 10 === 0 ? 'lost' : 'held')),
      )
    }
    for (const i of [1, 499, 999]) await b.assertHeldBy(`lock ${i}`, claims[i] as (typeof claims)[number])
    for (const i of [0, 500, 990]) await b.assertFree(`lock ${i}`)
  })

  suite.test('at the latest after a renewal with its fence, inspect shows the fence and the age', async trial => {
    const [a, b] = await trial.clients(2)
    for (const mine of [a.claim('lock'), a.claim('endless', { ttlMs: null }), a.shared('shared', 2)]) {
      const fence = await a.take(mine)
      await trial.elapse(100)
      await a.renewed(mine, fence)
      const { holders, atMs } = await b.state(mine.name)
      assert.equal(holders[0]?.fence, fence, `the fence of ${mine.owner} by inspect`)
      const ageMs = atMs - (holders[0]?.acquiredAtMs ?? Number.NaN)
      assert.ok(ageMs >= 95 && ageMs < 30_000, `${mine.owner} was granted 100 ms ago or a little more, not ${ageMs}`)
      await a.renewed(mine, fence)
      assert.equal((await b.state(mine.name)).holders[0]?.acquiredAtMs, holders[0]?.acquiredAtMs, 'it stays so')
    }
  })

  suite.test('a fence that is not that of the grant is corrected, and never noted instead of it', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [holder, next] = [a.claim('lock'), b.claim('lock')]
    const stale = await a.take(holder)
    await b.queue(next)
    await a.give(holder)
    const { fence } = await b.told(next)
    assert.ok(fence > stale)
    for (const brought of [stale, null]) {
      const answer = await b.renew(next, brought)
      assert.ok(answer.status === 'held')
      // Only the first renewal confirms the grant that was told; where it was told in an answer there is none to confirm.
      if (brought === stale)
        assert.equal(answer.fence, fence, 'the fence is that of the grant, not the one the step brought')
      else assert.ok(answer.fence === null || answer.fence === fence, `the fence is ${fence}, not ${answer.fence}`)
      assert.equal((await c.state('lock')).holders[0]?.fence, fence, 'inspect shows the fence of the grant')
    }
  })

  suite.test('what the next holder is told is not what was noted for the one before', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.claim('lock', { meta: 'first' }), b.claim('lock')]
    const fence = await a.take(first)
    await a.renewed(first, fence)
    await a.give(first)
    const next = await b.take(second)
    const answer = await b.renew(second)
    assertNoted(second, answer, next)
    assert.ok([0, next].includes((await a.state('lock')).holders[0]?.fence ?? -1), `${fence} was another's`)
  })
}
