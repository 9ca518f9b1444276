import assert from 'node:assert/strict'
import type { LockState } from '../../backend.js'
import type { Suite } from '../trial/suite.js'

const FOLLOW = { running: 'follow', pending: 'follow', begins: true } as const

/** What an operator sees of runs. */
export function shownRuns(suite: Suite): void {
  suite.test('a pending run is shown with its owner, its notes and its time', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    assert.equal((await a.state('lock')).pending, null)
    const [next, adding] = [a.claim('lock'), b.claim('lock')]
    await a.waits(next, FOLLOW)
    const show = async (notes: number) => {
      const expected = { owner: next.owner, notes, notBeforeMs: null }
      assert.deepEqual({ ...(await b.state('lock')).pending }, expected)
    }
    await show(0)
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, next)
    await show(1)
    await a.give(run)
    await a.told(next)
    await show(1)
    await a.begins(next, [[adding, 'adding']])
    assert.equal((await b.state('lock')).pending, null)
  })

  suite.test('a pending run that is put off is shown with the time before which it does not start', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.claim('lock')
    await a.waits(mine, { ...FOLLOW, note: 'mine', debounce: { waitMs: 30_000, maxWaitMs: 60_000 } })
    const { holding, pending, waiting, atMs } = await b.state('lock')
    assert.deepEqual([holding, waiting, pending?.owner, pending?.notes], [0, 1, mine.owner, 1])
    const leftMs = (pending?.notBeforeMs ?? Number.NaN) - atMs
    assert.ok(leftMs > 0 && leftMs <= 30_000, `${leftMs} ms are left of 30,000`)
    assert.ok(Number.isInteger(pending?.notBeforeMs), 'in whole milliseconds')
  })

  suite.test('a list shows pending runs and durable claims as inspect does', async trial => {
    const [a, b] = await trial.clients(2)
    for (const name of ['lock 1', 'lock 2']) {
      await a.executing(name)
      await a.waits(a.claim(name), { ...FOLLOW, note: 'mine' })
      await b.waits(b.claim(name, { durable: true }), { pending: 'wait' })
    }
    await a.executing('lock 3')
    const listed = new Map<string, LockState>()
    for await (const state of b.backend.list('lock')) listed.set(state.name, state)
    assert.deepEqual([...listed.keys()].sort(), ['lock 1', 'lock 2', 'lock 3'])
    for (const [name, { pending, waiters }] of listed) {
      const state = await b.state(name)
      assert.deepEqual([pending, waiters], [state.pending, state.waiters], `${name} in the list`)
      assert.equal(pending !== null, name !== 'lock 3')
    }
  })

  suite.test('a claim that waits is shown as durable if it is', async trial => {
    const a = await trial.client()
    await a.executing('lock')
    for (const durable of [true, false, undefined, true]) await a.queue(a.claim('lock', { durable }))
    await a.waits(a.claim('lock', { durable: true }), { running: 'wait' })
    await a.waits(a.claim('lock'), { running: 'wait' })
    assert.deepEqual(
      (await a.state('lock')).waiters.map(({ durable }) => durable),
      [true, false, false, true, true, false],
    )
  })
}
