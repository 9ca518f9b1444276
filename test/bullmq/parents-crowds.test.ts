import { describe, expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import { type Crowd, logged, Producers, workersOf } from './crowd.js'
import { CELLS, jobOf, joins, losing, Parents, untilClean } from './many-parents.js'
import { type Bench, connectionTo, useBench } from './support.js'

// A thousand children of a hundred parents by four processes, while others run what they add. One of the four loses answers, another
// has them late.

let bench: Bench
useBench('may fail', fresh => {
  bench = fresh
})

describe.each(['one step', 'two steps'] as const)('lock and job in %s', steps => {
  const how = () => (steps === 'one step' ? {} : { apart: true, graceMs: 20_000 })

  test.each(CELLS)('%s, %s', { timeout: 300_000 }, async (mode, strategy) => {
    const job = jobOf(mode, strategy)
    const merges = strategy === 'rerun'
    const parents = await Parents.in(bench, 100)
    const [lossy, late] = [
      await startProxy(connectionTo(bench.url).port),
      await startProxy(connectionTo(bench.url).port),
    ]
    for (const proxy of [lossy, late]) bench.closeLater(() => proxy.close())
    const crowd: Crowd = {
      ...{ ...how(), job, merges, tells: true },
      ...{ keys: 20, parents: parents.ids, urls: [lossy.url, late.url] },
    }
    const producers = await new Producers(bench, crowd).ready()
    await workersOf(bench, 2, { ...how(), job, merges, workMs: 3 })
    losing(lossy, 12, 9)
    late.delayReplies(50)
    producers.go()
    const outcomes = await producers.outcomes()
    expect(outcomes.size).toBe(1_000)
    await parents.open()
    await parents.ended()
    await parents.expectCovered(outcomes, !joins(steps, strategy))
    await untilClean(bench)
    expect((await logged(bench)).most).toBe(1)
  })
})
