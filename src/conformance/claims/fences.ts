import assert from 'node:assert/strict'
import { connect } from '../../index.js'
import type { Suite } from '../trial/suite.js'

const SHORT_MS = 200

/** Every grant of a lock has a fence above all before it. */
export function fences(suite: Suite): void {
  suite.test('fences rise with every grant, exclusive or shared, also when the lock was idle', async trial => {
    const [a, b] = await trial.clients(2)
    const fences: number[] = []
    for (let round = 0; round < 5; round += 1) {
      const writer = a.claim('lock')
      fences.push(await a.take(writer))
      await a.give(writer)
      const readers = [b.shared('lock'), a.shared('lock'), b.shared('lock')]
      for (const reader of readers) fences.push(await b.take(reader))
      for (const reader of readers) await b.give(reader)
      await a.assertFree('lock')
    }
    assertRising(fences)
  })

  suite.test('fences rise when a lock changes hands through the queue', async trial => {
    const [a, b] = await trial.clients(2)
    let last = { client: a, claim: a.claim('lock') }
    const fences = [await a.take(last.claim)]
    for (let round = 0; round < 10; round += 1) {
      const client = round % 2 === 0 ? b : a
      const next = { client, claim: client.claim('lock') }
      await next.client.queue(next.claim)
      await last.client.give(last.claim)
      fences.push((await next.client.told(next.claim)).fence)
      last = next
    }
    assertRising(fences)
  })

  suite.test('fences rise when a lock is taken over after it ran out, or replaced', async trial => {
    const [a, b] = await trial.clients(2)
    const [dead, next, thief] = [a.claim('lock', { ttlMs: SHORT_MS }), b.claim('lock'), a.claim('lock')]
    const fences = [await a.take(dead)]
    await trial.outlast(SHORT_MS)
    fences.push(await b.take(next))
    fences.push(await a.take(thief, { replaces: next.owner }))
    assertRising(fences)
  })

  suite.test('fences rise after everything was cleared', async trial => {
    const [a, b] = await trial.clients(2)
    await using solo = connect((await trial.store()).backend)
    const [mine, next] = [a.claim('lock'), b.claim('lock')]
    const fences = [await a.take(mine)]
    assert.equal(await solo.clear('lo'), 1, 'clear counts the lock it cleared')
    await a.assertFree('lock')
    fences.push(await b.take(next))
    assertRising(fences)
    await a.lost(mine, `${mine.owner} was cleared`)
    await b.assertHeldBy('lock', next)
  })

  suite.test('fences of shared grants made at once are all different', async trial => {
    const [a, b] = await trial.clients(2)
    const claims = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? a : b).shared('lock'))
    const fences = await Promise.all(claims.map((claim, i) => (i % 2 === 0 ? a : b).take(claim)))
    assert.equal(new Set(fences).size, claims.length, `40 grants should have 40 fences: ${fences}`)
  })

  suite.test('a fence tells when the lock was granted, in microseconds of the datastore', async trial => {
    const a = await trial.client()
    await a.take(a.claim('before'))
    const before = (await a.state('before')).atMs
    const mine = a.claim('lock')
    const fence = await a.take(mine)
    const { atMs: after } = await a.state('lock')
    // One millisecond of rounding on either side.
    const fits = fence >= (before - 1) * 1000 && fence <= (after + 1) * 1000
    assert.ok(fits, `the fence ${fence} should lie between ${before} and ${after} ms`)
  })

  suite.test('the answer, inspect and a renewal show one fence', async trial => {
    const [a, b] = await trial.clients(2)
    for (const mine of [a.claim('lock', { meta: 'with a meta' }), a.claim('bare'), a.shared('shared', 2)]) {
      const fence = await a.take(mine)
      const seen = (await b.state(mine.name)).holders[0]?.fence
      // Of a claim with a meta all is noted from the start.
      assert.ok(
        seen === fence || (seen === 0 && mine.meta === null),
        `the fence of ${mine.owner} by inspect is ${seen}`,
      )
      await a.renewed(mine, fence)
      assert.equal((await b.state(mine.name)).holders[0]?.fence, fence, `the fence of ${mine.owner} by inspect`)
    }
  })
}

function assertRising(fences: readonly number[]): void {
  const rising = fences.every((fence, i) => i === 0 || fence > (fences[i - 1] as number))
  assert.ok(rising, `fences should rise with every grant: ${fences}`)
}
