import assert from 'node:assert/strict'
import { ODD_NAMES, ODD_TEXTS } from '../showing/names.js'
import type { Suite } from '../trial/suite.js'
import { kept } from './kept.js'

const SHORT_MS = 200

/** Who watches a claim is told when it ends. */
export function watching(suite: Suite): void {
  suite.test('each client that watches is told of the end once, and nobody else', async trial => {
    const [a, b, c, d] = await trial.clients(4)
    const [first, second, third] = [a.claim('first'), a.claim('second'), a.claim('third')]
    for (const mine of [first, second, third]) await a.take(mine)
    for (const client of [b, c, b]) await client.sees(first, 'live')
    for (const client of [b, d]) await client.sees(second, 'live')
    for (const client of [a, b, c, d]) await client.sees(third, 'live')
    await a.give(first, kept('done'))
    for (const client of [b, c]) await client.ended(first)
    await a.give(second)
    for (const client of [b, d]) await client.ended(second)
    // Whatever was sent before has arrived when the last is there.
    await a.give(third)
    for (const client of [a, b, c, d]) await client.ended(third)
    const told = [a, b, c, d].map(client => client.endings.map(({ name }) => name).sort())
    assert.deepEqual(told, [['third'], ['first', 'second', 'third'], ['first', 'third'], ['second', 'third']])
    await b.sees(first, { text: 'done' })
    await b.sees(second, 'gone')
  })

  suite.test('who watches a claim that leaves the queue is told', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, leaving] = [a.claim('lock'), a.claim('lock')]
    await a.take(holder)
    await a.queue(leaving)
    await b.sees(leaving, 'live')
    await a.giveNothing(leaving)
    await b.ended(leaving)
    await b.sees(leaving, 'gone')
    await b.sees(holder, 'live')
  })

  suite.test('the end of one of several that share a lock is its own', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second, third] = [a.shared('lock', 3), a.shared('lock', 3), a.shared('lock', 3)]
    for (const mine of [first, second, third]) await a.take(mine)
    for (const mine of [first, second, third]) await b.sees(mine, 'live')
    await a.give(second, kept('second'))
    await b.ended(second)
    await b.sees(second, { text: 'second' })
    for (const mine of [first, third]) await b.sees(mine, 'live')
    await a.give(first)
    await b.ended(first)
    await b.sees(first, 'gone')
    await b.sees(third, 'live')
    assert.equal(b.endings.length, 2, `${third.owner} still holds the lock`)
  })

  suite.test('who asked and was told that a claim is gone does not watch what its owner claims next', async trial => {
    const [a, b] = await trial.clients(2)
    const [lapsed, other] = [a.shared('lock'), a.shared('lock')]
    for (const mine of [lapsed, other]) await a.take(mine)
    for (const mine of [lapsed, other]) await b.sees(mine, 'live')
    await a.renewed({ ...lapsed, ttlMs: SHORT_MS })
    await trial.outlast(SHORT_MS)
    await b.sees(lapsed, 'gone')
    await a.take(lapsed)
    await a.give(lapsed)
    // Whatever was sent before has arrived when the last is there.
    await a.give(other)
    await b.ended(other)
    const told = b.endings.map(({ owner }) => owner)
    assert.deepEqual(told, [other.owner], `${lapsed.owner} was over when it was asked for, and was not asked for again`)
  })

  suite.test('two owners of one lock, and one owner of two locks, never meet', async trial => {
    const [a, b] = await trial.clients(2)
    const pairs = [
      ['x', 'yz'],
      ['xy', 'z'],
      ['x', 'z'],
      ['xy', 'yz'],
      ['x', 'yz '],
      ['x ', 'yz'],
    ] as const
    const claims = pairs.map(([name, owner]) => a.shared(name, null, { owner }))
    for (const claim of claims) {
      await a.take(claim)
      await b.sees(claim, 'live')
    }
    for (const [i, claim] of claims.entries()) {
      await a.give(claim, kept(`result ${i}`))
      await b.ended(claim)
      for (const [k, other] of claims.entries()) await b.sees(other, k <= i ? { text: `result ${k}` } : 'live')
    }
    assert.equal(b.endings.length, claims.length)
  })

  suite.test('names and owners may hold anything', async trial => {
    const [a, b] = await trial.clients(2)
    const claims = [
      ...ODD_NAMES.map(name => a.claim(name, { owner: 'o' })),
      ...ODD_TEXTS.map(owner => a.shared('lock', null, { owner })),
    ]
    for (const claim of claims) await a.take(claim)
    for (const claim of claims) await b.sees(claim, 'live')
    const over = claims.filter((_, i) => i % 2 === 0)
    for (const claim of over) await a.give(claim, kept(JSON.stringify([claim.name, claim.owner])))
    for (const claim of over) await b.ended(claim)
    for (const [i, claim] of claims.entries()) {
      await b.sees(claim, i % 2 === 0 ? { text: JSON.stringify([claim.name, claim.owner]) } : 'live')
    }
    assert.equal(b.endings.length, over.length, 'nothing is told of a claim that is still held')
  })

  suite.test('who comes later, or watched and was not there when it ended, learns it by asking', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second] = [a.claim('first'), a.claim('second')]
    for (const mine of [first, second]) {
      await a.take(mine)
      await b.sees(mine, 'live')
    }
    await b.backend.close()
    await a.give(first, kept('done'))
    await a.give(second)
    const c = await trial.client()
    await c.sees(first, { text: 'done' })
    await c.sees(second, 'gone')
  })

  suite.test('many claims that end at once are all told to all who watch them', async trial => {
    const [a, ...watching] = await trial.clients(6)
    const claims = Array.from({ length: 50 }, (_, i) => a.claim(`lock ${i}`))
    await Promise.all(claims.map(claim => a.take(claim)))
    await Promise.all(watching.flatMap(client => claims.map(claim => client.sees(claim, 'live'))))
    await Promise.all(claims.map((claim, i) => a.give(claim, i % 2 === 0 ? kept(claim.name) : undefined)))
    for (const client of watching) for (const claim of claims) await client.ended(claim)
    for (const client of watching) {
      await Promise.all(claims.map((claim, i) => client.sees(claim, i % 2 === 0 ? { text: claim.name } : 'gone')))
      assert.equal(client.endings.length, claims.length, `${client.id} is told of each claim once`)
    }
  })
}
