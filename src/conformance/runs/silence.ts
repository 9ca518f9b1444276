import assert from 'node:assert/strict'
import type { TrialClient } from '../trial/client.js'
import type { Suite, Trial } from '../trial/suite.js'
import { assertSeen } from './seen.js'

/** A ttl that is meant to run out within its test, and not before a slow machine has made some calls. */
const SHORT_MS = 4_000
/** After this many beats without its client, a pending run must be gone. */
const PATIENCE_BEATS = 6
const FOLLOW = { running: 'follow', pending: 'follow', begins: true } as const

/** A pending run whose client is not there any more. */
export function silence(suite: Suite): void {
  suite.test('a pending run whose client is gone is none any more, and its notes are gone', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock', { ttlMs: null })
    const [silent, adding, next] = [b.claim('lock'), a.claim('lock'), a.claim('lock')]
    await b.waits(silent, { ...FOLLOW, note: 'silent' })
    await a.meets(adding, { ...FOLLOW, note: 'adding' }, silent)
    await b.backend.close()
    await noneIsPending(trial, a)
    const answer = await a.waits(next, { ...FOLLOW, note: 'next' })
    assertSeen(answer, { running: run })
    await a.assertPending('lock', next, 1)
    await a.give(run)
    await a.told(next)
    await a.begins(next, [[next, 'next']])
  })

  suite.test('a pending run whose client is gone is none any more, also behind others that wait', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock', { ttlMs: null })
    const [first, silent, next] = [a.claim('lock', { durable: true }), b.claim('lock'), a.claim('lock')]
    await a.waits(first, { running: 'wait' })
    await b.waits(silent, { ...FOLLOW, note: 'silent' })
    await b.backend.close()
    await noneIsPending(trial, a)
    assertSeen(await a.waits(next, { ...FOLLOW, note: 'next' }), { running: run, waiting: first })
    await a.assertPending('lock', next, 1)
  })

  suite.test('the next that waits for a run of its own becomes the pending one', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock', { ttlMs: null })
    const [silent, next] = [b.claim('lock'), a.claim('lock', { durable: true })]
    await b.waits(silent, { ...FOLLOW, note: 'silent' })
    await a.waits(next, { pending: 'wait', begins: true, note: 'next' })
    await b.backend.close()
    for (let i = 0; i < PATIENCE_BEATS; i += 1) {
      await trial.outlast(a.backend.beatMs)
      await a.refused(a.claim('lock'))
    }
    await a.assertPending('lock', next, 1)
    await a.assertWaiting('lock', next)
    await a.give(run)
    await a.told(next)
    await a.begins(next, [[next, 'next']])
  })

  suite.test('a granted run that ran out before it began is none any more, and its notes are gone', async trial => {
    const [a, b] = await trial.clients(2)
    const [dead, adding, next] = [a.claim('lock', { ttlMs: SHORT_MS }), b.claim('lock'), b.claim('lock')]
    await a.starts(dead, { ...FOLLOW, note: 'dead' })
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, dead)
    await trial.outlast(SHORT_MS)
    await b.assertFree('lock')
    assertSeen(await b.starts(next, { ...FOLLOW, note: 'next' }), {})
    await b.assertPending('lock', next, 1)
    await a.beginsNot(dead, `${dead.owner} ran out`)
    await b.begins(next, [[next, 'next']])
  })

  suite.test('a run that ran out after it began takes its notes with it', async trial => {
    const a = await trial.client()
    const [dead, adding] = [a.claim('lock', { ttlMs: SHORT_MS }), a.claim('lock')]
    await a.starts(dead, { ...FOLLOW, note: 'dead' })
    await a.meets(adding, { ...FOLLOW, note: 'adding' }, dead)
    await a.begins(dead, [
      [dead, 'dead'],
      [adding, 'adding'],
    ])
    await trial.outlast(SHORT_MS)
    const { status } = await a.trigger(adding, { ...FOLLOW, note: 'adding' })
    assert.equal(status, 'granted', 'who left a note with a run that died runs by itself')
    await a.begins(adding, [[adding, 'adding']])
  })
}

/** Waits until the lock has no pending run. */
async function noneIsPending(trial: Trial, client: TrialClient): Promise<void> {
  for (let i = 0; i < PATIENCE_BEATS; i += 1) {
    await trial.outlast(client.backend.beatMs)
    if ((await client.state('lock')).pending === null) break
  }
  await client.assertPending('lock', null)
}
