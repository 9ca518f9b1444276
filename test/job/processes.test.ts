import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { JobCounts, TriggerOutcome } from 'soloist'
import { afterAll, describe, expect, test } from 'vitest'

const script = fileURLToPath(new URL('children/worker.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'soloist-job-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Started {
  readonly worker: Worker
  readonly args: Record<string, unknown>
  readonly id: string
  readonly fence: number
}

interface Failure {
  readonly name: string
  readonly code: string
  readonly message: string
  readonly cause: string
}

/** What one trigger of a worker came to. */
interface Triggered {
  readonly outcome: TriggerOutcome
  result(): Promise<unknown>
}

/** The processes of one test, and every run any of them started, in the order they told. */
class Crew implements AsyncDisposable {
  readonly started: Started[] = []
  readonly #workers: Worker[] = []
  #changed: () => void = () => {}

  readonly kind: 'redis' | 'sqlite'
  readonly where: string

  constructor(kind: 'redis' | 'sqlite') {
    this.kind = kind
    this.where = kind === 'redis' ? `job-${randomUUID()}:` : join(folder, `${randomUUID()}.db`)
  }

  async worker(options: object, merges = false): Promise<Worker> {
    const worker = new Worker(this)
    this.#workers.push(worker)
    await worker.ask('define', { options, merges })
    return worker
  }

  note(started: Started): void {
    this.started.push(started)
    this.#changed()
  }

  async untilStarted(count: number): Promise<void> {
    while (this.started.length < count)
      await new Promise<void>(resolve => {
        this.#changed = resolve
      })
  }

  /** Lets every run end. */
  async open(): Promise<void> {
    await Promise.all(this.#workers.map(worker => worker.ask('open')))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map(worker => worker.end()))
  }
}

class Worker {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  readonly #asked = new Map<number, (reply: Record<string, unknown>) => void>()
  readonly #exited: Promise<unknown>
  #dead = false
  #id = 0

  constructor(crew: Crew) {
    this.#process = spawn(process.execPath, [script, crew.kind, crew.where], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#exited = once(this.#process, 'exit')
    createInterface({ input: this.#process.stdout }).on('line', line => {
      const { id, event, ...reply } = JSON.parse(line)
      if (event === 'started') crew.note({ worker: this, id, ...reply })
      else this.#asked.get(id)?.(reply)
    })
  }

  async ask(command: string, args: object = {}): Promise<Record<string, unknown>> {
    if (this.#dead) return {}
    this.#id += 1
    const reply = new Promise<Record<string, unknown>>(resolve => this.#asked.set(this.#id, resolve))
    this.#process.stdin.write(`${JSON.stringify({ id: this.#id, do: command, ...args })}\n`)
    return await reply
  }

  async trigger(args: object): Promise<Triggered> {
    const of = this.#id + 1
    const { outcome, error } = await this.ask('trigger', { args })
    if (error !== undefined) throw error
    const result = async () => {
      const reply = await this.ask('result', { of })
      if (reply.error !== undefined) throw reply.error
      return reply.result
    }
    return { outcome: outcome as TriggerOutcome, result }
  }

  async counts(): Promise<JobCounts> {
    return (await this.ask('counts')).counts as JobCounts
  }

  async kill(): Promise<void> {
    this.#dead = true
    this.#process.kill('SIGKILL')
    await this.#exited
  }

  async end(): Promise<void> {
    if (this.#dead) return
    await this.ask('close')
    this.#process.stdin.end()
    expect(await this.#exited).toEqual([0, null])
  }
}

const KEYED = { uniqueOn: ['key'] }
/** Where a process is killed: others need not wait long, and a busy machine's pauses are shorter still. */
const SHORT = { ...KEYED, ttlMs: 3_000 }

describe.each(['redis', 'sqlite'] as const)('processes that share %s', kind => {
  test.concurrent('a second process joins the run of the first, and gets its result or its error', async ({
    expect,
  }) => {
    await using crew = new Crew(kind)
    const [one, two] = [await crew.worker(KEYED), await crew.worker(KEYED)]
    const first = await one.trigger({ key: 1, n: 1 })
    const failing = await one.trigger({ key: 2, fail: 'no such row' })
    await crew.untilStarted(2)
    const joined = await two.trigger({ key: 1, n: 2 })
    const alsoFailing = await two.trigger({ key: 2 })
    expect(joined.outcome).toMatchObject({ status: 'duplicate', id: first.outcome.id, state: 'running' })
    await crew.open()
    expect(await Promise.all([first.result(), joined.result()])).toEqual([
      { key: 1, n: 1 },
      { key: 1, n: 1 },
    ])
    const errors = await Promise.all([failing, alsoFailing].map(t => t.result().catch((e: Failure) => e)))
    expect(errors).toEqual([
      { name: 'RangeError', message: 'no such row' },
      { name: 'JobFailedError', code: 'JOB_FAILED', message: 'no such row', cause: 'RangeError' },
    ])
    expect(crew.started.map(({ worker }) => worker)).toEqual([one, one])
  })

  test.concurrent('killed during the run: one of those who joined runs it again, and the others join that', async ({
    expect,
  }) => {
    await using crew = new Crew(kind)
    const [one, ...others] = await Promise.all([1, 2, 3].map(() => crew.worker(SHORT)))
    await one?.trigger({ key: 1, n: 1 })
    await crew.untilStarted(1)
    const joined = await Promise.all([...others, ...others].map((worker, n) => worker.trigger({ key: 1, n: n + 2 })))
    expect(joined.map(({ outcome }) => [outcome.status, outcome.id])).toEqual(
      Array(4).fill(['duplicate', crew.started[0]?.id]),
    )
    await one?.kill()
    await crew.untilStarted(2)
    // Each process notices the death by its own question, one ttl after its last at the latest. The run lasts longer.
    await sleep(SHORT.ttlMs + 4_000)
    await crew.open()
    const results = await Promise.all(joined.map(triggered => triggered.result()))
    const [dead, recovered] = crew.started
    expect(crew.started.length).toBe(2)
    expect(others).toContain(recovered?.worker)
    expect(recovered?.fence).toBeGreaterThan(dead?.fence as number)
    expect(results).toEqual(Array(4).fill(recovered?.args))
    const counts = await Promise.all(others.map(worker => worker.counts()))
    expect(counts.map(({ recovered }) => recovered).sort()).toEqual([0, 1])
  })

  test.concurrent('rerun: exactly one more run, of the newest arguments, whoever triggered them', async ({
    expect,
  }) => {
    await using crew = new Crew(kind)
    const options = { ...KEYED, onDuplicate: 'rerun' }
    const workers = await Promise.all([1, 2, 3].map(() => crew.worker(options)))
    const first = await workers[0]?.trigger({ key: 1, n: 0 })
    await crew.untilStarted(1)
    const later: Triggered[] = []
    for (let n = 1; n <= 5; n += 1) later.push((await workers[n % 3]?.trigger({ key: 1, n })) as Triggered)
    await crew.open()
    expect(await first?.result()).toEqual({ key: 1, n: 0 })
    expect(await Promise.all(later.map(t => t.result()))).toEqual(Array(5).fill({ key: 1, n: 5 }))
    expect(crew.started.map(({ worker, args }) => [worker, args.n])).toEqual([
      [workers[0], 0],
      [workers[2], 5],
    ])
    expect(later.map(({ outcome }) => [outcome.status, outcome.id])).toEqual(
      Array(5).fill(['deferred', first?.outcome.id]),
    )
  })

  test.concurrent('merge: killed while its run is pending, what it had taken over is run by who is left', async ({
    expect,
  }) => {
    await using crew = new Crew(kind)
    const options = { ...SHORT, onDuplicate: 'rerun' }
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => crew.worker(options, true)))
    await one?.trigger({ key: 1, n: [0] })
    await crew.untilStarted(1)
    const second = await two?.trigger({ key: 1, n: [1] })
    const third = await one?.trigger({ key: 1, n: [2] })
    await three?.trigger({ key: 1, n: [3] })
    await three?.kill()
    await crew.open()
    const covered = (await Promise.all([second?.result(), third?.result()])) as { n: number[] }[]
    for (const [i, { n }] of covered.entries()) expect(n).toContain(i + 1)
    expect(crew.started.slice(1).every(({ worker }) => worker !== three)).toBe(true)
    expect(crew.started.length).toBeLessThanOrEqual(3)
  })
})
