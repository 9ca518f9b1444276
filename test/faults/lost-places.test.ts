// Guards invariants J4 and J8 of docs/guarantees.md.
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { Stage } from './support.js'

// A claim is passed over when its client hears nothing of its grant. Where the answer to its trigger was lost as well, the
// trigger is sent again: as another run, since what others left with the first is gone with it.

interface Data {
  readonly key: number
  readonly values: readonly number[]
}

test('a pending run whose client was not told of its place, and whose grant reached nobody, loses nothing of others', async () => {
  await using stage = await Stage.open()
  const runs: number[][] = []
  let letGo = () => {}
  const gate = new Promise<void>(resolve => {
    letGo = resolve
  })
  const job = (solo: ReturnType<Stage['direct']>) =>
    solo.job(
      'merged',
      {
        uniqueOn: ['key'],
        onDuplicate: 'rerun',
        merge: (older: Data, newer: Data) => ({ ...newer, values: [...older.values, ...newer.values] }),
      },
      async ({ values }: Data) => {
        runs.push([...values])
        if (values.includes(0)) await gate
      },
    )
  const [first, second, third] = [stage.direct(), stage.behindProxy(), stage.direct()]
  const trigger = async (solo: typeof first, value: number) =>
    await (await job(solo).trigger({ key: 1, values: [value] })).result()

  const running = trigger(first, 0)
  await expect.poll(() => runs).toEqual([[0]])
  // The second client hears pushes, until its connection for them is cut where it does not see that.
  const held = await first.lock('other')
  const waiting = second.lock('other')
  await once(second, 'waiting')
  await stage.hears(second, 'other')
  await held.release()
  await (await waiting).release()
  await stage.proxy.cutPushesBehind()
  const lock = `job:merged:${job(first).key({ key: 1, values: [] })}`
  const lost = stage.proxy.dropReplyTo(words => words.includes(`soloist:${lock}`), 'stall')
  const covered = [trigger(second, 1)]
  await lost.hit
  covered.push(trigger(third, 2))
  await expect.poll(async () => (await third.jobs.inspect(lock))?.pending?.notes).toBe(2)
  // The third client watches that run.
  const noted = async () => (await stage.admin.hkeys(`{soloist:${lock}}:d2`)).filter(field => field.startsWith('w'))
  await expect.poll(noted).toHaveLength(1)
  letGo()
  await running
  await expect.poll(async () => (await third.jobs.inspect(lock))?.pending ?? null).toBeNull()
  // It is sent again.
  stage.proxy.resetAll()
  await Promise.all(covered)
  expect(runs[0]).toEqual([0])
  expect(runs.slice(1).flat().toSorted()).toEqual([1, 2])
})
