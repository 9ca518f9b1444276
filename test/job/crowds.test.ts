import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type JobOptions, parseJobMeta, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'
import { describe, expect, test } from 'vitest'
import { Crew } from './crew.js'

// The options beyond mode and strategy in a crowd: four processes, one of which is killed.

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)
const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b)

interface Noted {
  readonly what: 'ready' | 'start' | 'end' | 'triggered' | 'settled' | 'killed'
  readonly args: number[]
  readonly id: string
  readonly at: string
  readonly statuses: Record<string, number>
  readonly codes: string[]
}

interface Settings {
  readonly job: JobOptions<number[]>
  readonly [setting: string]: unknown
}

/** Processes that trigger one job, and what they told of it. */
class Crowd implements AsyncDisposable {
  readonly crew: Crew
  readonly solo: Soloist
  readonly children: ChildProcess[]
  readonly notes: (Noted & { readonly child: number })[] = []
  #changed = () => {}

  constructor(kind: 'redis' | 'sqlite', settings: Settings, own: readonly object[]) {
    this.crew = new Crew(kind)
    const { where } = this.crew
    this.solo = connect(
      kind === 'redis' ? redisBackend(String(process.env.SOLOIST_TEST_REDIS), { prefix: where }) : sqliteBackend(where),
    )
    const script = new URL('./children/crowd.js', import.meta.url)
    this.children = own.map((one, child) => {
      const process = fork(script, [kind, where, JSON.stringify({ ...settings, ...one })], { execArgv: [] })
      process.on('message', note => {
        this.notes.push({ ...(note as Noted), child })
        this.#changed()
      })
      return process
    })
  }

  /** Four with 250 triggers each. */
  static async of(kind: 'redis' | 'sqlite', settings: Settings, last: object = {}): Promise<Crowd> {
    const own = numbers(4).map(i => ({ from: i * 250, count: 250, ...(i === 3 ? last : {}) }))
    const crowd = new Crowd(kind, settings, own)
    await crowd.until(() => crowd.of('ready').length === 4)
    return crowd
  }

  of(what: Noted['what']) {
    return this.notes.filter(note => note.what === what)
  }

  async until(test: () => boolean): Promise<void> {
    while (!test())
      await new Promise<void>(resolve => {
        this.#changed = resolve
      })
  }

  go(which = this.children): void {
    for (const child of which) child.send('go')
  }

  /** What all that live told of their triggers, once each is settled. */
  async settled(count = 4): Promise<{ statuses: Record<string, number>; codes: string[] }> {
    await this.until(() => this.of('settled').length === count)
    const statuses: Record<string, number> = {}
    for (const note of this.of('triggered')) {
      for (const [status, n] of Object.entries(note.statuses)) statuses[status] = (statuses[status] ?? 0) + n
    }
    return { statuses, codes: [...new Set(this.of('settled').flatMap(({ codes }) => codes))].toSorted() }
  }

  async kill(child: number): Promise<void> {
    const exited = once(this.children[child] as ChildProcess, 'exit')
    this.children[child]?.kill('SIGKILL')
    await exited
    const at = String(process.hrtime.bigint())
    this.notes.push({ what: 'killed', child, args: [], id: '', at, statuses: {}, codes: [] })
  }

  /** How many runs there were at once; those of a process that was killed ended with it. */
  get most(): number {
    const times = this.notes.filter(({ what }) => what === 'start' || what === 'end' || what === 'killed')
    const live = new Map<string, number>()
    let most = 0
    for (const note of times.toSorted((a, b) => (BigInt(a.at) < BigInt(b.at) ? -1 : 1))) {
      if (note.what === 'start') live.set(note.id, note.child)
      if (note.what === 'end') live.delete(note.id)
      if (note.what === 'killed') for (const [id, child] of live) if (child === note.child) live.delete(id)
      most = Math.max(most, live.size)
    }
    return most
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exits = this.children.map(child => (child.exitCode ?? child.signalCode) === null && once(child, 'exit'))
    for (const child of this.children) if (child.connected) child.send('end')
    await Promise.all(exits)
    await this.solo.close()
    await this.crew[Symbol.asyncDispose]()
  }
}

describe.each(['redis', 'sqlite'] as const)('four processes with 250 triggers each, on %s', kind => {
  test('limit: never more at once, and all run, but for those of a process that is killed', async () => {
    const job = { limit: 3, onDuplicate: 'delay', ttlMs: 3_000 } as const
    await using crowd = await Crowd.of(kind, { job, workMs: 2 })
    crowd.go()
    await crowd.until(() => crowd.of('start').length > 100)
    await crowd.kill(0)
    expect((await crowd.settled(3)).codes).toEqual(['ok'])
    expect(crowd.most).toBeLessThanOrEqual(3)
    const ended = crowd.of('end').flatMap(({ args }) => args)
    expect(sorted(ended.filter(n => n >= 250))).toEqual(numbers(750, 250))
  })

  test('debounce: one run has what all of them brought; so has one more, where who ran it was killed', async () => {
    const job = { debounce: { waitMs: 5_000 }, ttlMs: 3_000 }
    await using crowd = await Crowd.of(kind, { job, merges: true, workMs: 1_000 })
    crowd.go()
    await crowd.until(() => crowd.of('start').length === 1)
    const [first] = crowd.of('start')
    expect(sorted(first?.args ?? [])).toEqual(numbers(1_000))
    for (const from of [0, 250, 500, 750]) {
      expect(first?.args.filter(n => n >= from && n < from + 250)).toEqual(numbers(250, from))
    }
    await crowd.kill(first?.child as number)
    expect((await crowd.settled(3)).codes).toEqual(['ok'])
    // Who was killed takes its own triggers with it.
    const own = numbers(250, (first?.child as number) * 250)
    const again = new Set(crowd.of('end').flatMap(({ args }) => args))
    expect(numbers(1_000).filter(n => !again.has(n) && !own.includes(n))).toEqual([])
    expect(crowd.most).toBe(1)
  })

  test('debounce: however long they go on, maxWaitMs bounds it', async () => {
    const job = { debounce: { waitMs: 2_000, maxWaitMs: 2_500 } }
    await using crowd = await Crowd.of(kind, { job, merges: true, gapMs: 40 })
    crowd.go()
    // They go on for 10 s.
    await crowd.until(() => crowd.of('start').length === 2)
    expect(crowd.of('triggered')).toEqual([])
    expect((await crowd.settled()).codes).toEqual(['ok'])
    expect(sorted(crowd.of('end').flatMap(({ args }) => args))).toEqual(numbers(1_000))
  })

  test('maxRunMs: what came while a process hangs is run when the time is up, or when it is killed', async () => {
    const job = { maxRunMs: 6_000, onDuplicate: 'rerun', ttlMs: 2_000 } as const
    for (const killed of [false, true]) {
      // The fourth triggers one that hangs, and no more.
      await using crowd = await Crowd.of(kind, { job }, { from: -1, count: 1, hangs: [-1] })
      crowd.go(crowd.children.slice(3))
      await crowd.until(() => crowd.of('start').length === 1)
      crowd.go(crowd.children.slice(0, 3))
      await crowd.until(() => crowd.of('triggered').length === 4)
      if (killed) await crowd.kill(3)
      const { statuses, codes } = await crowd.settled(killed ? 3 : 4)
      expect(statuses).toEqual({ started: 1, deferred: 750 })
      expect(codes).toEqual(killed ? ['ok'] : ['RUN_TIMEOUT', 'ok'])
      const later = crowd.of('start').slice(1)
      expect(later.length).toBeGreaterThan(0)
      // Where a run was lost, each process that relied on it starts its own anew.
      expect(later.length).toBeLessThanOrEqual(killed ? 3 : 1)
      for (const { args } of later) expect([249, 499, 749]).toContain(args[0])
    }
  })

  test('releaseOnFailure: one starts; killed in its middle, another does; it fails, and the period is over', async () => {
    const job = { mode: 'untilExpired', expiryMs: 600_000, releaseOnFailure: true, ttlMs: 2_000 } as const
    await using crowd = await Crowd.of(kind, { job, workMs: 3_000, fails: true })
    crowd.go()
    await crowd.until(() => crowd.of('triggered').length === 4 && crowd.of('start').length === 1)
    const [first] = crowd.of('start')
    await crowd.kill(first?.child as number)
    const { statuses, codes } = await crowd.settled(3)
    expect(statuses).toEqual({ started: 1, duplicate: 999 })
    for (const code of codes) expect(['JOB_FAILED', null]).toContain(code)
    expect(crowd.of('start').length).toBeGreaterThan(1)
    expect(crowd.most).toBe(1)
    const options = { uniqueOn: () => 1, ...job }
    expect((await crowd.solo.job('crowd', options, (_: number[]) => [0]).trigger([0])).status).toBe('started')
  })

  test('describe: each that waits is shown with its own', async () => {
    const job = { onDuplicate: 'delay' } as const
    await using crowd = await Crowd.of(kind, { job, describes: true }, { from: -1, count: 1, hangs: [-1] })
    crowd.go(crowd.children.slice(3))
    await crowd.until(() => crowd.of('start').length === 1)
    crowd.go(crowd.children.slice(0, 3))
    await crowd.until(() => crowd.of('triggered').length === 4)
    const shown: string[] = []
    for await (const { holders, waiters, waiting } of crowd.solo.jobs.list()) {
      expect(parseJobMeta(holders[0]?.meta ?? null)).toMatchObject({
        pid: crowd.children[3]?.pid,
        description: 'value -1',
      })
      expect(waiting).toBe(750)
      for (const { meta } of waiters) {
        const { pid, description = '' } = parseJobMeta(meta) ?? {}
        shown.push(description)
        const value = Number(description.slice('value '.length))
        expect(pid).toBe(crowd.children[Math.floor(value / 250)]?.pid)
      }
    }
    expect(new Set(shown).size).toBe(shown.length)
    expect(shown.length).toBeGreaterThan(0)
    await crowd.kill(3)
    await sleep(0)
    for (const child of [0, 1, 2]) await crowd.kill(child)
  })
})
