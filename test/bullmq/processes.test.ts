import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Child } from './children.js'
import { type Bench, type Recorder, until, untilIdle, useBench } from './support.js'

// Processes that die or stop at the worst moment. After each: no blocked key, no second live job, no accepted job lost.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number) => ({ key: 1, value })

describe('a producer, where lock and job are two steps,', () => {
  const job = { uniqueOn: ['key'] as const }

  test('killed between its lock and its job blocks the key for the grace time only', async () => {
    const child = new Child(bench, 'producer.js', { job, graceMs: 300 })
    expect(await child.message()).toBe('locked')
    expect(Object.values(await bench.held())).toHaveLength(1)
    await child.kill()
    const queue = bench.queue({}, { solo: bench.solo, graceMs: 500 })
    const { outcome } = await queue.addUnique('sync', data(2))
    expect(outcome.status).toBe('recovered')
    expect(queue.singleton.counts()).toMatchObject({ recovered: 1, started: 0 })
    bench.worker(runs.run, { singleton: { solo: bench.solo } })
    await runs.untilStarted(1)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([2])
  })

  test('never makes others duplicates of a job that did not come', async () => {
    const child = new Child(bench, 'producer.js', { job, graceMs: 300 })
    expect(await child.message()).toBe('locked')
    // Long enough for the one that takes its place, too.
    const queue = bench.queue({}, { solo: bench.solo, graceMs: 4_000 })
    const triggers = [2, 3, 4].map(value => queue.addUnique('sync', data(value)))
    await child.kill()
    const outcomes = (await Promise.all(triggers)).map(({ outcome }) => outcome)
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['duplicate', 'duplicate', 'recovered'])
    expect(new Set(outcomes.map(({ id }) => id)).size).toBe(1)
    expect((await queue.getJobCounts()).waiting).toBe(1)
  })

  test('that appears within the grace time is joined', async () => {
    const child = new Child(bench, 'producer.js', { job, graceMs: 10_000 })
    expect(await child.message()).toBe('locked')
    const queue = bench.queue({}, { solo: bench.solo, graceMs: 10_000 })
    const trigger = queue.addUnique('sync', data(2))
    await Promise.race([trigger, sleep(50)])
    child.process.send('go')
    const first = (await child.message()) as { id: string; status: string }
    expect(first.status).toBe('started')
    expect((await trigger).outcome).toMatchObject({ status: 'duplicate', id: first.id })
  })

  test('paused for longer than the grace time: its job waits for the one that took its place, and says so', async () => {
    const child = new Child(bench, 'producer.js', { job, graceMs: 300 })
    expect(await child.message()).toBe('locked')
    const queue = bench.queue({}, { solo: bench.solo, graceMs: 500 })
    const { outcome } = await queue.addUnique('sync', data(2))
    expect(outcome.status).toBe('recovered')
    runs.hold()
    const worker = bench.worker(runs.run, { singleton: { solo: bench.solo } })
    const lapsed = once(worker.singleton, 'lapsed')
    await runs.untilStarted(1)
    child.process.send('go')
    const late = (await child.message()) as { id: string; status: string }
    expect(late.status).toBe('started')
    expect(await lapsed).toEqual([expect.objectContaining({ name: 'sync', id: late.id, action: 'waits' })])
    expect(runs.started).toEqual([2])
    runs.letGo()
    await runs.untilStarted(2)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([2, 1])
    expect(runs.mostAtOnce).toBe(1)
  })
})

describe('a worker killed in the middle of a job', () => {
  const options = { lockDuration: 2_000, skipStalledCheck: true }
  const recovers = { stalledInterval: 200, maxStalledCount: 5 }

  test('and triggers that race its recovery are duplicates all the while', async () => {
    const queue = bench.queue({})
    const { id } = await queue.add('sync', data(1))
    const child = new Child(bench, 'worker.js', { log: `${bench.prefix}-log`, workMs: 20_000, options })
    expect(await child.message()).toBe('ready')
    expect(await child.message()).toBe('running')
    await child.kill()
    runs.hold()
    bench.worker(runs.run, recovers)
    const answers = new Set<string>()
    await until(async () => {
      const { outcome } = await queue.addUnique('sync', data(2))
      answers.add(`${outcome.status} ${outcome.id}`)
      return runs.started.length > 0
    })
    runs.letGo()
    await untilIdle(bench, queue)
    expect([...answers]).toEqual([`duplicate ${id}`])
    expect(runs.started).toEqual([1])
  })

  test('and a trigger that wants a run of its own gets it after the recovered one', async () => {
    const queue = bench.queue({ onDuplicate: 'rerun' })
    await queue.add('sync', data(1))
    const child = new Child(bench, 'worker.js', { log: `${bench.prefix}-log`, workMs: 20_000, options })
    expect(await child.message()).toBe('ready')
    expect(await child.message()).toBe('running')
    await child.kill()
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('deferred')
    expect((await queue.addUnique('sync', data(3))).outcome.status).toBe('deferred')
    bench.worker(runs.run, recovers)
    await runs.untilStarted(2)
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([1, 3])
    expect(runs.mostAtOnce).toBe(1)
  })
})

describe('a deploy', () => {
  test('that changes uniqueOn leaves no key of the old kind', async () => {
    const before = bench.queue({ uniqueOn: ['key'] })
    await before.add('sync', data(1))
    const after = bench.queue({ uniqueOn: ['key', 'value'] })
    expect((await after.addUnique('sync', data(1))).outcome.status).toBe('started')
    expect((await before.addUnique('sync', data(2))).outcome.status).toBe('duplicate')
    bench.worker(runs.run)
    await runs.untilStarted(2)
    await untilIdle(bench, after)
    expect(await bench.held()).toEqual({})
    expect((await before.addUnique('sync', data(3))).outcome.status).toBe('started')
  })

  test('that changes mode and strategy lets jobs end by the old ones', async () => {
    const before = bench.queue({ mode: 'untilExecuting', onDuplicate: 'skip' })
    await before.add('sync', data(1))
    const after = bench.queue({ mode: 'untilExecuted', onDuplicate: 'rerun' })
    // The old one's data cannot be changed: its worker would not look again.
    expect((await after.addUnique('sync', data(2))).outcome.status).toBe('deferred')
    bench.worker(runs.run)
    await runs.untilStarted(2)
    await untilIdle(bench, after)
    expect(runs.started.toSorted()).toEqual([1, 2])
    expect(await bench.held()).toEqual({})
  })
})
