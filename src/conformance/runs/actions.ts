import assert from 'node:assert/strict'
import type { Suite } from '../trial/suite.js'
import { assertSeen } from './seen.js'

/** What a trigger does where its claim is not granted. */
export function actions(suite: Suite): void {
  suite.test('met: nothing is done, whatever state the run is in', async trial => {
    const [a, b] = await trial.clients(2)
    const [run, other] = [a.claim('lock'), b.claim('lock')]
    const meet = { running: 'meet', pending: 'meet', note: 'lost' } as const
    await a.starts(run, { begins: true })
    assertSeen(await b.meets(other, { ...meet, running: 'follow' }), { pending: run })
    await a.begins(run, [])
    assertSeen(await b.meets(other, { ...meet, pending: 'follow' }), { running: run })
    const next = a.claim('lock')
    await a.waits(next, { running: 'follow' })
    assertSeen(await b.meets(other, { ...meet, running: 'follow' }), { running: run, pending: next })
    await b.assertHeldBy('lock', run)
    await b.assertWaiting('lock', next)
    await b.assertPending('lock', next)
    await b.sees(other, 'gone')
  })

  suite.test('wait: each gets a run of its own, in the order they came', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [first, second, third] = [a.claim('lock'), b.claim('lock'), a.claim('lock')]
    await a.waits(first, { running: 'wait', note: 'first' })
    await b.waits(second, { running: 'wait', note: 'second' })
    await a.assertPending('lock', null)
    await b.assertWaiting('lock', first, second)
    await a.waits(third, { running: 'follow', note: 'third' })
    const behind = b.claim('lock')
    await b.waits(behind, { running: 'meet', pending: 'wait' })
    await b.assertWaiting('lock', first, second, third, behind)
    await b.assertPending('lock', third, 1)
    await a.give(run)
    await a.told(first)
    await b.assertHeldBy('lock', first)
  })

  for (const action of ['follow', 'displace'] as const) {
    suite.test(
      `${action}: where a run executes and none is pending, the claim becomes the pending one`,
      async trial => {
        const [a, b] = await trial.clients(2)
        const run = await a.executing('lock')
        const mine = b.claim('lock')
        await b.waits(mine, { running: action, note: 'mine' })
        await a.assertHeldBy('lock', run)
        await a.assertWaiting('lock', mine)
        await a.assertPending('lock', mine, 1)
        await b.sees(run, 'live')
      },
    )
  }

  for (const state of ['waits', 'was granted and has not begun'] as const) {
    const prepare = async (trial: Parameters<Parameters<Suite['test']>[1]>[0]) => {
      const [a, b] = await trial.clients(2)
      const run = state === 'waits' ? await a.executing('lock') : null
      const pending = a.claim('lock')
      const options = { running: 'follow', begins: true, note: 'first' } as const
      const { status } = await a.trigger(pending, options)
      assert.equal(status, run === null ? 'granted' : 'busy')
      return { a, b, run, pending, sight: run === null ? { pending } : { running: run, pending } }
    }

    suite.test(`wait: a pending run that ${state} is left alone`, async trial => {
      const { a, b, pending, sight } = await prepare(trial)
      const mine = b.claim('lock')
      assertSeen(await b.waits(mine, { running: 'meet', pending: 'wait', note: 'mine' }), sight)
      await a.assertPending('lock', pending, 1)
      await a.assertWaiting('lock', ...(sight.running ? [pending, mine] : [mine]))
    })

    suite.test(`follow: the note is left with a pending run that ${state}`, async trial => {
      const { a, b, run, pending, sight } = await prepare(trial)
      const mine = b.claim('lock')
      assertSeen(await b.meets(mine, { running: 'meet', pending: 'follow', note: 'mine' }, pending), sight)
      await a.assertPending('lock', pending, 2)
      await a.assertWaiting('lock', ...(run ? [pending] : []))
      if (run !== null) {
        await a.give(run)
        await a.told(pending)
      }
      await a.assertHeldBy('lock', pending)
      await a.begins(pending, [
        [pending, 'first'],
        [mine, 'mine'],
      ])
    })

    suite.test(`displace: the place of a pending run that ${state} is taken`, async trial => {
      const { a, b, run, pending, sight } = await prepare(trial)
      const mine = b.claim('lock')
      const answer = await b.trigger(mine, { running: 'meet', pending: 'displace', begins: true, note: 'mine' })
      assert.ok('seen' in answer && answer.status === (run === null ? 'granted' : 'busy'), answer.status)
      assertSeen(answer, sight)
      await a.assertPending('lock', mine, 1)
      await a.assertHeldBy('lock', run ?? mine)
      await a.assertWaiting('lock', ...(run ? [mine] : []))
      await a.sees(pending, { by: mine })
    })
  }
}
