import { expect, test } from 'vitest'
import { Child } from './children.js'
import { type Bench, RECOVERS, type Recorder, untilIdle, useBench } from './support.js'

// A worker that goes on after its job's lock has run out: stopped, blocked, or closed by force.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number) => ({ key: 1, value })
const BLOCKED_MS = 8_000

type How = (child: Child) => { readonly goOn: () => void }
const hows: Record<string, How> = {
  'that was stopped for longer than its lease': child => {
    child.process.kill('SIGSTOP')
    return { goOn: () => void child.process.kill('SIGCONT') }
  },
  'whose event loop was blocked for longer than its lease': child => {
    child.process.send(BLOCKED_MS)
    return { goOn: () => {} }
  },
  'that was closed by force': child => {
    child.process.send('close')
    return { goOn: () => {} }
  },
}

test.each(Object.entries(hows))('a worker %s may not go on once another runs its job', async (name, how) => {
  const queue = bench.queue({ onDuplicate: 'delay' })
  const child = new Child(bench, 'paused.js', { options: RECOVERS })
  expect(await child.message()).toBe('ready')
  const first = await queue.add('sync', data(1))
  expect(await child.message()).toBe('running')
  expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('deferred')
  runs.hold()
  const startedAt: bigint[] = []
  bench.worker(async (job, signal) => {
    startedAt.push(process.hrtime.bigint())
    return await runs.run(job, signal)
  }, RECOVERS)
  const { goOn } = how(child)
  await runs.untilStarted(1)
  goOn()
  const told = (await child.message()) as { validAt: string }
  expect(told).toMatchObject({ code: 'LEASE_LOST', aborted: true })
  // Also the trigger that waits is not let in by the end of the old run.
  child.process.send('end')
  if (!name.includes('force')) expect(await child.message()).toBe('not taken')
  expect(runs.started).toEqual([1])
  expect(BigInt(told.validAt)).toBeGreaterThan(0n)
  expect(BigInt(told.validAt)).toBeLessThan(startedAt[0] as bigint)
  runs.letGo()
  await runs.untilStarted(2)
  await untilIdle(bench, queue)
  expect(runs.started).toEqual([1, 2])
  expect(runs.mostAtOnce).toBe(1)
  const job = await queue.getJob(first.id as string)
  expect([job?.returnvalue, job?.attemptsMade]).toEqual([1, 1])
  expect(await bench.held()).toEqual({})
})
