import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Job, WorkerOptions } from 'bullmq'
import { Redis } from 'ioredis'
import { connect, type Soloist } from 'soloist'
import {
  SingletonFlowProducer,
  type SingletonJobOptions,
  SingletonQueue,
  type SingletonSettings,
  SingletonWorker,
  type SingletonWorkerSettings,
} from 'soloist/bullmq'
import { afterEach, beforeEach, expect } from 'vitest'
import type { RedisProxy } from '../support/proxy.js'

/** What the jobs of these tests are given: unique by `key`. */
export interface Data {
  readonly key: number
  readonly value: number
}

export type TestQueue = SingletonQueue<Data, number, string>
export type TestWorker = SingletonWorker<Data, number, string>
export type TestJob = Job<Data, number, string>

/**
 * Longer than a busy machine holds a process up between a lock and its job, also of the last of a thousand triggers. Who waits for
 * its end sets another.
 */
const GRACE_MS = 20_000
/**
 * For workers whose jobs others are to recover, soon where they die, and not where a busy machine holds them up: renewed so often,
 * the lock of a job stands for more than four seconds at any time.
 */
export const RECOVERS = { lockDuration: 5_000, lockRenewTime: 500, stalledInterval: 200, maxStalledCount: 100 } as const

/** The tests run with BullMQ 5, too. */
export const bullmqMajor: number = Number.parseInt(createRequire(import.meta.url)('bullmq/package.json').version, 10)

export const redisUrl: string = String(process.env.SOLOIST_TEST_REDIS)

/** For BullMQ. */
export function connectionTo(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) }
}

/** For BullMQ, which sends again what was not answered, as ioredis does by default. */
export function connectionThrough({ url }: RedisProxy): { host: string; port: number; retryStrategy: () => number } {
  return { ...connectionTo(url), retryStrategy: () => 10 }
}

export const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i)

/** What an add in one step says of its job, the owner of its claim among it; `undefined`: these are the words of another call. */
export const ownerIn = (words: readonly string[]): string | undefined =>
  words.find(word => /[a-z-]{6}[\d,]* bullmq:/.test(word))

/** The data of jobs that are merged: `all` are the values of all triggers. */
export type Merged = Data & { readonly all?: readonly number[] }
export const valuesOf = ({ all, value }: Merged): readonly number[] => all ?? [value]
export const merging = {
  uniqueOn: ['key'] as const,
  onDuplicate: 'rerun',
  merge: (a: Merged, b: Merged): Merged => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] }),
} as const

/** One test's queues, workers and locks under names of their own, and all that is to be closed. */
export class Bench {
  readonly prefix = `t${randomUUID().slice(0, 8)}`
  readonly queueName = 'work'
  readonly redis: Redis
  readonly solo: Soloist
  readonly url: string
  /** What queues and workers told in the background. */
  readonly faults: unknown[] = []
  readonly #closing: (() => Promise<void>)[] = []

  constructor(url: string = redisUrl) {
    this.url = url
    this.redis = new Redis(url)
    this.solo = this.client()
  }

  /** Another client of the same locks. */
  client(url: string = this.url): Soloist {
    // A busy machine is no fault.
    const solo = connect(url, { prefix: this.lockPrefix, callTimeoutMs: 30_000 })
    this.#closing.push(() => solo.close())
    return solo
  }

  get lockPrefix(): string {
    return `${this.prefix}-locks:`
  }

  queue(
    job: SingletonJobOptions<Data>,
    settings: Partial<SingletonSettings<Data>> = {},
    name = this.queueName,
  ): TestQueue {
    const queue: TestQueue = new SingletonQueue<Data, number, string>(name, {
      connection: connectionTo(this.url),
      prefix: this.prefix,
      singleton: {
        ...(settings.solo === undefined ? { prefix: this.lockPrefix } : {}),
        graceMs: GRACE_MS,
        jobs: { sync: { uniqueOn: ['key'], ...job } },
        ...settings,
      },
    })
    queue.on('error', error => this.faults.push(error))
    queue.singleton.on('fault', fault => this.faults.push(fault))
    this.#closing.push(() => queue.close())
    return queue
  }

  flows(job: SingletonJobOptions<Data>, settings: Partial<SingletonSettings<Data>> = {}): SingletonFlowProducer {
    const flows = new SingletonFlowProducer({
      connection: connectionTo(this.url),
      prefix: this.prefix,
      singleton: {
        ...(settings.solo === undefined ? { prefix: this.lockPrefix } : {}),
        graceMs: GRACE_MS,
        jobs: { sync: { uniqueOn: ['key'], ...job } } as never,
        ...settings,
      } as never,
    })
    flows.on('error', error => this.faults.push(error))
    flows.singleton.on('fault', fault => this.faults.push(fault))
    this.#closing.push(() => flows.close())
    return flows
  }

  /** A queue that is ready, and reaches Redis through a proxy. What it tells in the background is not looked at. */
  async queueThrough(
    proxy: RedisProxy,
    job: SingletonJobOptions<Data>,
    name: string = this.queueName,
    steps: 'one step' | 'two steps' = 'one step',
  ): Promise<TestQueue> {
    const where = steps === 'one step' ? { prefix: this.lockPrefix } : { solo: this.client(proxy.url) }
    const queue: TestQueue = new SingletonQueue<Data, number, string>(name, {
      connection: connectionThrough(proxy),
      prefix: this.prefix,
      singleton: { ...where, jobs: { sync: { uniqueOn: ['key'], ...job } } },
    })
    queue.on('error', () => {})
    this.closeLater(() => queue.close())
    await queue.waitUntilReady()
    return queue
  }

  worker(
    run: (job: TestJob, signal: AbortSignal) => Promise<number>,
    options: Partial<WorkerOptions> & { singleton?: SingletonWorkerSettings; queueName?: string } = {},
  ): TestWorker {
    const { queueName = this.queueName, singleton, ...rest } = options
    const worker: TestWorker = new SingletonWorker<Data, number, string>(
      queueName,
      async (job, _token, signal) => await run(job, signal as AbortSignal),
      {
        connection: connectionTo(this.url),
        prefix: this.prefix,
        concurrency: 5,
        ...rest,
        singleton: {
          ...(singleton?.solo === undefined ? { prefix: this.lockPrefix } : {}),
          graceMs: GRACE_MS,
          ...singleton,
        },
      },
    )
    worker.on('error', error => this.faults.push(error))
    worker.singleton.on('fault', fault => this.faults.push(fault))
    this.#closing.push(() => worker.close())
    return worker
  }

  closeLater(close: () => Promise<unknown>): void {
    this.#closing.push(async () => void (await close()))
  }

  /** Who holds which job lock. */
  async held(): Promise<Record<string, string>> {
    const held: Record<string, string> = {}
    for await (const { name, holders } of this.solo.jobs.list()) {
      for (const { owner } of holders) held[name] = owner
    }
    return held
  }

  async close(): Promise<void> {
    for (const close of this.#closing.reverse()) await close()
    const keys = await this.redis.keys(`*${this.prefix}*`)
    if (keys.length > 0) await this.redis.del(keys)
    this.redis.disconnect()
  }
}

/** Runs that wait until they are let go, and what became of each. */
export class Recorder {
  readonly started: number[] = []
  readonly ended: number[] = []
  readonly fences: number[] = []
  readonly aborted: number[] = []
  running = 0
  mostAtOnce = 0
  #gate: Promise<void> = Promise.resolve()
  #open: () => void = () => {}
  #waiting: { count: number; resolve: () => void }[] = []

  /** From now on runs wait for `letGo`. */
  hold(): void {
    this.#gate = new Promise(resolve => {
      this.#open = resolve
    })
  }

  letGo(): void {
    this.#open()
  }

  /** The processor. */
  readonly run = async (job: TestJob, signal: AbortSignal): Promise<number> => {
    const { value } = job.data
    this.started.push(value)
    this.fences.push((job.opts as { singleton?: { fence?: number } }).singleton?.fence ?? 0)
    this.running += 1
    this.mostAtOnce = Math.max(this.mostAtOnce, this.running)
    this.#tell()
    const aborted = new Promise<void>(resolve => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await Promise.race([this.#gate, aborted.then(() => this.aborted.push(value))])
    this.running -= 1
    this.ended.push(value)
    return value
  }

  /** Resolves when so many runs have started. */
  async untilStarted(count: number): Promise<void> {
    if (this.started.length >= count) return
    await new Promise<void>(resolve => this.#waiting.push({ count, resolve }))
  }

  #tell(): void {
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.started.length < count) return true
      resolve()
      return false
    })
  }
}

/**
 * Lets whoever takes a job's lock with `solo` get on only when the function that is returned was called: a producer that is
 * held up between its lock and its job.
 */
export function haltAfterTake(solo: Soloist): () => void {
  let letOn: () => void = () => {}
  const gate = new Promise<void>(resolve => {
    letOn = resolve
  })
  const take = solo.jobs.trigger.bind(solo.jobs)
  solo.jobs.trigger = async (...args) => {
    const taken = await take(...args)
    await gate
    return taken
  }
  return letOn
}

/** Resolves when nothing is left to be done in the queue and no lock that does not expire is held. */
export async function untilIdle(bench: Bench, queue: TestQueue): Promise<void> {
  for (;;) {
    const { active, waiting, delayed, prioritized } = await queue.getJobCounts()
    const busy = (active ?? 0) + (waiting ?? 0) + (delayed ?? 0) + (prioritized ?? 0)
    if (busy === 0 && Object.values(await bench.held()).every(owner => owner.endsWith('#set'))) return
    await sleep(10)
  }
}

/** Resolves when `test` holds. */
export async function until(test: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await test())) await sleep(5)
}

/**
 * Makes a bench and a recorder for each test of a file and lets go of them after it. Where nothing must fail in the
 * background, the test fails if something did.
 */
export function useBench(faults: 'must not fail' | 'may fail', set: (bench: Bench, runs: Recorder) => void): void {
  let bench: Bench
  let runs: Recorder
  beforeEach(() => {
    bench = new Bench()
    runs = new Recorder()
    set(bench, runs)
  })
  afterEach(async () => {
    runs.letGo()
    await bench.close()
    if (faults === 'must not fail') expect(bench.faults).toEqual([])
  })
}
