import assert from 'node:assert/strict'
import type { ClaimId } from '../../backend.js'
import type { TrialClient } from '../trial/client.js'
import type { Suite, Trial } from '../trial/suite.js'

/** After this many beats without its client, a claim that waits must be gone. */
const PATIENCE_BEATS = 6
const FOLLOW = { running: 'follow', pending: 'follow', begins: true } as const

/** Who watches a claim that waits is told that it is gone once its client fell silent, although nobody else asks about the lock. */
export function silentWaiters(suite: Suite): void {
  suite.test('a claim that waits is gone for who watches it once its client is', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [holder, silent] = [a.claim('lock', { ttlMs: null }), b.claim('lock')]
    await a.take(holder)
    await b.queue(silent)
    await c.sees(silent, 'live')
    await b.backend.close()
    await isGone(trial, c, silent)
    await c.assertWaiting('lock')
    await c.sees(holder, 'live')
    await a.give(holder)
    await c.assertFree('lock')
  })

  suite.test('also behind another that goes on waiting', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [holder, first, silent] = [
      a.claim('lock', { ttlMs: null }),
      a.claim('lock', { durable: true }),
      b.claim('lock'),
    ]
    await a.take(holder)
    await a.queue(first)
    await b.queue(silent)
    await c.sees(silent, 'live')
    await b.backend.close()
    await isGone(trial, c, silent)
    await c.assertWaiting('lock', first)
    await c.sees(first, 'live')
  })

  suite.test('also a run that others added to', async trial => {
    const [a, b, c] = await trial.clients(3)
    const run = await a.executing('lock', { ttlMs: null })
    const silent = b.claim('lock')
    await b.waits(silent, { ...FOLLOW, note: 'silent' })
    await c.meets(c.claim('lock'), { ...FOLLOW, note: 'added' }, silent)
    await c.sees(silent, 'live')
    await b.backend.close()
    await isGone(trial, c, silent)
    await c.assertPending('lock', null)
    await c.sees(run, 'live')
  })

  suite.test('a durable claim stays, and one whose client asks for it', async trial => {
    const [a, b, c, d] = await trial.clients(4)
    const holder = a.claim('lock', { ttlMs: null })
    const [durable, asked] = [b.claim('lock', { durable: true }), d.claim('lock')]
    await a.take(holder)
    await b.queue(durable)
    const ticket = await d.queue(asked)
    await b.backend.close()
    for (let i = 0; i < PATIENCE_BEATS; i += 1) {
      await trial.outlast(c.backend.beatMs)
      assert.equal((await d.beat(asked, ticket)).status, 'busy', `${asked.owner} should go on waiting`)
      for (const claim of [durable, asked]) await c.sees(claim, 'live')
    }
    await c.assertWaiting('lock', durable, asked)
  })
}

/** The client asks, and nobody else does, until the claim is gone. */
async function isGone(trial: Trial, watching: TrialClient, claim: ClaimId): Promise<void> {
  const { backend } = watching
  assert.ok(backend.results !== undefined, 'the backend keeps results')
  for (let i = 0; i < PATIENCE_BEATS; i += 1) {
    await trial.outlast(backend.beatMs)
    if ((await backend.results.watch(claim)).status !== 'live') break
  }
  await watching.sees(claim, 'gone')
}
