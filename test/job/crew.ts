import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { JobCounts, TriggerOutcome } from 'soloist'
import { expect } from 'vitest'

const script = fileURLToPath(new URL('children/worker.js', import.meta.url))

export interface Started {
  readonly worker: Worker
  readonly args: Record<string, unknown>
  readonly id: string
  readonly fence: number
}

export interface Failure {
  readonly name: string
  readonly code: string
  readonly message: string
  readonly cause: string
}

/** What one trigger of a worker came to. */
export interface Triggered {
  readonly outcome: TriggerOutcome
  result(): Promise<unknown>
}

/** The processes of one test, and every run any of them started, in the order they told. */
export class Crew implements AsyncDisposable {
  readonly started: Started[] = []
  readonly #workers: Worker[] = []
  #changed: () => void = () => {}

  readonly kind: 'redis' | 'sqlite'
  readonly where: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'soloist-job-'))

  constructor(kind: 'redis' | 'sqlite') {
    this.kind = kind
    this.where = kind === 'redis' ? `job-${randomUUID()}:` : join(this.#folder, 'jobs.db')
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
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export class Worker {
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

  /** Triggers with each of these arguments, in one tick. */
  async triggerMany(all: readonly object[]): Promise<{ statuses: string[]; results(): Promise<unknown[]> }> {
    const of = this.#id + 1
    const { statuses, error } = await this.ask('triggerMany', { all })
    if (error !== undefined) throw error
    const results = async () => {
      const reply = await this.ask('resultsMany', { of })
      if (reply.error !== undefined) throw reply.error
      return reply.results as unknown[]
    }
    return { statuses: statuses as string[], results }
  }

  async counts(): Promise<JobCounts> {
    return (await this.ask('counts')).counts as JobCounts
  }

  /** How many triggers it has sent to the store, and how many of them are answered. */
  async asked(): Promise<{ readonly sent: number; readonly answered: number }> {
    return (await this.ask('asked')) as unknown as { sent: number; answered: number }
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
