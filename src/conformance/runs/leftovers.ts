import assert from 'node:assert/strict'
import type { Suite } from '../trial/suite.js'
import { assertSeen } from './seen.js'

const FOLLOW = { running: 'follow', pending: 'follow', begins: true } as const

/** After the last release the lock is as if it had never been used. */
export function leftovers(suite: Suite): void {
  suite.test('nothing is left after the last release, whatever came before', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [first, second, adding, third] = [a.claim('lock'), b.claim('lock'), a.claim('lock'), b.claim('lock')]
    await a.waits(first, { ...FOLLOW, note: 'first' })
    await b.waits(second, { pending: 'displace', note: 'second', debounce: { waitMs: 1, maxWaitMs: 1 } })
    await a.meets(adding, { ...FOLLOW, note: 'adding' }, second)
    await b.waits(third, { pending: 'wait', begins: true, note: 'third' })
    await trial.outlast(1)
    await b.give(run)
    await b.told(second)
    await b.begins(second, [
      [second, 'second'],
      [adding, 'adding'],
    ])
    await b.give(second)
    await b.told(third)
    await b.give(third)
    await a.assertFree('lock')
    for await (const { name } of a.backend.list('')) assert.fail(`${name} is listed`)
    const fresh = a.claim('lock')
    assertSeen(await a.starts(fresh, { ...FOLLOW, note: 'fresh' }), {})
    await a.begins(fresh, [[fresh, 'fresh']])
  })

  suite.test('an owner that released is none of those who triggered before', async trial => {
    const [a, b] = await trial.clients(2)
    const [run, adding] = [a.claim('lock'), b.claim('lock')]
    for (let i = 0; i < 3; i += 1) {
      assertSeen(await a.starts(run, { ...FOLLOW, note: `run ${i}` }), {})
      await b.meets(adding, { ...FOLLOW, note: `adding ${i}` }, run)
      await a.begins(run, [
        [run, `run ${i}`],
        [adding, `adding ${i}`],
      ])
      await a.give(run)
      await a.beginsNot(run, `${run.owner} was released`)
      await b.assertFree('lock')
    }
  })

  suite.test('a pending run that leaves an idle lock leaves nothing', async trial => {
    const a = await trial.client()
    const [mine, next] = [a.claim('lock'), a.claim('lock')]
    await a.waits(mine, { ...FOLLOW, note: 'mine', debounce: { waitMs: 30_000, maxWaitMs: 30_000 } })
    await a.giveNothing(mine)
    await a.assertFree('lock')
    await a.starts(next, { ...FOLLOW, note: 'next' })
    await a.begins(next, [[next, 'next']])
    await a.give(next)
    await a.assertFree('lock')
  })
}
