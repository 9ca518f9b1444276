// Guards invariant J6 of docs/guarantees.md.
import { describe, expect, test } from 'vitest'
import { type Bench, type Recorder, until, untilIdle, useBench } from './support.js'

// What counts as a lapse when a job ends: that somebody had its lock while it ran, and nothing else.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number) => ({ key: 1, value })

describe('a lapse', () => {
  function lapsesOf(worker: ReturnType<Bench['worker']>): unknown[] {
    const lapsed: unknown[] = []
    worker.singleton.on('lapsed', event => lapsed.push(event))
    return lapsed
  }

  test('is a lock that was taken while its job ran', async () => {
    const queue = bench.queue({})
    runs.hold()
    const lapsed = lapsesOf(bench.worker(runs.run))
    const { id } = await queue.add('sync', data(1))
    await runs.untilStarted(1)
    const [trigger = ''] = Object.keys(await bench.held())
    const replaces = `bullmq:${queue.qualifiedName}:${id}`
    expect((await bench.solo.jobs.take(trigger, 'intruder', { replaces })).status).toBe('granted')
    // Within one millisecond nobody could tell which came first.
    await until(async () => Number((await bench.solo.jobs.holder(trigger))?.ageMs) > 10)
    runs.letGo()
    await until(() => lapsed.length === 1)
    expect(lapsed).toEqual([expect.objectContaining({ id, action: 'ended' })])
    await bench.solo.jobs.release(trigger, 'intruder')
  })

  test.each(['join', 'rerun', 'replace', 'delay'] as const)(
    'is not a run of ours that takes long, where lock and job are two steps: %s',
    async onDuplicate => {
      const solo = { solo: bench.solo }
      const queue = bench.queue({ onDuplicate }, solo)
      const lapsed: unknown[] = []
      queue.singleton.on('lapsed', event => lapsed.push(event))
      runs.hold()
      bench.worker(runs.run, { singleton: solo })
      const { id } = await queue.add('sync', data(1))
      await runs.untilStarted(1)
      await bench.redis.hset(`${bench.prefix}:work:${id}`, 'processedOn', Date.now() - 60_000)
      for (const value of [2, 3]) await queue.add('sync', data(value))
      runs.letGo()
      await untilIdle(bench, queue)
      expect(lapsed).toEqual([])
    },
  )

  test('is not that the next job takes over the key of one that has just ended', async () => {
    const queue = bench.queue({})
    const lapsed = lapsesOf(bench.worker(runs.run))
    const adder = async () => {
      while (runs.started.length < 200) await queue.add('sync', data(1))
    }
    await Promise.all([adder(), adder(), adder()])
    await untilIdle(bench, queue)
    expect(lapsed).toEqual([])
    expect(runs.mostAtOnce).toBe(1)
  })
})
