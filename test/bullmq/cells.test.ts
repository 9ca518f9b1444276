import { DuplicateJobError } from 'soloist'
import type { SingletonMode, SingletonStrategy } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, type Recorder, type TestQueue, untilIdle, useBench } from './support.js'

// Every mode with every strategy: what a trigger is told, and which data is run in the end.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

/** What a trigger came to: its status, or that it was rejected. */
type Answer = 'started' | 'duplicate' | 'replaced' | 'deferred' | 'rejected'

interface Cell {
  /** The second trigger's answer while the first job waits in the queue, and which data is run. */
  readonly queued: readonly [Answer, readonly number[]]
  /** The second's and third's answers while the first job runs, and which data is run. */
  readonly running: readonly [Answer, Answer, readonly number[]]
}

const cells: Record<SingletonMode, Record<SingletonStrategy, Cell>> = {
  untilExecuted: {
    join: { queued: ['duplicate', [1]], running: ['duplicate', 'duplicate', [1]] },
    skip: { queued: ['duplicate', [1]], running: ['duplicate', 'duplicate', [1]] },
    reject: { queued: ['rejected', [1]], running: ['rejected', 'rejected', [1]] },
    replace: { queued: ['replaced', [2]], running: ['replaced', 'replaced', [1, 3]] },
    rerun: { queued: ['duplicate', [2]], running: ['deferred', 'deferred', [1, 3]] },
    delay: { queued: ['deferred', [1, 2]], running: ['deferred', 'deferred', [1, 2, 3]] },
  },
  untilExecuting: {
    join: { queued: ['duplicate', [1]], running: ['started', 'duplicate', [1, 2]] },
    skip: { queued: ['duplicate', [1]], running: ['started', 'duplicate', [1, 2]] },
    reject: { queued: ['rejected', [1]], running: ['started', 'rejected', [1, 2]] },
    replace: { queued: ['replaced', [2]], running: ['started', 'replaced', [1, 3]] },
    rerun: { queued: ['duplicate', [2]], running: ['started', 'duplicate', [1, 3]] },
    delay: { queued: ['deferred', [1, 2]], running: ['started', 'deferred', [1, 2, 3]] },
  },
  whileExecuting: {
    join: { queued: ['started', [1, 2]], running: ['duplicate', 'duplicate', [1]] },
    skip: { queued: ['started', [1, 2]], running: ['duplicate', 'duplicate', [1]] },
    reject: { queued: ['started', [1, 2]], running: ['rejected', 'rejected', [1]] },
    replace: { queued: ['started', [1, 2]], running: ['replaced', 'replaced', [1, 3]] },
    rerun: { queued: ['started', [1, 2]], running: ['deferred', 'deferred', [1, 3]] },
    delay: { queued: ['started', [1, 2]], running: ['deferred', 'deferred', [1, 2, 3]] },
  },
  untilAndWhileExecuting: {
    join: { queued: ['duplicate', [1]], running: ['deferred', 'duplicate', [1, 2]] },
    skip: { queued: ['duplicate', [1]], running: ['deferred', 'duplicate', [1, 2]] },
    reject: { queued: ['rejected', [1]], running: ['deferred', 'rejected', [1, 2]] },
    replace: { queued: ['replaced', [2]], running: ['deferred', 'replaced', [1, 3]] },
    rerun: { queued: ['duplicate', [2]], running: ['deferred', 'duplicate', [1, 3]] },
    delay: { queued: ['deferred', [1, 2]], running: ['deferred', 'deferred', [1, 2, 3]] },
  },
  untilExpired: {
    join: { queued: ['duplicate', [1]], running: ['duplicate', 'duplicate', [1]] },
    skip: { queued: ['duplicate', [1]], running: ['duplicate', 'duplicate', [1]] },
    reject: { queued: ['rejected', [1]], running: ['rejected', 'rejected', [1]] },
    replace: { queued: ['replaced', [2]], running: ['replaced', 'replaced', [1, 3]] },
    rerun: { queued: ['deferred', [1, 2]], running: ['deferred', 'deferred', [1, 3]] },
    delay: { queued: ['deferred', [1, 2]], running: ['deferred', 'deferred', [1, 2, 3]] },
  },
}

/** Triggers once more and says what it was told. */
async function trigger(queue: TestQueue, value: number): Promise<Answer> {
  try {
    const { outcome } = await queue.addUnique('sync', { key: 7, value })
    expect(outcome.guaranteed).toBe(true)
    return outcome.status as Answer
  } catch (error) {
    expect(error).toBeInstanceOf(DuplicateJobError)
    return 'rejected'
  }
}

const grid = (Object.keys(cells) as SingletonMode[]).flatMap((mode): [SingletonMode, 'one step' | 'two steps'][] => [
  [mode, 'one step'],
  [mode, 'two steps'],
])

describe.each(grid)('%s, lock and job in %s', (mode, steps) => {
  // Runs exclude each other in these modes, also when there is room for both.
  const alone = mode !== 'untilExecuting' && mode !== 'untilExpired'
  const concurrency = alone ? 5 : 1
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo })
  const open = async (options: Parameters<Bench['queue']>[0]) => {
    const queue = bench.queue(options, solo())
    await queue.waitUntilReady()
    return queue
  }

  for (const [onDuplicate, { queued, running }] of Object.entries(cells[mode]) as [SingletonStrategy, Cell][]) {
    // The period has to last until all triggers are made. Only where something waits for its end, it has to end.
    const ends = onDuplicate === 'rerun' || onDuplicate === 'delay'
    const expiry = mode === 'untilExpired' ? { expiryMs: ends ? 4_000 : 60_000 } : {}
    test(`${onDuplicate}: a trigger while the job is queued`, async () => {
      const queue = await open({ mode, onDuplicate, ...expiry })
      expect(await trigger(queue, 1)).toBe('started')
      const [answer, ran] = queued
      expect(await trigger(queue, 2)).toBe(answer)
      bench.worker(runs.run, { concurrency, singleton: solo() })
      await runs.untilStarted(ran.length)
      await untilIdle(bench, queue)
      expect(runs.started.toSorted()).toEqual(ran)
      if (alone) expect(runs.mostAtOnce).toBe(1)
    })

    test(`${onDuplicate}: two triggers while the job runs`, async () => {
      const queue = await open({ mode, onDuplicate, ...expiry })
      runs.hold()
      bench.worker(runs.run, { concurrency, singleton: solo() })
      expect(await trigger(queue, 1)).toBe('started')
      await runs.untilStarted(1)
      const [second, third, ran] = running
      expect(await trigger(queue, 2)).toBe(second)
      expect(await trigger(queue, 3)).toBe(third)
      runs.letGo()
      await runs.untilStarted(ran.length)
      await untilIdle(bench, queue)
      expect(runs.started.toSorted()).toEqual(ran)
      expect(runs.started[0]).toBe(1)
      if (alone) expect(runs.mostAtOnce).toBe(1)
      if (alone) expect(runs.fences).toEqual(runs.fences.toSorted((a, b) => a - b))
    })
  }
})
