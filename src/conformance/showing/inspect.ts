import assert from 'node:assert/strict'
import type { Suite } from '../trial/suite.js'

const SHORT_MS = 200
/** How many holders and how many waiters a state shows. */
const SHOWN = 100

/** What an operator sees of one lock. */
export function inspect(suite: Suite): void {
  suite.test('an exclusive holder is shown as it is', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.claim('lock', { ttlMs: 30_000, meta: 'nightly report' })
    const fence = await a.take(mine)
    await trial.elapse(100)
    const state = await b.state('lock')
    assert.equal(state.name, 'lock')
    assert.equal(state.holding, 1)
    assert.equal(state.holders[0]?.limit, null, 'an exclusive claim has no limit')
    assert.equal(state.waiting, 0)
    assert.deepEqual(state.waiters, [])
    assert.equal(state.holders.length, 1)
    const [holder] = state.holders
    const { owner, mode, meta } = mine
    assert.deepEqual(
      { owner: holder?.owner, mode: holder?.mode, meta: holder?.meta, fence: holder?.fence },
      { owner, mode, meta, fence },
    )
    const ageMs = state.atMs - (holder?.acquiredAtMs ?? Number.NaN)
    assert.ok(ageMs >= 95 && ageMs < 30_000, `${owner} held the lock for 100 ms or a little more, not ${ageMs} ms`)
    const leftMs = (holder?.expiresAtMs ?? Number.NaN) - state.atMs
    assert.ok(leftMs > 0 && leftMs <= 29_905, `${owner} has somewhat less than 29,900 ms left, not ${leftMs} ms`)
  })

  suite.test(
    'a claim that is to be noted shows fence and age from the grant on, however it was granted',
    async trial => {
      const [a, b] = await trial.clients(2)
      const noted = (client: typeof a) => client.claim('lock', { noted: true })
      const [first, handed, pushed] = [noted(a), noted(a), noted(b)]
      const seen = async (owner: string, fence: number) => {
        const { holders, atMs } = await b.state('lock')
        const [holder] = holders
        assert.deepEqual(
          { owner: holder?.owner, fence: holder?.fence, meta: holder?.meta },
          { owner, fence, meta: null },
        )
        const ageMs = atMs - (holder?.acquiredAtMs ?? Number.NaN)
        assert.ok(ageMs >= 0 && ageMs < 30_000, `${owner} got the lock just now, not ${ageMs} ms ago`)
      }
      await seen(first.owner, await a.take(first))
      await a.queue(handed)
      await b.queue(pushed)
      await a.give(first)
      const grant = await a.told(handed)
      await seen(handed.owner, grant.fence)
      await a.give(handed)
      const { fence } = await b.told(pushed)
      await b.renewed(pushed, fence)
      await seen(pushed.owner, fence)
      await b.renewed(pushed, fence)
      await seen(pushed.owner, fence)
      await b.give(pushed)
      await b.assertFree('lock')
    },
  )

  suite.test('a renewal moves the expiry, not the time of the grant', async trial => {
    const a = await trial.client()
    const mine = a.claim('lock', { ttlMs: 30_000 })
    const fence = await a.take(mine)
    // From its first renewal on the time of the grant is known everywhere.
    await a.renewed(mine, fence)
    const [before] = (await a.state('lock')).holders
    await a.renewed({ ...mine, ttlMs: 60_000 })
    const [after] = (await a.state('lock')).holders
    assert.equal(after?.acquiredAtMs, before?.acquiredAtMs, 'when it was granted')
    const addedMs = (after?.expiresAtMs ?? Number.NaN) - (before?.expiresAtMs ?? Number.NaN)
    // A busy server may read its clock a little after it has looked when the lease ends.
    assert.ok(addedMs >= 29_900, `the expiry should move by 30 s or more, not by ${addedMs} ms`)
  })

  suite.test('a lock that does not expire says so', async trial => {
    const a = await trial.client()
    for (const mine of [a.claim('lock', { ttlMs: null }), a.shared('shared', 2, { ttlMs: null })]) {
      await a.take(mine)
      const [holder] = (await a.state(mine.name)).holders
      assert.equal(holder?.owner, mine.owner)
      assert.equal(holder?.expiresAtMs, null, `${mine.owner} never runs out`)
    }
  })

  suite.test('shared holders are shown in the order they were granted, each with its own meta or none', async trial => {
    const [a, b] = await trial.clients(2)
    const claims = [
      a.shared('lock', 3, { meta: 'first' }),
      b.shared('lock', 3),
      a.shared('lock', 3, { meta: '"it\'s" – ünïcödé\nwith a second line' }),
    ]
    for (const claim of claims) await a.take(claim)
    const state = await b.state('lock')
    const shown = state.holders.map(({ owner, mode, meta }) => ({ owner, mode, meta }))
    assert.deepEqual(
      shown,
      claims.map(({ owner, mode, meta }) => ({ owner, mode, meta })),
    )
    assert.equal(state.holding, 3)
  })

  suite.test('waiters are shown in their order, with their mode, meta and age', async trial => {
    const [a, b] = await trial.clients(2)
    const holder = a.claim('lock')
    await a.take(holder)
    const since = (await a.state('lock')).atMs
    const claims = [b.claim('lock', { meta: 'writer' }), b.shared('lock', 4), b.shared('lock', 4, { meta: 'reader' })]
    for (const claim of claims) await b.queue(claim)
    const state = await a.state('lock')
    const shown = state.waiters.map(({ owner, mode, meta }) => ({ owner, mode, meta }))
    assert.deepEqual(
      shown,
      claims.map(({ owner, mode, meta }) => ({ owner, mode, meta })),
    )
    assert.equal(state.waiting, 3)
    for (const { owner, waitingSinceMs } of state.waiters) {
      // One millisecond of rounding on either side.
      const fits = waitingSinceMs >= since - 1 && waitingSinceMs <= state.atMs + 1
      assert.ok(fits, `${owner} came between ${since} and ${state.atMs}, not at ${waitingSinceMs}`)
    }
  })

  suite.test('of many waiters the first hundred are shown, and all are counted', async trial => {
    const [a, b] = await trial.clients(2)
    const holder = a.claim('lock')
    await a.take(holder)
    const claims = Array.from({ length: SHOWN + 5 }, () => b.claim('lock'))
    for (const claim of claims) await b.queue(claim)
    const state = await a.state('lock')
    assert.equal(state.waiting, claims.length)
    assert.deepEqual(
      state.waiters.map(({ owner }) => owner),
      claims.slice(0, SHOWN).map(({ owner }) => owner),
    )
  })

  suite.test('of many holders the first hundred are shown, and all are counted', async trial => {
    const [a, b] = await trial.clients(2)
    const claims = Array.from({ length: SHOWN + 5 }, () => a.shared('lock'))
    for (const claim of claims) await a.take(claim)
    const state = await b.state('lock')
    assert.equal(state.holding, claims.length)
    assert.deepEqual(
      state.holders.map(({ owner }) => owner),
      claims.slice(0, SHOWN).map(({ owner }) => owner),
    )
  })

  suite.test('a lock nobody has and nobody waits for is null: never used, released, or run out', async trial => {
    const [a, b] = await trial.clients(2)
    await b.assertFree('never used')
    const released = a.claim('released', { meta: 'gone' })
    await a.take(released)
    await a.give(released)
    await b.assertFree('released')
    const expired = [
      a.claim('expired', { ttlMs: SHORT_MS, meta: 'gone' }),
      a.shared('expired, shared', 2, { ttlMs: SHORT_MS }),
    ]
    for (const claim of expired) await a.take(claim)
    await trial.outlast(SHORT_MS)
    for (const { name } of expired) await b.assertFree(name)
  })

  suite.test('the meta of a former holder is not shown for the next', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.claim('lock', { meta: 'first' }), b.claim('lock')]
    await a.take(first)
    await b.queue(second)
    await a.give(first)
    await b.told(second)
    const [holder] = (await a.state('lock')).holders
    assert.deepEqual({ owner: holder?.owner, meta: holder?.meta }, { owner: second.owner, meta: null })
  })

  suite.test('the meta of a claim that waited is shown when it holds', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.claim('lock'), b.claim('lock', { meta: 'second' })]
    await a.take(first)
    await b.queue(second)
    await a.give(first)
    await b.told(second)
    const [holder] = (await a.state('lock')).holders
    assert.deepEqual({ owner: holder?.owner, meta: holder?.meta }, { owner: second.owner, meta: 'second' })
  })
}
