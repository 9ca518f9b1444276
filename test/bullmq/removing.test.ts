import { describe, expect, test } from 'vitest'
import { type Bench, type Recorder, untilIdle, useBench } from './support.js'

// A queue of ours removes many jobs at once: what they held, and waited for, is given up with them.

let bench: Bench
let runs: Recorder
useBench('must not fail', (...fresh) => {
  ;[bench, runs] = fresh
})

const data = (value: number, key = 1) => ({ key, value })
/** What waits for it to pass fails. */
const NEVER_MS = 600_000

async function locks(): Promise<readonly { holders: readonly string[]; waiters: readonly string[] }[]> {
  const all = []
  for await (const { holders, waiters } of bench.solo.jobs.list()) {
    all.push({ holders: holders.map(({ owner }) => owner), waiters: waiters.map(({ owner }) => owner) })
  }
  return all
}

describe.each(['one step', 'two steps'])('lock and job in %s', steps => {
  const solo = () => ({ ...(steps === 'one step' ? {} : { solo: bench.solo }), graceMs: NEVER_MS })

  test('obliterate: nothing is left, whoever waited', async () => {
    const queue = bench.queue({ onDuplicate: 'delay' }, solo())
    for (const value of [1, 2, 3, 4]) await queue.add('sync', data(value))
    const period = bench.queue({ mode: 'untilExpired', expiryMs: NEVER_MS }, solo())
    await period.add('sync', data(5, 5))
    await queue.obliterate()
    expect(await locks()).toEqual([])
    expect((await queue.addUnique('sync', data(6))).outcome.status).toBe('started')
    expect((await period.addUnique('sync', data(7, 5))).outcome.status).toBe('started')
  })

  test('obliterate by force: the run is told at once, though its next job starts beside it', async () => {
    const queue = bench.queue({}, solo())
    runs.hold()
    const worker = bench.worker(runs.run, { singleton: solo() })
    const told = new Promise<string>(resolve => worker.singleton.on('lapsed', ({ action }) => resolve(action)))
    await queue.add('sync', data(1))
    await queue.add('sync', data(9, 9))
    await runs.untilStarted(2)
    const beganMs = performance.now()
    await queue.obliterate({ force: true })
    // Their worker extends BullMQ's locks every fifteen seconds.
    expect(await told).toBe('ended')
    expect(performance.now() - beganMs).toBeLessThan(5_000)
    expect(runs.aborted).toEqual([1, 9])
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('started')
    await queue.resume()
    await runs.untilStarted(3)
    expect(runs.aborted).toEqual([1, 9])
    runs.letGo()
    await untilIdle(bench, queue)
    expect(runs.ended).toContain(2)
    // BullMQ tells that these jobs are gone.
    expect(new Set(bench.faults.splice(0).map(fault => (fault as { code?: number }).code))).toEqual(new Set([-1]))
  })

  test('drain: who waits and stays is next at once', async () => {
    const queue = bench.queue({ onDuplicate: 'delay' }, solo())
    await queue.add('sync', data(1))
    const next = await queue.add('sync', data(2), { delay: 500 })
    await queue.drain()
    expect(await locks()).toEqual([{ holders: [expect.stringContaining(`:${next.id}`)], waiters: [] }])
    bench.worker(runs.run, { singleton: solo() })
    await untilIdle(bench, queue)
    expect(runs.started).toEqual([2])
  })

  test('drain of all: nothing is left, of many', async () => {
    const queue = bench.queue({ onDuplicate: 'delay' }, solo())
    const numbers = Array.from({ length: 1_200 }, (_, i) => i)
    await queue.addBulk(numbers.map(i => ({ name: 'sync', data: data(i, i % 400) })))
    await queue.drain(true)
    const left = await locks()
    // In one step a job that is gone is found when it is met, or looked at.
    if (steps === 'two steps') expect(left).toEqual([])
    expect((await queue.addUnique('sync', data(-1))).outcome.status).toMatch(/^(started|recovered)$/)
  })

  test.each(['wait', 'delayed'] as const)('clean of %s', async type => {
    const queue = bench.queue({ onDuplicate: 'delay' }, solo())
    const first = await queue.add('sync', data(1))
    const next = await queue.add('sync', data(2), { delay: 60_000 })
    const removed = await queue.clean(-1_000, 10, type)
    expect(removed).toEqual([type === 'wait' ? first.id : next.id])
    const stays = type === 'wait' ? next : first
    const [lock] = await locks()
    expect(lock?.holders).toEqual([expect.stringContaining(`:${stays.id}`)])
    if (steps === 'two steps') expect(lock?.waiters).toEqual([])
  })

  test('what is being added meanwhile keeps its lock', async () => {
    const queue = bench.queue({}, solo())
    const adds = Array.from({ length: 50 }, (_, i) => queue.add('sync', data(i, i)))
    await Promise.all([...adds, queue.drain(), queue.clean(0, 100, 'wait')])
    const left = await queue.getJobs(['wait'])
    const held = Object.values(await bench.held())
    for (const { id } of left) expect(held.some(owner => owner.endsWith(`:${id}`))).toBe(true)
  })
})
