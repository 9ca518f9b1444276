import type { SingletonJobOptions, SingletonOutcome } from 'soloist/bullmq'
import { expect } from 'vitest'
import { Child } from './children.js'
import { type Bench, type Data, numbers } from './support.js'

// Four processes that add, and some that run: see `children/crowd.js`.

export const RECOVERS = { lockDuration: 1_500, stalledInterval: 200, maxStalledCount: 100 }

export interface Crowd {
  readonly job: SingletonJobOptions<Data>
  readonly keys?: number
  readonly merges?: boolean
  readonly describes?: boolean
  readonly gapMs?: number
  readonly queueNames?: readonly string[]
  /** Lock and job are two steps. */
  readonly apart?: boolean
  readonly graceMs?: number
  /** How many ids of their own the jobs have. */
  readonly ids?: number
  readonly flows?: boolean
  readonly opts?: object
  /** Whether they tell what each add came to. */
  readonly tells?: boolean
  /** The ids of jobs of the queue `parents` that the added ones have in turn. */
  readonly parents?: readonly string[]
  /** By which addresses the first of them reach Redis; the others reach it as the bench does. */
  readonly urls?: readonly string[]
}

/** Four processes that add 250 jobs each, once they are told to. */
export class Producers {
  readonly children: Child[]

  constructor(bench: Bench, { keys = 1, queueNames = [], urls = [], ...config }: Crowd) {
    this.children = numbers(4).map(i => {
      const own = {
        role: 'producer',
        from: i * 250,
        count: 250,
        keys,
        queueName: queueNames[i] ?? 'work',
        url: urls[i] ?? bench.url,
      }
      return new Child(bench, 'crowd.js', { ...config, ...own })
    })
  }

  async ready(): Promise<this> {
    for (const child of this.children) expect(await child.message()).toBe('ready')
    return this
  }

  go(): void {
    for (const child of this.children) child.process.send('go')
  }

  /** How many of all triggers came to what. */
  async told(children = this.children): Promise<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (const child of children) {
      for (const [status, count] of Object.entries((await child.message()) as object)) {
        counts[status] = (counts[status] ?? 0) + count
      }
    }
    return counts
  }

  /** What each came to, by its value. */
  async outcomes(children = this.children): Promise<Map<number, SingletonOutcome>> {
    const all = new Map<number, SingletonOutcome>()
    for (const child of children) {
      const from = this.children.indexOf(child) * 250
      const outcomes = (await child.message()) as SingletonOutcome[]
      for (const [i, outcome] of outcomes.entries()) all.set(from + i, outcome)
    }
    return all
  }
}

export interface Work {
  readonly job?: SingletonJobOptions<Data>
  readonly merges?: boolean
  readonly workMs?: number
  readonly hangs?: readonly number[]
  readonly fails?: readonly number[]
  readonly concurrency?: number
  readonly queueName?: string
  readonly apart?: boolean
  readonly graceMs?: number
}

/** What runs write to. */
export const logOf = (bench: Bench): string => `${bench.prefix}-log`

export async function workersOf(
  bench: Bench,
  count: number,
  { concurrency = 10, job = {}, workMs = 2, ...config }: Work,
): Promise<Child[]> {
  const options = { ...RECOVERS, concurrency }
  const children = numbers(count).map(
    () => new Child(bench, 'crowd.js', { ...config, job, workMs, role: 'worker', log: logOf(bench), options }),
  )
  for (const child of children) expect(await child.message()).toBe('ready')
  return children
}

/** What the processes' runs had, how many of a key there were at once, and what had not ended when its process was killed. */
export async function logged(bench: Bench): Promise<{ values: number[][]; most: number; ended: number[] }> {
  const entries = (await bench.redis.lrange(logOf(bench), 0, -1)).map(text => JSON.parse(text))
  const live = new Map<string, { key: number; pid: number }>()
  const values: number[][] = []
  const ended: number[] = []
  let most = 0
  for (const [what, pid, key, all, run] of entries) {
    if (what === 'killed') for (const [id, one] of live) if (one.pid === pid) live.delete(id)
    if (what === 'end') {
      live.delete(run)
      ended.push(...all)
    }
    if (what !== 'start') continue
    values.push(all)
    live.set(run, { key, pid })
    most = Math.max(most, [...live.values()].filter(one => one.key === key).length)
  }
  return { values, most, ended }
}

export async function killed(bench: Bench, child: Child): Promise<void> {
  await child.kill()
  await bench.redis.rpush(logOf(bench), JSON.stringify(['killed', child.pid]))
}
