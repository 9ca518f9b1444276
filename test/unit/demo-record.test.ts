import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Member } from '../../examples/demo/crew.js'
import type { Event } from '../../examples/demo/journal.js'
import { keep } from '../../examples/demo/kept.js'
import { measure } from '../../examples/demo/measure.js'
import { problemsOf, readRecord } from '../../examples/demo/record.js'
import { timeline } from '../../examples/demo/timeline.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soloist-demo-'))
  mkdirSync(join(folder, 'results'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const hostile = 'node_modules/"><script>alert(1)</script>'
const packages = ['node_modules/p', hostile].map(path => ({ path, name: path.slice(13), version: '1.0.0' }))
const requests = [
  { id: 0, package: 'node_modules/p', dependent: '' },
  { id: 1, package: 'node_modules/p', dependent: hostile },
  { id: 2, package: hostile, dependent: '' },
]

type Steps = readonly (readonly [
  t: number,
  step: Event['step'],
  request: number,
  fence?: number | undefined,
  until?: number,
])[]

/** Worker 1 is killed with the lock of `p` in its hands; worker 2 gets it afterwards. */
const good: Record<string, Steps> = {
  '1': [
    [1, 'asked', 0],
    [2, 'granted', 0, 10],
    [3, 'measuring', 0, 10],
  ],
  '2': [
    [1, 'asked', 1],
    [3, 'waiting', 1],
    [20, 'granted', 1, 20],
    [21, 'measuring', 1, 20],
    [25, 'kept', 1, 20],
    [26, 'releasing', 1, 20],
    [27, 'served', 1],
  ],
  '3': [
    [30, 'asked', 0],
    [31, 'reused', 0],
    [32, 'served', 0],
    [33, 'asked', 2],
    [34, 'granted', 2, 10],
    [35, 'measuring', 2, 10],
    [36, 'kept', 2, 10],
    [37, 'releasing', 2, 10],
    [38, 'served', 2],
  ],
}

/** The record of a run that went as these journals say. */
function record(journals: Record<string, Steps>, fences: Record<string, number>) {
  const lines = (events: object[]) => events.map(event => `${JSON.stringify(event)}\n`).join('')
  for (const [worker, steps] of Object.entries(journals)) {
    const events = steps.map(([t, step, request, fence, until]) => {
      return { t, worker, step, request, package: requests[request]?.package, fence, until }
    })
    writeFileSync(join(folder, `events-${worker}.jsonl`), lines(events))
  }
  const died = { worker: '1', request: 0, package: 'node_modules/p', fence: 10 }
  const ofParent = [
    { t: 4, step: 'kill', ...died },
    { t: 5, step: 'killed', ...died },
  ]
  writeFileSync(join(folder, 'events-parent.jsonl'), lines(ofParent))
  for (const [path, fence] of Object.entries(fences)) {
    keep(folder, { package: path, worker: '2', fence, files: 1, bytes: 5, sha256: 'ab'.repeat(32) })
  }
  const started = { id: 'run', runFolder: folder, startedAt: new Date(0), startedAtMs: 0 }
  const plan = { ...started, backend: 'memory', ttlMs: 10, packages, requests, skipped: [] }
  const members = Object.keys(journals).map(name => ({ name, pid: 1, replaces: name === '3' ? '1' : null }))
  return readRecord(plan, members as unknown as Member[])
}

const kept = { 'node_modules/p': 20, [hostile]: 10 }

describe('the record of a run', () => {
  test('tells who held what, who was killed, and who came after', () => {
    const { totals, kill, holdings } = record(good, kept)
    expect(totals).toMatchObject({
      requests: 3,
      served: 3,
      runs: 3,
      unfinished: 1,
      reused: 1,
      waits: 1,
      longestWaitMs: 19,
    })
    expect(kill).toEqual({
      ...{ worker: '1', atMs: 4, package: 'node_modules/p', fence: 10 },
      ...{ lockFreeAtMs: 20, lockStayedMs: 16, successor: '2', successorFence: 20 },
    })
    expect(holdings.map(({ worker, fromMs, untilMs, end, use }) => [worker, fromMs, untilMs, end, use])).toEqual([
      ['1', 2, 4, 'killed', 'unfinished'],
      ['2', 20, 26, 'released', 'measured'],
      ['3', 34, 37, 'released', 'measured'],
    ])
  })

  test('a request whose lease was lost is asked again, and the lock counts as held until the lease ran out', () => {
    const again = [
      [40, 'asked', 2],
      [41, 'granted', 2, 10],
      [42, 'measuring', 2, 10],
      [60, 'lost', 2, 10, 52],
      [61, 'asked', 2],
      [62, 'granted', 2, 11],
      [63, 'kept', 2, 11],
      [64, 'releasing', 2, 11],
      [65, 'served', 2],
    ] as const
    const others = good['3']?.filter(([, , request]) => request !== 2) ?? []
    const found = record({ ...good, '3': [...others, ...again] }, { ...kept, [hostile]: 11 })
    expect(found.holdings.slice(2).map(({ fromMs, untilMs, end, use }) => [fromMs, untilMs, end, use])).toEqual([
      [41, 52, 'lost', 'unfinished'],
      [62, 64, 'released', 'measured'],
    ])
    expect(found.totals).toMatchObject({ runs: 4, unfinished: 1, lost: 1, served: 3 })
    expect(problemsOf(found)).toEqual([])
  })

  test('a run that kept every promise has no problem', () => {
    expect(problemsOf(record(good, kept))).toEqual([])
  })

  const grantedAt = (t: number): Steps =>
    good['2']?.map(step => (step[1] === 'granted' ? ([t, 'granted', 1, 20] as const) : step)) ?? []

  test('a lock granted when its holder was dead, before the parent saw that, is no overlap', () => {
    const found = record({ ...good, '2': grantedAt(4.5) }, kept)
    expect(found.kill).toMatchObject({ lockStayedMs: 0.5, successor: '2' })
    expect(problemsOf(found)).toEqual([])
  })

  test.each([
    ['the signal', 3.5, good['1'] ?? []],
    ['its last word', 4.5, [...(good['1'] ?? []).slice(0, 2), [4.6, 'measuring', 0, 10]] as Steps],
  ])('a lock granted before %s of its holder is an overlap', (_, at, killed) => {
    const found = record({ ...good, '1': killed, '2': grantedAt(at) }, kept)
    expect(found.overlaps.map(({ kind, name }) => [kind, name])).toEqual([['overlap', 'node_modules/p']])
    expect(problemsOf(found)).toContainEqual(expect.stringMatching(/^overlap on the lock of node_modules\/p/))
  })

  test('a fence that does not rise is a problem', () => {
    const stale = good['2']?.map(([t, step, request, fence]) => [t, step, request, fence && 9] as const) ?? []
    const found = record({ ...good, '2': stale }, { ...kept, 'node_modules/p': 9 })
    expect(found.overlaps.map(({ kind }) => kind)).toContain('fence')
  })

  test('a package measured twice is a problem', () => {
    const again = [
      [40, 'asked', 0],
      [41, 'granted', 0, 30],
      [42, 'kept', 0, 30],
      [43, 'releasing', 0, 30],
    ] as const
    const twice = { ...good, '3': [...(good['3'] ?? []).filter(([, , request]) => request === 2), ...again] }
    expect(problemsOf(record(twice, kept))).toContain('node_modules/p was measured 2 times')
  })

  test('a request that was not served, and a result that is missing, are problems', () => {
    const short = { ...good, '3': (good['3'] ?? []).slice(0, 3) }
    expect(problemsOf(record(short, { 'node_modules/p': 20 }))).toEqual([
      '2 of 3 requests were served',
      '1 of 2 packages have a result',
    ])
  })

  test('the timeline needs nothing from elsewhere, and a name stays a name', () => {
    const html = timeline({ ...record(good, kept), remeasured: [], problems: [] })
    expect(html).not.toContain('<script>alert')
    expect(html).toContain('&#34;&#62;&#60;script&#62;alert(1)')
    expect(html).not.toMatch(/https?:|\/\/\w+\.\w|@import|<link|src=|url\((?!#)/)
  })
})

describe('measuring a package', () => {
  const write = (path: string, text: string) => {
    mkdirSync(join(folder, 'p', path, '..'), { recursive: true })
    writeFileSync(join(folder, 'p', path), text)
  }

  test('counts its own files, not those of the packages inside', async () => {
    write('index.js', 'abc')
    write('lib/a.js', 'de')
    const alone = await measure(join(folder, 'p'))
    expect(alone).toMatchObject({ files: 2, bytes: 5 })
    write('node_modules/q/index.js', 'fgh')
    expect(await measure(join(folder, 'p'))).toEqual(alone)
  })

  test('tells apart trees whose contents are the same in a row', async () => {
    const digests = new Set<string>()
    for (const [a, b] of [
      ['abc', 'de'],
      ['ab', 'cde'],
      ['', 'abcde'],
    ] as const) {
      write('a', a)
      write('b', b)
      digests.add((await measure(join(folder, 'p'))).sha256)
    }
    expect(digests.size).toBe(3)
  })

  test('stops when its signal does', async () => {
    write('a', 'abc')
    const reason = new Error('stop')
    await expect(measure(join(folder, 'p'), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})
