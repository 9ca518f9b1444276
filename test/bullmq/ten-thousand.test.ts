import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Child } from './children.js'
import { Bench, RECOVERS, until } from './support.js'

// 10,000 triggers over 200 keys while a worker is killed every second. What triggers and runs do is written to one list on
// Redis, so that it has one order.

const TRIGGERS = 10_000
const KEYS = 200
const WORKERS = 3
const KILL_EVERY_MS = 1_000
/** How long one key's triggers may take in all: so that there are some kills among them. The last waits for the sixth. */
const TRIGGERING_MS = 9_000

type Entry =
  | ['trigger' | 'accepted', key: number, value: number]
  | ['start' | 'end', pid: number, key: number, value: number, run: string]
  | ['killed', pid: number]

let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

afterEach(async () => {
  await bench.close()
})

test('every accepted trigger is covered, no runs of a key overlap, and nothing is left', {
  timeout: 180_000,
}, async () => {
  const log = `${bench.prefix}-log`
  const write = (...entry: Entry) => bench.redis.rpush(log, JSON.stringify(entry))
  // A job may be killed at every attempt.
  const options = { ...RECOVERS, concurrency: 20, maxStalledCount: 1_000 }
  const startWorker = () => new Child(bench, 'worker.js', { log, workMs: 3, options })
  const queue = bench.queue({ onDuplicate: 'rerun' }, { graceMs: 1_000 })
  const workers = Array.from({ length: WORKERS }, startWorker)

  let triggering = true
  let kills = 0
  const killing = (async () => {
    while (triggering) {
      await sleep(KILL_EVERY_MS)
      const victim = workers.shift() as Child
      await victim.kill()
      await write('killed', victim.pid)
      kills += 1
      workers.push(startWorker())
    }
  })()
  const perKey = TRIGGERS / KEYS
  const statuses: Record<string, number> = {}
  await Promise.all(
    Array.from({ length: KEYS }, async (_, key) => {
      for (let value = 1; value <= perKey; value += 1) {
        if (value === perKey) await until(() => kills > 5)
        await write('trigger', key, value)
        const { outcome } = await queue.addUnique('sync', { key, value }, { removeOnComplete: true })
        await write('accepted', key, value)
        statuses[outcome.status] = (statuses[outcome.status] ?? 0) + 1
        await sleep(Math.random() * 2 * (TRIGGERING_MS / perKey))
      }
    }),
  )
  triggering = false
  await killing
  await until(async () => {
    const { active = 0, waiting = 0, delayed = 0 } = await queue.getJobCounts()
    return active + waiting + delayed === 0
  })
  // Locks of workers that were killed between the end of a job and giving up its lock: the next trigger takes them over.
  expect(await queue.sweep()).toBeLessThan(100)
  await until(async () => Object.keys(await bench.held()).length === 0)

  const entries = (await bench.redis.lrange(log, 0, -1)).map(text => JSON.parse(text) as Entry)
  const { uncovered, overlaps, runs } = judge(entries)
  expect({ uncovered, overlaps }).toEqual({ uncovered: [], overlaps: [] })
  expect(Object.values(statuses).reduce((sum, count) => sum + count, 0)).toBe(TRIGGERS)
  expect(kills).toBeGreaterThan(5)
  // They did meet, and were put together.
  expect(statuses.duplicate).toBeGreaterThan(0)
  expect(runs).toBeLessThan(TRIGGERS)

  expect(await queue.getJobCounts()).toMatchObject({ active: 0, waiting: 0, delayed: 0, failed: 0, completed: 0 })
  // The last fence and what was noted of holders that were killed are kept for a minute, and nothing else.
  const kept = (await bench.redis.keys(`*${bench.lockPrefix}*`)).filter(key => !key.startsWith(log))
  const noted = kept.filter(key => key.endsWith('}:d2'))
  expect(kept.filter(key => !noted.includes(key))).toEqual([`{${bench.lockPrefix}}:f2`])
  expect(noted.length).toBeLessThanOrEqual(kills)
  for (const key of kept) {
    const leftMs = await bench.redis.pttl(key)
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(60_000)
  }
  expect(bench.faults).toEqual([])
})

/** Reads the list in its order. */
function judge(entries: readonly Entry[]): { uncovered: string[]; overlaps: string[]; runs: number } {
  const overlaps: string[] = []
  /** Runs that have started and neither ended nor been killed. */
  const open = new Map<string, { pid: number; key: number }>()
  /** By key: the place and the data of every run that ended. */
  const covering = new Map<number, { at: number; value: number }[]>()
  const started = new Map<string, number>()
  const killed = new Set<number>()
  let runs = 0
  for (const [at, entry] of entries.entries()) {
    if (entry[0] === 'start') {
      const [, pid, key, value, run] = entry
      for (const other of open.values()) if (other.key === key) overlaps.push(`key ${key}, value ${value}`)
      // What a process sent before it was killed may come to the list after that.
      if (!killed.has(pid)) open.set(run, { pid, key })
      started.set(run, at)
      runs += 1
    } else if (entry[0] === 'end') {
      const [, , key, value, run] = entry
      open.delete(run)
      const done = covering.get(key) ?? []
      covering.set(key, [...done, { at: started.get(run) as number, value }])
    } else if (entry[0] === 'killed') {
      killed.add(entry[1])
      for (const [run, { pid }] of open) if (pid === entry[1]) open.delete(run)
    }
  }
  const uncovered: string[] = []
  for (const [at, entry] of entries.entries()) {
    if (entry[0] !== 'trigger') continue
    const [, key, value] = entry
    const covers = (covering.get(key) ?? []).some(run => run.at > at && run.value >= value)
    if (!covers) uncovered.push(`key ${key}, value ${value}`)
  }
  return { uncovered, overlaps, runs }
}
