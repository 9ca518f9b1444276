import assert from 'node:assert/strict'
import { checkHistory, type HistoryOptions, type HistoryRecord, type Violation } from 'soloist/conformance'
import { describe, test } from 'vitest'

const NAME = 'lock'
const TTL_MS = 100

type Records = readonly HistoryRecord[]

/** A claim of a process of its owner's name, unless it says otherwise. */
function invoke(owner: string, atMs: number, limit?: number | null, process = owner): HistoryRecord {
  const mode = limit === undefined ? 'exclusive' : 'shared'
  return { event: 'invoke', name: NAME, owner, mode, limit: limit ?? null, atMs, process, ttlMs: TTL_MS }
}

const about = (owner: string, atMs: number) => ({ name: NAME, owner, atMs })
const queued = (owner: string, atMs: number): HistoryRecord => ({ event: 'queued', ...about(owner, atMs) })
const granted = (owner: string, fence: number, atMs: number): HistoryRecord => {
  return { event: 'granted', ...about(owner, atMs), fence, untilMs: atMs + TTL_MS }
}
const renewed = (owner: string, atMs: number): HistoryRecord => {
  return { event: 'renewed', ...about(owner, atMs), untilMs: atMs + TTL_MS }
}
const released = (owner: string, atMs: number): HistoryRecord => ({ event: 'released', ...about(owner, atMs) })
const refused = (owner: string, atMs: number, busy = true): HistoryRecord => {
  return { event: 'refused', ...about(owner, atMs), busy }
}
const returned = (owner: string, atMs: number, held: boolean | null = true): HistoryRecord => {
  return { event: 'returned', ...about(owner, atMs), held }
}
const fault = (kind: string, atMs: number, untilMs: number, more: object = {}): HistoryRecord => {
  return { event: 'fault', kind, atMs, untilMs, hits: 1, ...more }
}
const ended = (process: string, atMs: number): HistoryRecord => ({ event: 'ended', process, atMs })

/** Asked, granted, released and answered. */
function whole(owner: string, fence: number, [askedMs, fromMs, toMs]: readonly [number, number, number]): Records {
  return [invoke(owner, askedMs), granted(owner, fence, fromMs), released(owner, toMs), returned(owner, toMs + 1)]
}

const good: Record<string, readonly [Records, HistoryOptions?]> = {
  'a history that is much longer than what is looked at in vain': [
    Array.from({ length: 2_000 }, (_, i) => whole(`owner ${i}`, i + 1, [i * 10, i * 10 + 1, i * 10 + 5])).flat(),
    { budget: 10 },
  ],
  'a queue in its order': [
    [
      ...whole('a', 1, [0, 1, 20]),
      invoke('b', 5),
      queued('b', 6),
      granted('b', 2, 22),
      released('b', 30),
      returned('b', 31),
      invoke('c', 7),
      queued('c', 8),
      granted('c', 3, 33),
    ],
    { wakeUpMs: 5 },
  ],
  'claims that came at the same time, in any order': [
    [...whole('a', 1, [0, 1, 20]), invoke('b', 5), queued('b', 9), granted('b', 3, 50), ...whole('c', 2, [8, 22, 30])],
  ],
  'a waiter that stood still and lost its place': [
    [
      invoke('b', 5),
      queued('b', 9),
      ...whole('c', 2, [10, 22, 30]),
      granted('b', 3, 50),
      fault('stop', 15, 40, { processes: ['b'] }),
    ],
    { wakeUpMs: 5 },
  ],
  'a dead owner whose last renewal is not known': [
    [
      invoke('a', 0),
      granted('a', 1, 1),
      fault('kill', 90, 90, { processes: ['a'] }),
      ended('a', 90),
      invoke('b', 10),
      queued('b', 11),
      granted('b', 2, 185),
    ],
    { wakeUpMs: 5 },
  ],
  'a dead owner that was succeeded at once, since its process had provably ended': [
    [invoke('a', 0), granted('a', 1, 1), ended('a', 20), invoke('b', 10), granted('b', 2, 21)],
  ],
  'a renewed lease, succeeded after its end': [
    [invoke('a', 0), granted('a', 1, 1), renewed('a', 60), ...whole('b', 2, [0, 161, 170])],
  ],
  'who was refused while the lock was held': [
    [...whole('a', 1, [0, 1, 20]), invoke('b', 5), refused('b', 6), ...whole('c', 2, [30, 31, 32])],
  ],
  'who was refused because of one that waited': [
    [...whole('a', 1, [0, 1, 10]), ...whole('w', 2, [2, 30, 40]), invoke('b', 15), refused('b', 16)],
  ],
  'who was refused because of a claim that nobody heard of again': [
    [invoke('dead', 0), invoke('b', 500), refused('b', 501)],
  ],
  'a release that was answered late, and effective early': [
    [...whole('a', 1, [0, 1, 10]).slice(0, 3), returned('a', 90), ...whole('b', 2, [11, 12, 20])],
  ],
  'a release whose answer was lost, which took effect much later': [
    [...whole('a', 1, [0, 1, 10]).slice(0, 3), invoke('b', 20), refused('b', 21), ...whole('c', 2, [50, 51, 60])],
  ],
  'an answer that was read after its lease, and that of the next owner, were over': [
    [
      invoke('a', 0),
      { ...granted('a', 1, 200), untilMs: 100 } as HistoryRecord,
      { event: 'lost', ...about('a', 200) },
      ...whole('b', 2, [10, 110, 150]),
    ],
  ],
  'a loss of the datastore that is recorded': [
    [invoke('a', 0), granted('a', 1, 1), fault('restart', 10, 15, { loses: true }), ...whole('b', 2, [18, 20, 30])],
  ],
  'a lower fence while two servers answer': [
    [
      fault('failover', 10, 30, { loses: true }),
      ...whole('b', 5, [11, 12, 14]),
      ...whole('a', 4, [9, 16, 40]),
      ...whole('c', 6, [20, 42, 50]),
    ],
  ],
  'processes whose clocks say different things, mapped onto one line': [
    [
      { event: 'clock', process: 'a', atMs: 1_000, lineMs: 0 },
      { event: 'clock', process: 'b', atMs: 5_000, lineMs: 0 },
      ...whole('a', 1, [1_000, 1_001, 1_020]),
      ...whole('b', 2, [5_010, 5_023, 5_030]),
    ],
  ],
  'an overlap within what is not known of a clock': [
    [
      { event: 'clock', process: 'b', atMs: 0, lineMs: 0, errorMs: 3 },
      ...whole('a', 1, [0, 1, 20]),
      ...whole('b', 2, [10, 18, 30]),
    ],
  ],
}

const bad: Record<string, { readonly kind: Violation['kind']; readonly of: readonly [Records, HistoryOptions?] }> = {
  'one that passed who waited': {
    kind: 'order',
    of: [
      [
        ...whole('a', 1, [0, 1, 20]),
        invoke('b', 5),
        queued('b', 6),
        ...whole('c', 2, [7, 22, 30]),
        granted('b', 3, 50),
      ],
    ],
  },
  'one that passed a waiter whose fault was over before': {
    kind: 'order',
    of: [
      [
        fault('stop', 0, 4, { processes: ['b'] }),
        invoke('b', 5),
        queued('b', 6),
        ...whole('c', 2, [7, 22, 30]),
        granted('b', 3, 50),
      ],
    ],
  },
  'one that passed a waiter while another process had a fault': {
    kind: 'order',
    of: [
      [
        fault('stop', 0, 40, { processes: ['z'] }),
        invoke('b', 5),
        queued('b', 6),
        ...whole('c', 2, [7, 22, 30]),
        granted('b', 3, 50),
      ],
    ],
  },
  'a waiter that was told much too late': {
    kind: 'wakeup',
    of: [[...whole('a', 1, [0, 1, 20]), invoke('b', 5), queued('b', 6), granted('b', 2, 60)], { wakeUpMs: 10 }],
  },
  'a waiter that was never told': {
    kind: 'wakeup',
    of: [
      [...whole('a', 1, [0, 1, 20]), invoke('b', 5), queued('b', 6), ...whole('x', 9, [99, 100, 101]).map(of('other'))],
      { wakeUpMs: 10 },
    ],
  },
  'a waiter that was told too late after a dead owner': {
    kind: 'wakeup',
    of: [
      [invoke('a', 0), granted('a', 1, 1), ended('a', 20), invoke('b', 10), queued('b', 11), granted('b', 2, 140)],
      { wakeUpMs: 10 },
    ],
  },
  'a renewed lease that was succeeded too early': {
    kind: 'overlap',
    of: [[invoke('a', 0), granted('a', 1, 1), renewed('a', 60), ...whole('b', 2, [0, 120, 130])]],
  },
  'who was refused although nobody had the lock': {
    kind: 'impossible',
    of: [[...whole('a', 1, [0, 1, 10]), invoke('b', 20), refused('b', 21), ...whole('c', 2, [30, 31, 40])]],
  },
  'who was refused although a semaphore had room': {
    kind: 'impossible',
    of: [[invoke('a', 0, 2), granted('a', 1, 1), invoke('b', 20, 2), refused('b', 21)]],
  },
  'a release that was told held, of a lock that was lost and had passed on': {
    kind: 'impossible',
    of: [
      [
        invoke('a', 0),
        granted('a', 1, 1),
        fault('restart', 10, 15, { loses: true }),
        ...whole('b', 2, [18, 20, 30]),
        released('a', 25),
        returned('a', 28),
      ],
    ],
  },
  'a grant before the release of the owner before was sent': {
    kind: 'overlap',
    of: [[...whole('a', 1, [0, 1, 20]), ...whole('b', 2, [0, 19, 30])]],
  },
  'an overlap long before the loss that was recorded': {
    kind: 'overlap',
    of: [[fault('restart', 500, 510, { loses: true }), ...whole('a', 1, [0, 1, 20]), ...whole('b', 2, [0, 10, 30])]],
  },
  'a lower fence that was asked for after the loss that was recorded': {
    kind: 'fence',
    of: [[fault('failover', 10, 30, { loses: true }), ...whole('b', 5, [11, 12, 14]), ...whole('a', 4, [31, 32, 40])]],
  },
  'a lower fence than one of before the loss that was recorded': {
    kind: 'fence',
    of: [[...whole('b', 5, [1, 2, 4]), fault('failover', 10, 30, { loses: true }), ...whole('a', 4, [9, 16, 40])]],
  },
  'a fence that is lower than one that is excused, and than one that is not': {
    kind: 'fence',
    of: [
      [
        ...whole('z', 5, [0, 1, 2]),
        fault('failover', 10, 30, { loses: true }),
        ...whole('b', 6, [11, 12, 14]),
        ...whole('a', 4, [9, 16, 40]),
      ],
    ],
  },
  'an overlap on one line of two clocks that say otherwise': {
    kind: 'overlap',
    of: [
      [
        { event: 'clock', process: 'a', atMs: 1_000, lineMs: 0 },
        ...whole('a', 1, [1_000, 1_001, 1_020]),
        ...whole('b', 2, [5, 10, 30]),
      ],
    ],
  },
  'an overlap on a clock that goes twice as fast': {
    kind: 'overlap',
    of: [
      [
        { event: 'clock', process: 'a', atMs: 0, lineMs: 0 },
        { event: 'clock', process: 'a', atMs: 2_000, lineMs: 1_000 },
        ...whole('a', 1, [100, 102, 140]),
        ...whole('b', 2, [55, 60, 80]),
      ],
    ],
  },
  'a fault that did nothing': {
    kind: 'harmless',
    of: [[...whole('a', 1, [0, 1, 20]), { event: 'fault', kind: 'stop', atMs: 5, untilMs: 6, hits: 0 }]],
  },
  'a history without contention': {
    kind: 'too-little',
    of: [[...whole('a', 1, [0, 1, 20]), ...whole('b', 2, [30, 31, 40])], { atLeast: { granted: 2, contended: 1 } }],
  },
  'a history without faults': { kind: 'too-little', of: [whole('a', 1, [0, 1, 20]), { atLeast: { faults: 1 } }] },
  'a search that found no end': {
    kind: 'unknown',
    of: [[...whole('a', 1, [0, 1, 20]), ...whole('b', 2, [5, 22, 40])], { budget: 0 }],
  },
  'an answer to a release that nobody sent': { kind: 'malformed', of: [[invoke('a', 0), returned('a', 5)]] },
  'a holder that is told that it waits': {
    kind: 'malformed',
    of: [[invoke('a', 0), granted('a', 1, 1), queued('a', 2)]],
  },
}

/** The same record of another lock. */
function of(name: string): (record: HistoryRecord) => HistoryRecord {
  return record => ({ ...record, name }) as HistoryRecord
}

describe('checkHistory, of histories with queues, faults and unknown outcomes', () => {
  for (const [what, [records, options]] of Object.entries(good)) {
    test(`finds nothing wrong with ${what}`, () => {
      assert.deepEqual(checkHistory(records, options).violations, [])
    })
  }

  for (const [what, { kind, of }] of Object.entries(bad)) {
    test(`finds ${what}`, () => {
      const [records, options] = of
      const { violations } = checkHistory(records, options)
      assert.deepEqual([...new Set(violations.map(violation => violation.kind))], [kind], JSON.stringify(violations))
      const lines = records.map(record => JSON.stringify(record)).join('\n')
      assert.deepEqual(checkHistory(lines, options).violations, violations, 'the same as lines')
    })
  }

  test('counts what is excused, and each kind of fault', () => {
    const [records] = good['a loss of the datastore that is recorded'] as (typeof good)[string]
    const { counts } = checkHistory([...records, fault('cut', 40, 41), fault('cut', 42, 43)])
    assert.equal(counts.excused, 1)
    assert.deepEqual(counts.faults, { restart: 1, cut: 2 })
    const [fallen] = good['a lower fence while two servers answer'] as (typeof good)[string]
    assert.equal(checkHistory(fallen).counts.excused, 1)
  })

  test('judges a long history with many at once in reasonable time', () => {
    const records = Array.from({ length: 3_000 }, (_, round): Records => {
      const atMs = round * 40
      const owners = Array.from({ length: 5 }, (_, i) => `${round}/${i}`)
      return owners.flatMap((owner, i): Records => {
        const fromMs = atMs + 2 + i * 8
        return [
          invoke(owner, atMs + i / 10, undefined, 'p'),
          ...(i > 0 ? [queued(owner, atMs + 1 + i / 10)] : []),
          granted(owner, round * 5 + i + 1, fromMs),
          released(owner, fromMs + 5),
          returned(owner, fromMs + 7),
          invoke(`refused ${owner}`, fromMs + 1),
          refused(`refused ${owner}`, fromMs + 2),
        ]
      })
    }).flat()
    const { violations, counts } = checkHistory(records, { wakeUpMs: 10, atLeast: { granted: 15_000 } })
    assert.deepEqual(violations, [])
    assert.equal(counts.contended, 12_000)
  })
})
