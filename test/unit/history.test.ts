import assert from 'node:assert/strict'
import { checkHistory, type HistoryRecord, type Violation } from 'soloist/conformance'
import { describe, test } from 'vitest'

const NAME = 'lock'

/** One claim's whole record: asked, granted, over. Times in milliseconds; `limit` makes it shared. */
function held(
  owner: string,
  fence: number,
  [invokedMs, fromMs, toMs]: readonly [number, number, number],
  limit?: number | null,
): readonly HistoryRecord[] {
  return [invoke(owner, invokedMs, limit), granted(owner, fence, fromMs), released(owner, toMs)]
}

function invoke(owner: string, atMs: number, limit?: number | null): HistoryRecord {
  const mode = limit === undefined ? 'exclusive' : 'shared'
  return { event: 'invoke', name: NAME, owner, mode, limit: limit ?? null, atMs }
}

function granted(owner: string, fence: number, atMs: number, untilMs: number | null = atMs + 1_000): HistoryRecord {
  return { event: 'granted', name: NAME, owner, fence, atMs, untilMs }
}

function released(owner: string, atMs: number): HistoryRecord {
  return { event: 'released', name: NAME, owner, atMs }
}

function lost(owner: string, atMs: number): HistoryRecord {
  return { event: 'lost', name: NAME, owner, atMs }
}

const good: Record<string, readonly HistoryRecord[]> = {
  'one after the other': [...held('a', 1, [0, 10, 20]), ...held('b', 2, [5, 21, 30]), ...held('c', 3, [40, 41, 42])],
  'one ends at the very moment the next begins': [...held('a', 1, [0, 10, 20]), ...held('b', 2, [0, 20, 30])],
  'readers together, the writer alone': [
    ...held('a', 1, [0, 10, 30], null),
    ...held('b', 2, [0, 15, 25], null),
    ...held('w', 3, [0, 31, 40]),
    ...held('c', 4, [0, 41, 50], null),
  ],
  'a semaphore that is full': [
    ...held('a', 1, [0, 10, 30], 2),
    ...held('b', 2, [0, 10, 20], 2),
    ...held('c', 3, [0, 20, 40], 2),
    ...held('d', 4, [0, 30, 40], 2),
  ],
  'another limit after the lock was idle': [...held('a', 1, [0, 10, 20], 2), ...held('b', 2, [0, 20, 30], 3)],
  'concurrent shared grants whose answers overtook each other': [
    ...held('a', 2, [0, 10, 20], 3),
    ...held('b', 1, [0, 11, 20], 3),
  ],
  'a shared grant that was answered when a later one was over': [
    ...held('a', 2, [0, 10, 20], 3),
    ...held('b', 1, [0, 25, 30], 3),
  ],
  'a shared claim sent at the very moment another was answered': [
    ...held('a', 2, [0, 10, 20], 3),
    ...held('b', 1, [10, 11, 20], 3),
  ],
  'a lost lease, succeeded after its deadline': [
    invoke('a', 0),
    granted('a', 1, 10, 50),
    ...held('b', 2, [20, 51, 60]),
    lost('a', 50),
  ],
  'a killed owner, succeeded after its lease': [invoke('a', 0), granted('a', 1, 10, 50), ...held('b', 2, [20, 51, 60])],
  'a claim that was never answered': [invoke('a', 0), ...held('b', 1, [0, 5, 10])],
  'a claim that was sent twice': [invoke('a', 0), ...held('a', 1, [5, 10, 20])],
  'an owner that comes back': [...held('a', 1, [0, 10, 20]), ...held('a', 2, [30, 31, 40])],
}

const bad: Record<string, { readonly kind: Violation['kind']; readonly records: readonly HistoryRecord[] }> = {
  'two exclusive owners at once': {
    kind: 'overlap',
    records: [...held('a', 1, [0, 10, 20]), ...held('b', 2, [0, 19, 30])],
  },
  'one inside the other': { kind: 'overlap', records: [...held('a', 1, [0, 10, 50]), ...held('b', 2, [0, 20, 30])] },
  'a writer together with a reader': {
    kind: 'overlap',
    records: [...held('a', 1, [0, 10, 20], null), ...held('w', 2, [0, 15, 30])],
  },
  'a reader together with a writer': {
    kind: 'overlap',
    records: [...held('w', 1, [0, 10, 20]), ...held('a', 2, [0, 15, 30], 5)],
  },
  'an overlap with one that is long past its neighbours': {
    kind: 'overlap',
    records: [
      ...held('a', 1, [0, 10, 100], null),
      ...held('b', 2, [0, 20, 30], null),
      ...held('c', 3, [0, 40, 50], null),
      ...held('w', 4, [0, 90, 110]),
    ],
  },
  'a successor before the deadline of the lost': {
    kind: 'overlap',
    records: [invoke('a', 0), granted('a', 1, 10, 60), ...held('b', 2, [20, 51, 70]), lost('a', 60)],
  },
  'a successor before the lease of the killed was over': {
    kind: 'overlap',
    records: [invoke('a', 0), granted('a', 1, 10, 60), ...held('b', 2, [20, 51, 70])],
  },
  'a successor of a killed owner whose lease does not run out': {
    kind: 'overlap',
    records: [invoke('a', 0), granted('a', 1, 10, null), ...held('b', 2, [20, 9_000, 9_001])],
  },
  'three in a semaphore of two': {
    kind: 'limit',
    records: [...held('a', 1, [0, 10, 30], 2), ...held('b', 2, [0, 11, 30], 2), ...held('c', 3, [0, 12, 30], 2)],
  },
  'two limits at once': {
    kind: 'limit',
    records: [...held('a', 1, [0, 10, 30], 2), ...held('b', 2, [0, 11, 30], 3)],
  },
  'a fence twice': { kind: 'fence', records: [...held('a', 7, [0, 10, 20]), ...held('b', 7, [30, 31, 40])] },
  'a fence twice among concurrent readers': {
    kind: 'fence',
    records: [...held('a', 7, [0, 10, 20], null), ...held('b', 7, [0, 11, 20], null)],
  },
  'a fence that falls with the next owner': {
    kind: 'fence',
    records: [...held('a', 7, [0, 10, 20]), ...held('b', 6, [5, 21, 30])],
  },
  'a fence that falls after some owners in between': {
    kind: 'fence',
    records: [...held('a', 9, [0, 10, 20]), ...held('b', 10, [0, 21, 30]), ...held('c', 8, [0, 31, 40])],
  },
  'a fence that falls between shared grants that were asked for one after the other': {
    kind: 'fence',
    records: [...held('a', 7, [0, 10, 50], 3), ...held('b', 6, [11, 12, 50], 3)],
  },
  'a fence that falls from a writer to a reader': {
    kind: 'fence',
    records: [...held('w', 7, [0, 10, 20]), ...held('a', 6, [0, 21, 30], null)],
  },
  'a fence that falls from a reader to a writer': {
    kind: 'fence',
    records: [...held('a', 7, [0, 10, 20], null), ...held('w', 6, [0, 21, 30])],
  },
  'a grant nobody asked for': { kind: 'malformed', records: [granted('a', 1, 10), released('a', 20)] },
  'a grant twice': { kind: 'malformed', records: [invoke('a', 0), granted('a', 1, 10), granted('a', 2, 20)] },
  'a release of nothing': { kind: 'malformed', records: [invoke('a', 0), released('a', 20)] },
  'an end twice': { kind: 'malformed', records: [...held('a', 1, [0, 10, 20]), lost('a', 30)] },
  'a claim by who has the lock': { kind: 'malformed', records: [invoke('a', 0), granted('a', 1, 10), invoke('a', 20)] },
  'a grant before it was asked for': { kind: 'malformed', records: held('a', 1, [11, 10, 20]) },
  'an end before its grant': { kind: 'malformed', records: held('a', 1, [0, 10, 9]) },
  'a fence that is no whole number': { kind: 'malformed', records: [invoke('a', 0), granted('a', 1.5, 10)] },
  'a fence beyond 2^53': { kind: 'malformed', records: [invoke('a', 0), granted('a', 2 ** 53, 10)] },
}

describe('checkHistory', () => {
  for (const [what, records] of Object.entries(good)) {
    test(`finds nothing wrong with ${what}`, () => {
      assert.deepEqual(checkHistory(records).violations, [])
      assert.deepEqual(checkHistory(lines(records)).violations, [], 'the same as lines')
    })
  }

  for (const [what, { kind, records }] of Object.entries(bad)) {
    test(`finds ${what}`, () => {
      const { violations } = checkHistory(records)
      assert.ok(violations.length > 0, 'no violation was found')
      assert.deepEqual([...new Set(violations.map(violation => violation.kind))], [kind], JSON.stringify(violations))
      assert.deepEqual(checkHistory(lines(records)).violations, violations, 'the same as lines')
    })
  }

  test('names the lock and the owners', () => {
    const { violations } = checkHistory([...held('first', 1, [0, 10, 20]), ...held('second', 2, [0, 19, 30])])
    assert.equal(violations.length, 1)
    assert.equal(violations[0]?.name, NAME)
    for (const owner of ['first', 'second']) assert.ok(violations[0]?.message.includes(owner))
  })

  test('judges each lock by itself', () => {
    const other = held('b', 1, [0, 11, 20]).map(record => ({ ...record, name: 'another lock' }))
    const { violations, counts } = checkHistory([...held('a', 1, [0, 10, 20]), ...other])
    assert.deepEqual(violations, [])
    assert.equal(counts.locks, 2)
  })

  test('takes the records of several recorders in any order, as long as each one’s are in theirs', () => {
    const [a, b] = [held('a', 1, [0, 10, 20]), held('b', 2, [0, 19, 30])]
    for (const records of [
      [...a, ...b],
      [...b, ...a],
      [a, b].flatMap(([first]) => first as HistoryRecord).concat(a.slice(1), b.slice(1)),
    ]) {
      assert.deepEqual(
        checkHistory(records).violations.map(({ kind }) => kind),
        ['overlap'],
      )
    }
  })

  test('counts what it was given, so that nobody takes an empty history for a good one', () => {
    const records = [
      ...held('a', 1, [0, 10, 30], 2),
      ...held('b', 2, [0, 11, 30], 2),
      invoke('c', 40, 2),
      granted('c', 3, 41),
      lost('c', 50),
      invoke('d', 60, 2),
      granted('d', 4, 61),
      invoke('e', 70, 2),
    ]
    const { violations, counts } = checkHistory(records)
    assert.deepEqual(violations, [])
    assert.deepEqual(counts, {
      locks: 1,
      invoked: 5,
      granted: 4,
      released: 2,
      lost: 1,
      unfinished: 1,
      mostTogether: 2,
      queued: 0,
      contended: 0,
      refused: 0,
      excused: 0,
      triggers: 0,
      accepted: 0,
      covered: 0,
      told: {},
      runs: 0,
      finished: 0,
      faults: {},
    })
    assert.equal(checkHistory('').counts.granted, 0)
    assert.equal(checkHistory([]).counts.granted, 0)
  })

  test('finds lines that are no records', () => {
    for (const line of ['{"event":"invo', 'null', '{}', '{"event":"other","name":"a","owner":"b","atMs":1}']) {
      const { violations } = checkHistory(`${lines(held('a', 1, [0, 10, 20]))}\n${line}`)
      assert.deepEqual(
        violations.map(({ kind }) => kind),
        ['malformed'],
        line,
      )
    }
  })

  test('judges a long history in reasonable time', () => {
    const records = Array.from({ length: 50_000 }, (_, i) => held(`owner ${i}`, i + 1, [i, i + 1, i + 2])).flat()
    const { violations, counts } = checkHistory(records)
    assert.deepEqual(violations, [])
    assert.equal(counts.granted, 50_000)
  })
})

function lines(records: readonly HistoryRecord[]): string {
  return records.map(record => JSON.stringify(record)).join('\n')
}
