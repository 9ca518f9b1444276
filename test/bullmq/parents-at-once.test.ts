import { randomUUID } from 'node:crypto'
import type { SingletonOutcome } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import { logOf } from './crowd.js'
import { CELLS, jobOf, joins, losing, Parents, persisting, untilClean } from './many-parents.js'
import {
  type Bench,
  connectionTo,
  type Merged,
  numbers,
  type Recorder,
  type TestQueue,
  useBench,
  valuesOf,
} from './support.js'

// A thousand children of fifty parents in one tick, whose keys meet live jobs, queued and running. Of four processes see
// `parents-crowds.test.ts`.

let bench: Bench
let runs: Recorder
useBench('may fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const MANY = 1_000
const KEYS = 20
const all = numbers(MANY)
const data = (value: number, key = value % KEYS) => ({ key, value })
const merge = (a: Merged, b: Merged): Merged => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] })

describe.each(['one step', 'two steps'] as const)('lock and job in %s', steps => {
  // Longer than a busy machine takes for a thousand triggers: then who has the lock counts as one that died.
  const solo = () => (steps === 'one step' ? {} : { solo: bench.solo, graceMs: 20_000 })

  /** A thousand by two queues, half of them by one call, and what is run of it. */
  async function thousand([mode, strategy]: (typeof CELLS)[number], [one, two]: readonly TestQueue[]) {
    const job = { ...jobOf(mode, strategy), ...(strategy === 'rerun' ? { merge } : {}) } as never
    const parents = await Parents.in(bench, 50)
    runs.hold()
    const write = (...entry: unknown[]) => bench.redis.rpush(logOf(bench), JSON.stringify(entry))
    let [live, most] = [new Map<number, number>(), 0]
    bench.worker(
      async (job, signal) => {
        const [{ key }, run] = [job.data, randomUUID()]
        live = live.set(key, (live.get(key) ?? 0) + 1)
        most = Math.max(most, live.get(key) ?? 0)
        await write('start', 0, key, valuesOf(job.data), run, job.id)
        const value = await runs.run(job, signal)
        live.set(key, (live.get(key) ?? 0) - 1)
        await write('end', 0, key, valuesOf(job.data), run, job.id)
        return value
      },
      { concurrency: KEYS / 2, singleton: { ...solo(), jobs: { sync: { uniqueOn: ['key'], ...(job as object) } } } },
    )
    const queue = bench.queue(job, solo())
    for (const key of numbers(KEYS)) await queue.add('sync', data(-1 - key, key))
    await runs.untilStarted(KEYS / 2)
    const outcomes = new Map<number, SingletonOutcome>()
    const [single, bulk] = [all.filter(value => value % 40 < 20), all.filter(value => value % 40 >= 20)]
    const add = (value: number) => (one as TestQueue).addUnique('sync', data(value), { parent: parents.of(value) })
    const items = bulk.map(value => ({ name: 'sync', data: data(value), opts: { parent: parents.of(value) } }))
    const [, jobs] = await Promise.all([
      Promise.all(single.map(async value => outcomes.set(value, (await persisting(() => add(value))).outcome))),
      persisting(() => (two as TestQueue).addBulk(items)),
    ])
    for (const [i, value] of bulk.entries()) outcomes.set(value, jobs[i]?.singleton as SingletonOutcome)
    await parents.open()
    // Nothing has been run yet.
    expect((await parents.run()).size).toBe(0)
    runs.letGo()
    await parents.ended()
    await parents.expectCovered(outcomes, !joins(steps, strategy))
    await untilClean(bench)
    expect(most).toBe(1)
    return outcomes
  }

  const definition = (strategy: string) => (strategy === 'rerun' ? { merge } : {}) as object

  test.each(CELLS)('%s, %s', { timeout: 180_000 }, async (...cell) => {
    const job = { ...jobOf(...cell), ...definition(cell[1]) }
    await thousand(cell, [bench.queue(job, solo()), bench.queue(job, solo())])
    expect(bench.faults).toEqual([])
  })

  test.each(CELLS)('%s, %s, and answers are lost or come late', { timeout: 180_000 }, async (...cell) => {
    const job = { ...jobOf(...cell), ...definition(cell[1]) }
    const proxies = [await startProxy(connectionTo(bench.url).port), await startProxy(connectionTo(bench.url).port)]
    for (const proxy of proxies) bench.closeLater(() => proxy.close())
    const [lossy, late] = proxies as [(typeof proxies)[0], (typeof proxies)[0]]
    const queues = [
      await bench.queueThrough(lossy, job, 'work', steps),
      await bench.queueThrough(late, job, 'work', steps),
    ]
    losing(lossy, 12, 9)
    late.delayReplies(50)
    await thousand(cell, queues)
  })
})
