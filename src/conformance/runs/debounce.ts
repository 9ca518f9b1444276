import assert from 'node:assert/strict'
import { LONG_MS, type TrialClient } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

/** How long a run is put off, where its test waits for it: a slow machine makes some calls before that. */
const WAIT_MS = 4_000
const DEBOUNCE = { waitMs: WAIT_MS, maxWaitMs: LONG_MS }
/** It is there for as long, though its client does not ask meanwhile. */
const STAYS = { durable: true } as const
/** As long as a client may be silent whose run waits. */
const SOON_MS = 1_000
const FOLLOW = { running: 'follow', pending: 'follow', begins: true } as const

/** A run that is not to start too soon after what triggered it. */
export function debounce(suite: Suite): void {
  suite.test('a run is not granted before its time, and then it is', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, other] = [a.claim('lock', STAYS), b.claim('lock')]
    const answer = await a.waits(mine, { ...FOLLOW, debounce: DEBOUNCE, note: 'mine' })
    assert.equal(answer.holder, null, 'nobody holds the lock')
    assertWithin(answer.retryAfterMs, WAIT_MS)
    await b.assertHeldBy('lock')
    await b.assertPending('lock', mine, 1)
    const { pending, atMs } = await b.state('lock')
    assertWithin((pending?.notBeforeMs ?? Number.NaN) - atMs, WAIT_MS)
    const early = await a.beat(mine, answer.ticket)
    assert.ok(early.status === 'busy' && early.ticket === answer.ticket, `${mine.owner} is too early: ${early.status}`)
    const behind = await b.refused(other)
    assert.equal(behind.holder, null)
    assertWithin(behind.retryAfterMs, WAIT_MS)
    await trial.outlast(WAIT_MS)
    assert.equal((await a.beat(mine, answer.ticket)).status, 'granted')
    await b.assertHeldBy('lock', mine)
    assert.equal((await b.state('lock')).pending?.notBeforeMs, null, 'a run that was granted can start')
    await a.begins(mine, [[mine, 'mine']])
  })

  suite.test('when to ask again leads to the grant, also for a run that is asked for by its trigger', async trial => {
    const a = await trial.client()
    const mine = a.claim('lock')
    const options = { ...FOLLOW, debounce: { ...DEBOUNCE, waitMs: SOON_MS } }
    const { retryAfterMs } = await a.waits(mine, options)
    await trial.outlast(retryAfterMs ?? 0)
    await a.starts(mine, options)
    await a.begins(mine, [])
  })

  for (const action of ['follow', 'displace'] as const) {
    suite.test(`a later trigger moves the time, up to the longest wait: ${action}`, async trial => {
      const [a, b] = await trial.clients(2)
      const options = { running: action, pending: action, begins: true } as const
      const [first, second, third, plain] = [a.claim('lock'), b.claim('lock'), b.claim('lock'), b.claim('lock')]
      await a.waits(first, { ...options, debounce: { waitMs: 5_000, maxWaitMs: 20_000 } })
      const before = await due(a)
      await trial.elapse(50)
      await b.trigger(second, { ...options, debounce: { waitMs: 5_000, maxWaitMs: 20_000 } })
      const moved = await due(a)
      assert.ok(moved > before, `${moved} should be later than ${before}`)
      await b.trigger(third, { ...options, debounce: { waitMs: LONG_MS, maxWaitMs: 20_000 } })
      assert.equal(await due(a), before + 15_000, 'the longest wait counts from the first trigger')
      await b.trigger(plain, options)
      assert.equal(await due(a), before + 15_000, 'a trigger without a debounce leaves the time as it is')
      await b.assertHeldBy('lock')
    })
  }

  suite.test('a run that is put off waits for the holder and for its time', async trial => {
    const a = await trial.client()
    const run = await a.executing('lock')
    const mine = a.claim('lock', STAYS)
    const { ticket } = await a.waits(mine, { ...FOLLOW, debounce: DEBOUNCE })
    await a.give(run)
    await a.assertHeldBy('lock')
    await a.assertWaiting('lock', mine)
    await trial.outlast(WAIT_MS)
    assert.equal((await a.beat(mine, ticket)).status, 'granted')
    const next = a.claim('lock', STAYS)
    await a.begins(mine, [])
    const queued = await a.waits(next, { ...FOLLOW, debounce: DEBOUNCE })
    await trial.outlast(WAIT_MS)
    assert.equal((await a.beat(next, queued.ticket)).status, 'busy', `${mine.owner} still holds it`)
    await a.give(mine)
    await a.told(next)
    await a.assertHeldBy('lock', next)
  })

  suite.test('where there is room for one more, its own time is when to ask again', async trial => {
    const a = await trial.client()
    const [holder, mine] = [a.shared('lock', 2, { ttlMs: null }), a.shared('lock', 2, STAYS)]
    await a.take(holder)
    const { ticket, retryAfterMs } = await a.waits(mine, { ...FOLLOW, debounce: DEBOUNCE })
    assertWithin(retryAfterMs, WAIT_MS)
    await trial.outlast(WAIT_MS)
    assert.equal((await a.beat(mine, ticket)).status, 'granted')
    await a.assertHeldBy('lock', holder, mine)
  })

  suite.test('a run that displaces a granted one is put off all the same', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.claim('lock'), b.claim('lock', STAYS)]
    await a.starts(first, FOLLOW)
    const { ticket } = await b.waits(second, { pending: 'displace', debounce: DEBOUNCE })
    await a.assertHeldBy('lock')
    await a.sees(first, { by: second })
    await trial.outlast(WAIT_MS)
    assert.equal((await b.beat(second, ticket)).status, 'granted')
    await b.begins(second, [])
  })

  suite.test('a run that was granted is not put off by who adds to it', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, adding] = [a.claim('lock'), b.claim('lock')]
    await a.starts(mine, FOLLOW)
    await b.meets(adding, { ...FOLLOW, note: 'adding', debounce: { waitMs: LONG_MS, maxWaitMs: LONG_MS } }, mine)
    assert.equal((await a.state('lock')).pending?.notBeforeMs ?? null, null)
    await a.begins(mine, [[adding, 'adding']])
    await a.assertHeldBy('lock', mine)
  })

  suite.test('a claim that waits for a run of its own is not put off', async trial => {
    const a = await trial.client()
    const run = await a.executing('lock')
    const mine = a.claim('lock')
    await a.waits(mine, { running: 'wait', begins: true, debounce: { waitMs: LONG_MS, maxWaitMs: LONG_MS } })
    await a.give(run)
    await a.told(mine)
    await a.begins(mine, [])
  })
}

/** Before when the pending run does not start. */
async function due(client: TrialClient): Promise<number> {
  const notBeforeMs = (await client.state('lock')).pending?.notBeforeMs
  assert.equal(typeof notBeforeMs, 'number', 'the pending run has a time')
  return Number(notBeforeMs)
}

function assertWithin(ms: number | null, mostMs: number): void {
  assert.ok(ms !== null && ms > 0 && ms <= mostMs, `${ms} should be above 0 and at most ${mostMs}`)
}
