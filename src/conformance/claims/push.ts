import assert from 'node:assert/strict'
import { LONG_MS } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

/** A ttl that is meant to run out within its test. */
const SHORT_MS = 200
/** Short for a lease, and longer than a push takes on a busy machine. */
const HEARD_MS = 1_000
/** After this many beats without an owner that is alive, the queue counts as stuck. */
const PATIENCE_BEATS = 6

/** How a claim that waits learns that it was granted in a step of another client. */
export function push(suite: Suite): void {
  suite.test('a release pushes the grant to the client of the next claim, with all it has to know', async trial => {
    const [a, b, c] = await trial.clients(3)
    for (const waiting of [b, c]) await waiting.listens(a)
    const [holder, next, last] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    const fence = await a.take(holder)
    await b.queue(next)
    await c.queue(last)
    await a.give(holder)
    const push = await b.told(next)
    assert.ok(push.fence > fence, `the fence of ${next.owner}, ${push.fence}, should be above ${fence}`)
    const told = { name: 'lock', owner: next.owner, fence: push.fence, by: 'push' }
    assert.deepEqual({ ...push }, told, `what ${next.owner} is told of its grant`)
    const [held] = (await a.state('lock')).holders
    assert.equal(held?.fence, push.fence, 'inspect shows the fence that was pushed')
    await b.give(next)
    await c.told(last)
    assert.deepEqual(a.grants, [], `nothing is pushed to ${a.id}, which does not wait`)
    assert.deepEqual(owners(b.grants), [next.owner], `${b.id} is told of its own claim alone`)
    assert.deepEqual(owners(c.grants), [last.owner], `${c.id} is told of its own claim alone`)
  })

  suite.test('the push of a shared grant tells as much', async trial => {
    const [a, b] = await trial.clients(2)
    await b.listens(a)
    for (const limit of [3, null]) {
      const name = `lock of ${limit}`
      const [holder, next] = [a.claim(name), b.shared(name, limit)]
      const before = await a.take(holder)
      await b.queue(next)
      await a.give(holder)
      const { fence, ...told } = await b.told(next)
      assert.deepEqual(told, { name, owner: next.owner, by: 'push' }, `what ${next.owner} is told of its grant`)
      assert.ok(fence > before, `the fence of ${next.owner}, ${fence}, should be above ${before}`)
    }
  })

  suite.test('the grants of one client on many locks all arrive', async trial => {
    const [a, b] = await trial.clients(2)
    await b.listens(a)
    const names = Array.from({ length: 50 }, (_, i) => `lock ${i}`)
    const pairs = names.map(name => ({ holder: a.claim(name), next: b.claim(name) }))
    for (const { holder, next } of pairs) {
      await a.take(holder)
      await b.queue(next)
    }
    await Promise.all(pairs.map(({ holder }) => a.give(holder)))
    for (const { next } of pairs) {
      await b.told(next)
      await a.assertHeldBy(next.name, next)
    }
  })

  suite.test('a pushed grant stands a little longer than a beat, and a renewal starts its real ttl', async trial => {
    const [a, b, c] = await trial.clients(3)
    for (const waiting of [b, c]) await waiting.listens(a)
    const [holder, next] = [a.claim('lock'), b.claim('lock', { ttlMs: LONG_MS })]
    await a.take(holder)
    await b.queue(next)
    await a.give(holder)
    const { fence } = await b.told(next)
    const [granted] = (await a.state('lock')).holders
    const graceMs = (granted?.expiresAtMs ?? Number.NaN) - (granted?.acquiredAtMs ?? Number.NaN)
    const { beatMs } = b.backend
    assert.ok(graceMs > beatMs && graceMs < 3 * beatMs, `a grant lease of ${graceMs} ms, with a beat of ${beatMs} ms`)
    await b.renewed(next, fence)
    const { holders, atMs } = await a.state('lock')
    const leftMs = (holders[0]?.expiresAtMs ?? Number.NaN) - atMs
    assert.ok(leftMs > LONG_MS / 2 && leftMs <= LONG_MS, `after its confirmation ${leftMs} ms of ${LONG_MS} are left`)
    await b.renewed({ ...next, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    const after = c.claim('lock')
    await c.take(after)
    await a.assertHeldBy('lock', after)
  })

  suite.test('a pushed grant of a short lease stands no longer than its ttl', async trial => {
    const [a, b, c] = await trial.clients(3)
    for (const waiting of [b, c]) await waiting.listens(a)
    const [holder, next, after] = [a.claim('lock'), b.claim('lock', { ttlMs: HEARD_MS }), c.claim('lock')]
    await a.take(holder)
    await b.queue(next)
    await a.give(holder)
    await b.told(next)
    await trial.outlast(HEARD_MS)
    await c.take(after)
    await a.assertHeldBy('lock', after)
  })

  suite.test('a pushed grant that nobody confirms runs out and goes to the next', async trial => {
    const [a, b, c] = await trial.clients(3)
    for (const waiting of [b, c]) await waiting.listens(a)
    const [holder, silent, next] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.take(holder)
    await b.queue(silent)
    const ticket = await c.queue(next)
    await a.give(holder)
    const { fence } = await b.told(silent)
    const { holders, atMs } = await a.state('lock')
    await a.assertHeldBy('lock', silent)
    await trial.outlast((holders[0]?.expiresAtMs ?? Number.NaN) - atMs)
    const nextFence = await c.take(next, { ticket })
    assert.ok(nextFence > fence, `the fence of ${next.owner}, ${nextFence}, should be above ${fence}`)
    await b.lost(silent, `${silent.owner} confirms too late`)
    await a.assertHeldBy('lock', next)
  })

  suite.test('a pushed grant may be released without being confirmed', async trial => {
    const [a, b, c] = await trial.clients(3)
    for (const waiting of [b, c]) await waiting.listens(a)
    const [holder, leaving, next] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.take(holder)
    await b.queue(leaving)
    await c.queue(next)
    await a.give(holder)
    await b.told(leaving)
    await b.give(leaving)
    await c.told(next)
    await a.assertHeldBy('lock', next)
  })

  suite.test('a claim that waits is not held: its renewal is lost, and it keeps its place', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, next] = [a.claim('lock'), b.claim('lock')]
    await a.take(holder)
    await b.queue(next)
    await b.lost(next, `${next.owner} waits behind ${holder.owner}`)
    await a.assertHeldBy('lock', holder)
    await a.assertWaiting('lock', next)
  })

  suite.test('the queue goes on when a client that waits is gone', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [holder, gone, next] = [a.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.take(holder)
    await b.queue(gone)
    const ticket = await c.queue(next)
    await b.backend.close()
    await trial.elapse(SHORT_MS)
    await a.give(holder)
    const { beatMs } = c.backend
    let reply = await c.beat(next, ticket)
    for (let beats = 0; reply.status === 'busy' && beats < PATIENCE_BEATS; beats += 1) {
      await trial.outlast(Math.min(reply.retryAfterMs ?? beatMs, beatMs))
      reply = await c.beat(next, ticket)
    }
    assert.equal(reply.status, 'granted', `${next.owner} should not wait for ${gone.owner} for ever`)
    await a.assertHeldBy('lock', next)
  })
}

function owners(pushes: readonly { readonly owner: string }[]): readonly string[] {
  return [...new Set(pushes.map(push => push.owner))]
}
