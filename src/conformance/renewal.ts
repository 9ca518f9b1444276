import assert from 'node:assert/strict'
import type { Suite } from './trial.js'

const SHORT_MS = 200

/** Many claims renewed in one call. */
export function renewal(suite: Suite): void {
  suite.test('each claim of a batch has its own reply, in the order of the claims', async trial => {
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
    const replies = await a.backend.renew([released, held, stolen, a.claim('never'), reader, waiting, last])
    assert.deepEqual(
      replies.map(reply => ({ ...reply })),
      [
        { status: 'lost' },
        { status: 'held', fence: fences.held },
        { status: 'lost' },
        { status: 'lost' },
        { status: 'held', fence: fences.reader },
        { status: 'lost' },
        { status: 'held', fence: fences.last },
      ],
    )
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
    await a.backend.renew([{ ...brief, ttlMs: SHORT_MS }, lasting, { ...endless, ttlMs: null }])
    await trial.outlast(SHORT_MS)
    await b.assertFree('brief')
    await b.assertHeldBy('lasting', lasting)
    await b.assertHeldBy('endless', endless)
    assert.equal((await b.state('endless')).holders[0]?.expiresAtMs, null, `${endless.owner} never runs out`)
  })

  suite.test('a thousand claims are renewed in one call', async trial => {
    const [a, b] = await trial.clients(2)
    const claims = Array.from({ length: 1_000 }, (_, i) => a.claim(`lock ${i}`))
    const fences = await Promise.all(claims.map(claim => a.take(claim)))
    const gone = claims.filter((_, i) => i % 10 === 0)
    await Promise.all(gone.map(claim => a.give(claim)))
    const replies = await a.backend.renew(claims)
    assert.deepEqual(
      replies.map(reply => ({ ...reply })),
      fences.map((fence, i) => (i % 10 === 0 ? { status: 'lost' } : { status: 'held', fence })),
    )
    for (const i of [1, 499, 999]) await b.assertHeldBy(`lock ${i}`, claims[i] as (typeof claims)[number])
    for (const i of [0, 500, 990]) await b.assertFree(`lock ${i}`)
  })

  suite.test('no claims, no replies', async trial => {
    const a = await trial.client()
    assert.deepEqual([...(await a.backend.renew([]))], [])
  })
}
