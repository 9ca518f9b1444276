import { describe, expect, test } from 'vitest'
import { Crew } from './crew.js'
import { Journal, kinds, Store } from './support.js'

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

describe.each(kinds)('a thousand triggers in one tick, on %s', kind => {
  test.each(['untilExecuted', 'whileExecuting', 'untilExecuting'] as const)(
    'rerun with %s: exactly one more run, with the newest arguments',
    async mode => {
      await using store = Store.of(kind)
      const journal = new Journal<number, number>()
      const options = { mode, onDuplicate: 'rerun', uniqueOn: () => 1 } as const
      const job = store.client().job(
        'many',
        options,
        journal.handler('one', n => n),
      )
      const first = await job.trigger(-1)
      await journal.started(1)
      const outcomes = await Promise.all(numbers(1_000).map(n => job.trigger(n)))
      journal.open()
      expect(await first.result()).toBe(-1)
      const results = await Promise.all(outcomes.map(outcome => outcome.result()))
      expect(new Set(results)).toEqual(new Set([999]))
      expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(['deferred']))
      expect(journal.runs.map(({ args }) => args)).toEqual([-1, 999])
      await expect.poll(() => store.inUse()).toEqual([])
      expect(store.troubles).toEqual([])
    },
  )

  test('merge sees all of them, in order, once', async () => {
    await using store = Store.of(kind)
    const journal = new Journal<number[], number[]>()
    const options = {
      onDuplicate: 'rerun',
      uniqueOn: () => 1,
      merge: (a: number[], b: number[]) => [...a, ...b],
    } as const
    const jobs = [1, 2].map(i =>
      store.client().job(
        'many',
        options,
        journal.handler(`${i}`, n => n),
      ),
    )
    await jobs[0]?.trigger([-1])
    await journal.started(1)
    const outcomes = await Promise.all(numbers(1_000).map(n => jobs[n % 2]?.trigger([n])))
    journal.open()
    await Promise.all(outcomes.map(outcome => outcome?.result()))
    expect(journal.runs.length).toBe(2)
    const merged = journal.runs[1]?.args ?? []
    expect(merged.filter(n => n % 2 === 0)).toEqual(numbers(500).map(n => n * 2))
    expect(merged.filter(n => n % 2 === 1)).toEqual(numbers(500).map(n => n * 2 + 1))
    expect(store.troubles).toEqual([])
  })

  test('replace: one run takes the place of all', async () => {
    await using store = Store.of(kind)
    const journal = new Journal<number, number>()
    const options = { onDuplicate: 'replace', uniqueOn: () => 1 } as const
    const job = store.client().job(
      'many',
      options,
      journal.handler('one', n => n),
    )
    await job.trigger(-1)
    await journal.started(1)
    const outcomes = await Promise.all(numbers(1_000).map(n => job.trigger(n)))
    journal.open()
    expect(new Set(await Promise.all(outcomes.map(outcome => outcome.result())))).toEqual(new Set([999]))
    expect(journal.runs.map(({ args }) => args)).toEqual([-1, 999])
  })

  test('one after the other: a chain of displaced runs leads to the last', async () => {
    await using store = Store.of(kind)
    const journal = new Journal<number, number>()
    const options = { onDuplicate: 'rerun', uniqueOn: () => 1 } as const
    const jobs = [1, 2].map(i =>
      store.client().job(
        'chain',
        options,
        journal.handler(`${i}`, n => n),
      ),
    )
    await jobs[0]?.trigger(-1)
    await journal.started(1)
    const outcomes = []
    for (const n of numbers(200)) outcomes.push(await jobs[n % 2]?.trigger(n))
    journal.open()
    expect(new Set(await Promise.all(outcomes.map(outcome => outcome?.result())))).toEqual(new Set([199]))
    expect(journal.runs.map(({ args }) => args)).toEqual([-1, 199])
    expect(store.troubles).toEqual([])
  })
})

describe.each(['redis', 'sqlite'] as const)('four processes with 250 triggers each, on %s', kind => {
  test.each([true, false])('exactly one more run (merge: %s)', async merges => {
    await using crew = new Crew(kind)
    const options = { uniqueOn: ['key'], onDuplicate: 'rerun' }
    const workers = await Promise.all([0, 1, 2, 3].map(() => crew.worker(options, merges)))
    const first = await workers[0]?.trigger({ key: 1, n: [-1] })
    await crew.untilStarted(1)
    const burst = (w: number) => numbers(250).map(i => ({ key: 1, n: [w * 1_000 + i] }))
    const triggered = await Promise.all(workers.map((worker, w) => worker.triggerMany(burst(w))))
    await crew.open()
    await first?.result()
    const results = (await Promise.all(triggered.map(({ results }) => results()))).flat() as { n: number[] }[]
    expect(crew.started.length).toBe(2)
    const run = crew.started[1]?.args as { n: number[] }
    expect(new Set(results.map(result => JSON.stringify(result)))).toEqual(new Set([JSON.stringify(run)]))
    if (merges) {
      // In the order of the store: of each process, in the order it triggered.
      expect(run.n.length).toBe(1_000)
      for (const w of [0, 1, 2, 3]) {
        expect(run.n.filter(n => Math.floor(n / 1_000) === w)).toEqual(numbers(250).map(i => w * 1_000 + i))
      }
    } else expect(run.n.every(n => n % 1_000 === 249)).toBe(true)
    expect(new Set(triggered.flatMap(({ statuses }) => statuses))).toEqual(new Set(['deferred']))
  })
})
