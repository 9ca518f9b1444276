import assert from 'node:assert/strict'
import { checkHistory, checkHistoryParts, type HistoryRecord, type Violation } from 'soloist/conformance'
import { describe, test } from 'vitest'

const name = 'job'
type Records = readonly HistoryRecord[]

const trigger = (id: string, atMs: number, covers: 'later' | 'live' = 'later', merges = false): HistoryRecord => {
  return { event: 'trigger', name, trigger: id, atMs, covers, merges, process: `process of ${id}` }
}
const accepted = (id: string, atMs: number): HistoryRecord => ({ event: 'accepted', name, trigger: id, atMs })
const settled = (id: string, run: string, atMs: number): HistoryRecord => {
  return { event: 'settled', name, trigger: id, run, atMs }
}
const told = (id: string, code: string, atMs: number): HistoryRecord => {
  return { event: 'settled', name, trigger: id, run: null, code, atMs }
}
const started = (run: string, fence: number, atMs: number, triggers: readonly string[], limit = 1): HistoryRecord => {
  return { event: 'started', name, run, fence, limit, triggers, atMs, process: `process of ${run}` }
}
const running = (run: string, atMs: number): HistoryRecord => ({ event: 'running', name, run, atMs })
const finished = (run: string, atMs: number, valid = true): HistoryRecord => {
  return { event: 'finished', name, run, valid, atMs }
}
const ran = (run: string, fence: number, [fromMs, toMs]: readonly [number, number], triggers: readonly string[]) => {
  return [started(run, fence, fromMs, triggers), finished(run, toMs)]
}
const whole = (id: string, run: string, [sentMs, toldMs, endMs]: readonly [number, number, number], merges = false) => {
  return [trigger(id, sentMs, 'later', merges), accepted(id, toldMs), settled(id, run, endMs)]
}
const fault = (atMs: number, untilMs: number, loses = false): HistoryRecord => {
  return { event: 'fault', kind: 'cut', atMs, untilMs, hits: 1, loses }
}

const good: Record<string, Records> = {
  'two runs, one after the other': [
    ...whole('a', 'A', [0, 1, 6]),
    ...whole('b', 'B', [2, 3, 12]),
    ...ran('A', 1, [2, 5], ['a']),
    ...ran('B', 2, [7, 11], ['b']),
  ],
  'two triggers in one run': [
    ...whole('a', 'A', [0, 1, 6], true),
    ...whole('b', 'A', [2, 3, 7], true),
    ...ran('A', 1, [4, 5], ['a', 'b']),
  ],
  'one that joins a run that is live': [
    ...whole('a', 'A', [0, 1, 6]),
    ...ran('A', 1, [2, 5], ['a']),
    trigger('b', 3, 'live'),
    settled('b', 'A', 7),
  ],
  'a run that lost its lease, and the one in its place': [
    trigger('a', 0),
    accepted('a', 1),
    started('A', 1, 2, ['a']),
    running('A', 10),
    ...whole('b', 'B', [3, 4, 40]),
    ...ran('B', 2, [20, 30], ['b']),
    finished('A', 35, false),
    told('a', 'LEASE_LOST', 36),
  ],
  'a process that ended with its trigger and its run': [
    trigger('a', 0),
    accepted('a', 1),
    started('a', 1, 2, ['a']),
    { event: 'ended', process: 'process of a', atMs: 5 },
    ...whole('b', 'B', [3, 4, 40]),
    ...ran('B', 2, [20, 30], ['b']),
  ],
  'runs side by side, where two may be': [
    started('A', 1, 0, ['a'], 2),
    started('B', 2, 1, ['b'], 2),
    finished('A', 5),
    finished('B', 5),
  ],
  'arguments in another order, where one started anew': [
    fault(0, 3),
    ...whole('a', 'A', [0, 1, 9], true),
    ...whole('b', 'A', [2, 3, 9], true),
    ...ran('A', 1, [4, 8], ['b', 'a']),
  ],
}

const bad: Record<string, readonly [Records, Violation['kind']]> = {
  'a run that starts while another is valid': [
    [started('A', 1, 0, ['a']), running('A', 5), started('B', 2, 4, ['b']), finished('A', 9), finished('B', 9)],
    'overlap',
  ],
  'three where two may be': [
    [
      ...['A', 'B', 'C'].map((run, i) => started(run, i + 1, i, [run], 2)),
      ...['A', 'B', 'C'].map(run => finished(run, 5)),
    ],
    'overlap',
  ],
  'a fence that falls': [[...ran('A', 2, [0, 1], ['a']), ...ran('B', 1, [2, 3], ['b'])], 'fence'],
  'a run that is begun twice': [[...ran('A', 1, [0, 1], ['a']), ...ran('A', 1, [2, 3], ['a'])], 'repeated'],
  'a trigger that a run covers which had started': [
    [...ran('A', 1, [0, 9], ['a']), ...whole('b', 'A', [3, 4, 10])],
    'uncovered',
  ],
  'a trigger that is told of a run that was never seen': [whole('a', 'A', [0, 1, 2]), 'uncovered'],
  'a trigger that is told of a run whose handler never ended': [
    [started('A', 1, 2, ['a']), ...whole('a', 'A', [0, 1, 6])],
    'uncovered',
  ],
  'one that joins a run that was over': [
    [
      ...ran('A', 1, [0, 1], ['a']),
      ...ran('B', 2, [2, 3], ['b']),
      trigger('c', 4, 'live'),
      accepted('c', 5),
      settled('c', 'A', 6),
    ],
    'uncovered',
  ],
  'a trigger that is never told': [[trigger('a', 0), accepted('a', 1), ...ran('A', 1, [2, 3], ['a'])], 'unsettled'],
  'arguments that are lost': [[...whole('a', 'A', [0, 1, 6], true), ...ran('A', 1, [2, 5], [])], 'arguments'],
  'arguments that are there twice': [
    [...whole('a', 'A', [0, 1, 6], true), ...ran('A', 1, [2, 5], ['a', 'a'])],
    'arguments',
  ],
  'arguments in another order than they came': [
    [...whole('a', 'A', [0, 1, 9], true), ...whole('b', 'A', [2, 3, 9], true), ...ran('A', 1, [4, 8], ['b', 'a'])],
    'arguments',
  ],
  'the end of a run that never started': [[finished('A', 1)], 'malformed'],
  'a trigger that was told twice': [
    [...whole('a', 'A', [0, 1, 6]), settled('a', 'A', 7), ...ran('A', 1, [2, 5], ['a'])],
    'malformed',
  ],
}

/** In the order of their times, as several logs are not; but each run and trigger is. */
const inOrder = (records: Records) => [...records].sort((a, b) => a.atMs - b.atMs)

describe('the checker, about jobs', () => {
  test.each(Object.entries(good))('finds nothing wrong with %s', (_, records) => {
    assert.deepEqual(checkHistory(inOrder(records)).violations, [])
  })

  test.each(Object.entries(bad))('finds %s', (_, [records, kind]) => {
    const { violations } = checkHistory(inOrder(records))
    assert.deepEqual([...new Set(violations.map(({ kind }) => kind))], [kind], JSON.stringify(violations))
  })

  test('excuses and counts an overlap by a loss of the datastore', () => {
    const records = [...(bad['a run that starts while another is valid']?.[0] ?? []), fault(1, 5, true)]
    const { violations, counts } = checkHistory(inOrder(records))
    assert.deepEqual([violations, counts.excused], [[], 1])
  })

  test('counts what happened', () => {
    const { counts } = checkHistory(inOrder(good['a run that lost its lease, and the one in its place'] as Records))
    const { triggers, accepted, covered, runs, finished, told } = counts
    assert.deepEqual(
      { triggers, accepted, covered, runs, finished },
      { triggers: 2, accepted: 2, covered: 1, runs: 2, finished: 1 },
    )
    assert.deepEqual(told, { LEASE_LOST: 1 })
    const few = checkHistory([], { atLeast: { runs: 1 } })
    assert.deepEqual(
      few.violations.map(({ kind }) => kind),
      ['too-little'],
    )
  })

  test('judges a history by its parts as it judges it whole', () => {
    const common = [fault(100, 200)]
    const jobs = Object.values(bad).flatMap(([records], i) => {
      const renamed = inOrder(records).map(record => ({ ...record, name: `job ${i}` }) as HistoryRecord)
      return [renamed]
    })
    const parts = checkHistoryParts({ common, parts: jobs.map(part => () => part) })
    const whole = checkHistory([...common, ...jobs.flat()])
    assert.ok(whole.violations.length >= jobs.length)
    const sorted = (violations: readonly Violation[]) => violations.map(({ message }) => message).sort()
    assert.deepEqual(sorted(parts.violations), sorted(whole.violations))
    assert.deepEqual(parts.counts, whole.counts)
  })
})
