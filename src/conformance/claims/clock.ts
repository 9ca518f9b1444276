import assert from 'node:assert/strict'
import { LONG_MS } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

const HOUR_MS = 3_600_000

/** The datastore's clock is set while locks are held: fences still rise, and no two hold a lock. */
export function clock(suite: Suite, stepClock: (ms: number) => Promise<void> | void): void {
  suite.test('set back, fences rise all the same, by every way a lock changes hands', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second, third, fourth] = [a.claim('lock'), b.claim('lock'), a.claim('lock'), b.claim('lock')]
    const fences = [await a.take(first)]
    await stepClock(-HOUR_MS)
    await b.queue(second)
    await a.give(first)
    fences.push((await b.told(second)).fence)
    fences.push(await a.take(third, { replaces: second.owner }))
    await a.give(third)
    await stepClock(-HOUR_MS)
    fences.push(await b.take(fourth))
    const rising = fences.every((fence, i) => i === 0 || fence > (fences[i - 1] as number))
    assert.ok(rising, `fences should rise with every grant: ${fences}`)
  })

  suite.test('set back, a holder keeps its lock and who waits keeps its place', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, first, second] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    await a.take(holder)
    await b.queue(first)
    await stepClock(-HOUR_MS)
    await b.queue(second)
    await a.assertHeldBy('lock', holder)
    await a.assertWaiting('lock', first, second)
    await a.renewed(holder)
    await a.give(holder)
    await b.told(first)
    await a.assertHeldBy('lock', first)
  })

  suite.test('set forward, leases that ran out by it are over, and the next has a higher fence', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second, endless] = [a.claim('lock'), b.claim('lock'), a.claim('endless', { ttlMs: null })]
    const fence = await a.take(first)
    await a.take(endless)
    await stepClock(LONG_MS + 1)
    await a.lost(first, `the ttl of ${first.owner} has passed by the datastore's clock`)
    await a.giveNothing(first)
    assert.ok((await b.take(second)) > fence, 'the next fence is higher')
    await b.assertHeldBy('lock', second)
    await b.assertHeldBy('endless', endless)
  })

  suite.test('set forward and back again, fences rise', async trial => {
    const a = await trial.client()
    const claims = [a.claim('lock'), a.claim('lock'), a.claim('lock')]
    const fences: number[] = []
    for (const [i, claim] of claims.entries()) {
      fences.push(await a.take(claim))
      await a.give(claim)
      await stepClock(i === 0 ? HOUR_MS : -HOUR_MS)
    }
    const rising = fences.every((fence, i) => i === 0 || fence > (fences[i - 1] as number))
    assert.ok(rising, `fences should rise with every grant: ${fences}`)
  })
}
