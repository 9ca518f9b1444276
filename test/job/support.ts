import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ConnectOptions,
  connect,
  type JobHandler,
  type JobRun,
  MemoryStore,
  memoryBackend,
  type Soloist,
} from 'soloist'
import { postgresBackend } from 'soloist/postgres'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'

export const kinds = ['memory', 'sqlite', 'redis', 'postgres'] as const
export type Kind = (typeof kinds)[number]

/** A datastore of one test's own, which any number of clients may join. Its end closes them and removes it. */
export class Store implements AsyncDisposable {
  readonly #open: (options: ConnectOptions) => Soloist
  readonly #remove: () => void
  readonly #clients: Soloist[] = []
  /** What was told of lost leases and failed calls. */
  readonly troubles: unknown[] = []

  private constructor(open: (options: ConnectOptions) => Soloist, remove: () => void) {
    this.#open = open
    this.#remove = remove
  }

  static of(kind: Kind): Store {
    if (kind === 'memory') {
      const store = new MemoryStore()
      return new Store(
        options => connect(memoryBackend({ store }), options),
        () => {},
      )
    }
    if (kind === 'redis') {
      const prefix = `job-${randomUUID()}:`
      return new Store(
        options => connect(redisBackend(String(process.env.SOLOIST_TEST_REDIS), { prefix }), options),
        () => {},
      )
    }
    if (kind === 'postgres') {
      const prefix = `job-${randomUUID()}:`
      return new Store(
        options => connect(postgresBackend(String(process.env.SOLOIST_TEST_POSTGRES), { prefix }), options),
        () => {},
      )
    }
    const folder = mkdtempSync(join(tmpdir(), 'soloist-job-'))
    return new Store(
      options => connect(sqliteBackend(join(folder, 'jobs.db')), options),
      () => rmSync(folder, { recursive: true, force: true }),
    )
  }

  client(options: ConnectOptions = {}): Soloist {
    // A busy machine is no fault.
    const solo = this.#open({ callTimeoutMs: 30_000, ...options })
    solo.on('lost', ({ name, owner, reason }) => this.troubles.push({ lost: name, owner, reason: reason.message }))
    solo.on('fault', ({ name, during, error }) => this.troubles.push({ fault: name, during, error }))
    this.#clients.push(solo)
    return solo
  }

  /** The names of all job locks in use. */
  async inUse(): Promise<string[]> {
    const names: string[] = []
    for await (const { name } of this.client().jobs.list()) names.push(name)
    return names
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.splice(0).map(solo => solo.close()))
    this.#remove()
  }
}

/** A promise with its ends outside. */
export function deferred<T = void>(): { promise: Promise<T>; resolve(value: T): void; reject(error: unknown): void } {
  let ends!: { resolve(value: T): void; reject(error: unknown): void }
  const promise = new Promise<T>((resolve, reject) => {
    ends = { resolve, reject }
  })
  return { promise, ...ends }
}

/** What one run did. */
export interface Noted<A> extends JobRun {
  readonly client: string
  readonly args: A
  ended: boolean
}

/** The runs of a job in all clients, in the order they started, and a gate that each waits at before it ends. */
export class Journal<A, R> {
  readonly runs: Noted<A>[] = []
  /** How many runs were under way at once, at most. */
  most = 0
  #underWay = 0
  #opened = deferred()
  #changed = deferred()

  /** The handler in one client. It ends once the gate is open. */
  handler(client: string, result: (args: A, run: JobRun) => R | Promise<R>): JobHandler<A, R> {
    return async (args, run) => {
      const noted: Noted<A> = { ...run, client, args, ended: false }
      this.runs.push(noted)
      this.#underWay += 1
      this.most = Math.max(this.most, this.#underWay)
      this.#note()
      try {
        await this.#opened.promise
        return await result(args, run)
      } finally {
        noted.ended = true
        this.#underWay -= 1
        this.#note()
      }
    }
  }

  open(): void {
    this.#opened.resolve()
  }

  /** Resolves once `count` runs have started. */
  async started(count: number): Promise<void> {
    while (this.runs.length < count) await this.#changed.promise
  }

  /** Resolves once `count` runs have ended. */
  async ended(count: number): Promise<void> {
    while (this.runs.filter(({ ended }) => ended).length < count) await this.#changed.promise
  }

  #note(): void {
    this.#changed.resolve()
    this.#changed = deferred()
  }
}
