import assert from 'node:assert/strict'
import type { Claim } from '../../backend.js'
import type { TrialClient } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

const FOLLOW = { running: 'follow', pending: 'follow' } as const

/** What a trigger learns of the note that it left with a run, of which nobody knows whether its owner will begin it. */
export function takingBack(suite: Suite): void {
  suite.test('a note that the owner of the run was told of stays, and who takes it back is told so', async trial => {
    const [a, b] = await trial.clients(2)
    const [run, adding, never] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    await a.starts(run, { begins: true, note: 'run' })
    await b.meets(adding, { ...FOLLOW, note: 'adding' }, run)
    const left = [
      [run, 'run'],
      [adding, 'adding'],
    ] as const
    await a.begins(run, left)
    for (let i = 0; i < 2; i += 1) await assertBack(b, run, adding, 'adding')
    await assertBack(b, run, never, null)
    await a.begins(run, left)
    await a.give(run)
    await assertOver(b, run, adding, 'lost')
  })

  suite.test('a note that is taken back is not told to the run, which nobody adds to any more', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [run, first, adding, next] = [a.claim('lock'), b.claim('lock'), b.claim('lock'), c.claim('lock')]
    await a.starts(run, { begins: true, note: 'run' })
    await b.meets(first, { ...FOLLOW, note: 'first' }, run)
    await c.meets(adding, { ...FOLLOW, note: 'adding' }, run)
    for (let i = 0; i < 2; i += 1) await assertBack(c, run, adding, null)
    await a.assertPending('lock', null)
    await a.assertHeldBy('lock', run)
    await c.waits(next, { ...FOLLOW, note: 'next' })
    await a.assertPending('lock', next, 1)
    const left = [
      [run, 'run'],
      [first, 'first'],
    ] as const
    await a.begins(run, left)
    await assertBack(b, run, first, 'first')
    await a.begins(run, left)
    await a.give(run)
    await assertOver(b, run, first, 'lost')
  })

  suite.test('of a run that ended, and whose owner had not begun it, word is kept', async trial => {
    const [a, b, c] = await trial.clients(3)
    const cases: readonly [string, (run: Claim, adding: Claim) => Promise<unknown>][] = [
      ['released', run => a.give(run)],
      ['taken back before', (run, adding) => assertBack(b, run, adding, null).then(() => a.give(run))],
      ['without', run => c.starts(c.claim(run.name), { without: run.owner })],
    ]
    for (const [name, end] of cases) {
      const [run, adding] = [a.claim(name), b.claim(name)]
      await a.starts(run, { begins: true, note: 'run' })
      await b.meets(adding, { ...FOLLOW, note: 'adding' }, run)
      await end(run, adding)
      for (let i = 0; i < 2; i += 1) await assertOver(b, run, adding, 'displaced')
      await a.beginsNot(run, `${name}: it is over`)
    }
  })

  suite.test('the word is of the last run of this owner, and tells its trigger nothing', async trial => {
    const [a, b] = await trial.clients(2)
    const [run, adding, again] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    for (const other of [adding, again]) {
      await a.starts(run, { begins: true, note: 'run' })
      await b.meets(other, { ...FOLLOW, note: 'other' }, run)
      if (other === again)
        await a.begins(run, [
          [run, 'run'],
          [again, 'other'],
        ])
      await a.give(run)
      await assertOver(b, run, other, other === again ? 'lost' : 'displaced')
    }
  })

  suite.test(
    'a pending run that waits keeps its notes, and one of which nobody left any ends without a word',
    async trial => {
      const [a, b] = await trial.clients(2)
      const running = await a.executing('lock')
      const [run, adding, alone] = [a.claim('lock'), b.claim('lock'), a.claim('alone')]
      await a.waits(run, { ...FOLLOW, note: 'run' })
      await b.meets(adding, { ...FOLLOW, note: 'adding' }, run)
      await assertOver(b, run, adding, 'lost')
      await a.assertPending('lock', run, 2)
      await a.give(running)
      await a.told(run)
      await a.begins(run, [
        [run, 'run'],
        [adding, 'adding'],
      ])
      await a.starts(alone, { begins: true, note: 'alone' })
      await a.give(alone)
      await assertOver(b, alone, adding, 'lost')
    },
  )
}

/** @param text of the note that its run's owner was told of; `null`: it was taken back */
async function assertBack(client: TrialClient, run: Claim, by: Claim, text: string | null): Promise<void> {
  const answer = await client.takesBack(run, by)
  assert.ok(answer.status === 'begun', `${run.owner} is held: ${answer.status}`)
  assert.deepEqual(answer.notes, text === null ? [] : [{ owner: by.owner, text }])
}

async function assertOver(client: TrialClient, run: Claim, by: Claim, status: 'lost' | 'displaced'): Promise<void> {
  const answer = await client.takesBack(run, by)
  assert.deepEqual(answer, status === 'lost' ? { status } : { status, by: '' })
}
