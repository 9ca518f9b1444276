import {
  DelayedError,
  type Job,
  type MinimalQueue,
  RateLimitError,
  UnrecoverableError,
  WaitingChildrenError,
  WaitingError,
  type Worker,
} from 'bullmq'
import { SoloistError } from '../../../index.js'
import { clearTimeout, monotonicMs, setTimeout } from '../../../internal/real-time.js'
import type { Fused } from '../fused/fused.js'
import type { Taken } from '../fused/taken.js'
import type { Singleton, SingletonEvents } from '../lock/events.js'
import { jobNameOf, type Terms, termsOf } from '../lock/terms.js'
import type { Definition } from '../options/definition.js'
import type { ApartRuns } from './apart.js'
import { folded } from './folding.js'
import { Run } from './run.js'
import { Stops } from './stops.js'

/** What runs need of the worker they belong to. */
export interface RunsHost {
  readonly worker: Worker
  readonly qualifiedName: string
  readonly queue: MinimalQueue
  readonly singleton: Singleton
  readonly definitions: ReadonlyMap<string, Definition>
  readonly apart: ApartRuns
  /** `null` where no script of the worker's is run within ours. */
  readonly fused: Fused | null
  /** How long BullMQ's lock of a job stands unless it is renewed. */
  readonly lockMs: number
}

/** Node's timers can do no more. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** What of a worker is needed beside what it shows. */
interface Extending {
  /** @returns the ids of those that were not */
  extendJobLocks(jobIds: string[], tokens: string[], duration: number): Promise<string[]>
}

/** The job is to end without being run. */
export const NOT_RUN: unique symbol = Symbol('not run')

const PUT_BACK = [DelayedError, WaitingError, WaitingChildrenError, RateLimitError]

/** Whether a processor throws this that has put its job back. */
export function isPutBack(error: unknown): boolean {
  return PUT_BACK.some(kind => error instanceof kind)
}

/** Starts the runs of a worker's jobs, once they have their locks, and ends them. */
export class Runs {
  readonly #host: RunsHost
  readonly #stops: Stops
  /** What the script that took a job up told of it: the lock of such a job is given up by a script, too. */
  readonly #taken = new WeakMap<Job, Taken>()
  /** When the call left that took a job up, on the monotonic clock: BullMQ's lock of it is as old at most. */
  readonly #sentAtMs = new WeakMap<Job, number>()
  readonly #runs = new Map<Job, Run>()
  /** Jobs whose run has not begun yet, with until when BullMQ's lock of them stands at least. */
  readonly #starting = new Map<Job, number>()

  /** When it is looked next whether a run's lock has run out, on the monotonic clock. */
  #expiresAtMs = Number.POSITIVE_INFINITY
  #expiry: NodeJS.Timeout | undefined

  constructor(host: RunsHost) {
    this.#host = host
    this.#stops = new Stops(host, error => this.#host.singleton.emit('fault', { during: 'stop', error }))
  }

  /** A job was made of what a script took up. */
  took(job: Job, taken: Taken): void {
    this.#taken.set(job, taken)
  }

  /** A job was taken up, by a call that left then, or by one that this made. */
  takenUp(job: Job, sentAtMs: number): void {
    if (!this.#sentAtMs.has(job)) this.#sentAtMs.set(job, sentAtMs)
  }

  /**
   * @returns the run, or `NOT_RUN` when the job is to end as it is
   * @throws DelayedError when it was put back; UnrecoverableError when it is not to run at all
   */
  start(job: Job, terms: Terms, token: string): Run | Promise<Run | typeof NOT_RUN> {
    const taken = this.#taken.get(job)
    // Of a job that somebody made by hand nothing is known.
    const sentAtMs = taken?.sentAtMs ?? this.#sentAtMs.get(job) ?? Number.NEGATIVE_INFINITY
    const untilMs = sentAtMs + this.#host.lockMs
    // Mostly there is nothing more to do.
    if (taken !== undefined && taken.instead === null && taken.notes.length === 0) {
      return this.#begin(job, terms, taken, untilMs)
    }
    this.#starting.set(job, untilMs)
    return this.#start(job, terms, token, taken).finally(() => this.#starting.delete(job))
  }

  async #start(job: Job, terms: Terms, token: string, byScript: Taken | undefined): Promise<Run | typeof NOT_RUN> {
    const taken = byScript ?? (await this.#host.apart.start(job, terms, token))
    if (taken.instead === 'replaced' && byScript === undefined) {
      this.#replaced(job, terms, taken.by)
      return await this.#host.apart.giveWay(job, token)
    }
    const { instead, by } = taken
    if (instead === 'stopped') return this.#notRun(job, terms, 'replaced', by)
    if (instead !== null) return this.#notRun(job, terms, instead, by)
    // Where that fails, the lock stays for the next attempt: what was left with the job goes with it.
    await this.#prove(job, terms, token)
    await this.#fold(job, terms, token, taken.notes, byScript !== undefined)
    await this.#prove(job, terms, token)
    return this.#begin(job, terms, taken, this.#starting.get(job) ?? 0)
  }

  /** Runs the processor. */
  run<R>(run: Run, processor: () => Promise<R>): Promise<R> {
    const running = run.of(processor)
    return this.#taken.has(run.job) ? running : this.#runApart(run, running)
  }

  async #runApart<R>(run: Run, running: Promise<R>): Promise<R> {
    const terms = termsOf(run.job) as Terms
    try {
      return await running
    } catch (error) {
      const by = isPutBack(error) ? null : await this.#stoppedBy(run, terms)
      if (by === null) throw error
      this.#replaced(run.job, terms, by)
      const { stack } = error as Error
      throw Object.assign(new UnrecoverableError(`replaced by ${by}`), { cause: error, stack })
    } finally {
      if (!run.isLost) await this.#settledApart(run.job, terms)
    }
  }

  /** Who asked a run to stop that is about to be tried again, as far as that can be found out. It is not, then. Never rejects. */
  async #stoppedBy({ job, isLost, replacedBy }: Run, terms: Terms): Promise<string | null> {
    const again = job.attemptsMade + 1 < (job.opts.attempts ?? 1)
    if (terms.flags.stops !== true || !again || isLost) return null
    try {
      return replacedBy ?? (await this.#host.apart.stoppedBy(job, terms))
    } catch (error) {
      this.#host.singleton.emit('fault', { during: 'stop', error, id: job.id })
      return null
    }
  }

  /** Before BullMQ is told of the attempt's end. Never rejects. */
  async #settledApart(job: Job, terms: Terms): Promise<void> {
    try {
      await this.#host.apart.settled(job, terms)
    } catch (error) {
      // Its lock stays, for the job's next attempt, or until the job has ended.
      this.#host.singleton.emit('fault', { during: 'end', error, id: job.id })
    }
  }

  /** Where it is so late that BullMQ's lock may be another's by now, it is asked whether it is this one's, and extended. */
  async #prove(job: Job, terms: Terms, token: string): Promise<void> {
    if (this.#stands(job)) return
    try {
      const worker = this.#host.worker as unknown as Extending
      await worker.extendJobLocks([job.id as string], [token], this.#host.lockMs)
    } catch (error) {
      this.#host.singleton.emit('fault', { during: 'start', error, id: job.id })
    }
    if (!this.#stands(job)) this.#tooLate(job, terms)
  }

  #stands(job: Job): boolean {
    return monotonicMs() <= (this.#starting.get(job) ?? 0)
  }

  #begin(job: Job, terms: Terms, { fence }: Pick<Taken, 'fence'>, validUntilMs: number): Run {
    if (monotonicMs() > validUntilMs) this.#tooLate(job, terms)
    const run = new Run(job, fence ?? 0, terms.maxRunMs, validUntilMs)
    this.#runs.set(job, run)
    this.#expireAt(validUntilMs)
    const { singleton } = job.opts as { singleton?: string }
    const told = { terms: singleton, lock: terms.lock, mode: terms.mode, fence: run.fence }
    ;(job.opts as { singleton?: unknown }).singleton = told
    if (terms.flags.stops === true) this.#stops.watch(run, terms, this.#taken.has(job))
    return run
  }

  /** The answer that the job was taken up came when it may have been running elsewhere already. It is left as it is. */
  #tooLate(job: Job, terms: Terms): never {
    this.#host.singleton.count(jobNameOf(terms), 'lapsed')
    this.#lapsed(job, terms, 'ended')
    throw new DelayedError()
  }

  /** Ends a run: after BullMQ has noted what became of the job, or could not. Never rejects. */
  end(job: Job, terms: Terms): Promise<void> | null {
    const run = this.#runs.get(job)
    this.#runs.delete(job)
    if (run !== undefined) {
      this.#stops.forget(run)
      const { stopped } = run
      if (stopped instanceof SoloistError && stopped.code === 'LEASE_LOST') {
        this.#host.singleton.count(jobNameOf(terms), 'lapsed')
        this.#lapsed(job, terms, 'ended')
      }
    }
    return this.#taken.has(job) ? null : this.#endApart(job, terms)
  }

  async #endApart(job: Job, terms: Terms): Promise<void> {
    try {
      await this.#host.apart.end(job, terms)
    } catch (error) {
      // Its lock stays, and the next trigger finds that its job has ended.
      this.#host.singleton.emit('fault', { during: 'end', error, id: job.id })
    }
  }

  /** BullMQ's own locks of these jobs were extended by a call that left then. */
  extended(jobIds: readonly string[], sentAtMs: number): void {
    const ids = new Set(jobIds)
    const untilMs = sentAtMs + this.#host.lockMs
    for (const [job, run] of this.#runs) if (ids.has(job.id as string)) run.extended(untilMs)
    for (const job of this.#starting.keys()) if (ids.has(job.id as string)) this.#starting.set(job, untilMs)
  }

  /** Aborts, on time, the runs whose lock of BullMQ's was not renewed. */
  #expireAt(untilMs: number): void {
    if (untilMs >= this.#expiresAtMs) return
    clearTimeout(this.#expiry)
    this.#expiresAtMs = untilMs
    this.#expiry = setTimeout(
      () => {
        this.#expiresAtMs = Number.POSITIVE_INFINITY
        for (const run of this.#runs.values()) if (!run.expire()) this.#expireAt(run.validUntilMs)
      },
      Math.min(untilMs - monotonicMs() + 1, LONGEST_TIMER_MS),
    ).unref()
  }

  /** BullMQ's own lock of these jobs was lost: they may be running elsewhere soon. */
  abandon(jobIds: readonly string[]): void {
    for (const [job, run] of this.#runs) {
      if (jobIds.includes(job.id as string)) {
        run.abort(new SoloistError('LEASE_LOST', `BullMQ's lock of job ${job.id} was lost`))
      }
    }
  }

  /** Looks whether BullMQ's locks of the jobs that are run still stand, and extends those. Never rejects. */
  async look(): Promise<void> {
    const runs = [...this.#runs.values()].filter(({ job, isOver }) => job.token !== undefined && !isOver)
    if (runs.length === 0) return
    const ids = runs.map(({ job }) => job.id as string)
    const tokens = runs.map(({ job }) => job.token as string)
    try {
      const worker = this.#host.worker as unknown as Extending
      const lost = new Set(await worker.extendJobLocks(ids, tokens, this.#host.lockMs))
      // One that has ended since has none any more.
      this.abandon(runs.flatMap(({ isOver }, i) => (!isOver && lost.has(ids[i] as string) ? [ids[i] as string] : [])))
    } catch (error) {
      this.#host.singleton.emit('fault', { during: 'look', error, id: ids[0] })
    }
  }

  /** A job that is fetched by hand has its data at once. */
  async fetched(job: Job, terms: Terms, token: string): Promise<void> {
    const taken = this.#taken.get(job)
    if (taken === undefined || taken.instead !== null || taken.notes.length === 0) return
    await this.#fold(job, terms, token, taken.notes, true)
    this.#taken.set(job, { ...taken, notes: [] })
  }

  close(): void {
    this.#stops.close()
    clearTimeout(this.#expiry)
  }

  #notRun(job: Job, terms: Terms, instead: 'drop' | 'fail' | 'replaced', by: string): typeof NOT_RUN {
    const about = { name: jobNameOf(terms), id: job.id as string, lock: terms.lock }
    const tick = terms.flags.tick === true
    if (instead === 'replaced') {
      this.#replaced(job, terms, by)
      throw new UnrecoverableError(`replaced by ${by}`)
    }
    if (tick) this.#host.singleton.count(about.name, 'duplicate')
    if (instead === 'fail') {
      throw new UnrecoverableError(
        tick ? `job ${JSON.stringify(about.name)} is live already: ${by}` : `its place was taken by ${by}`,
      )
    }
    if (tick) this.#host.singleton.emit('duplicate', { ...about, owner: by })
    return NOT_RUN
  }

  /**
   * Makes the data of what the job was added with and what was left with it, in that order, once.
   *
   * @throws SoloistError when it cannot be: then the attempt fails, and all of it is still there for the next
   */
  async #fold(job: Job, terms: Terms, token: string, notes: readonly string[], byScript: boolean): Promise<void> {
    if (notes.length > 0) {
      const data = folded(job, terms.lock, this.#host.definitions.get(job.name), notes, byScript)
      if (byScript) {
        const args = [`${this.#host.qualifiedName}:${job.id}`, `${this.#host.qualifiedName}:`, job.id, token]
        const done = await this.#host.fused?.own('folded', [...args, JSON.stringify(data ?? {}), notes.length])
        if (done !== 1) throw new SoloistError('LEASE_LOST', `BullMQ's lock of job ${job.id} was lost`)
        job.data = data
      } else await job.updateData(data)
    }
    if (!byScript) await this.#host.apart.begun(job, terms)
  }

  #replaced(job: Job, terms: Terms, owner: string): void {
    const { lock } = terms
    this.#host.singleton.emit('replaced', { name: jobNameOf(terms), id: job.id as string, lock, owner })
  }

  #lapsed(job: Job, terms: Terms, action: SingletonEvents['lapsed'][0]['action']): void {
    this.#host.singleton.emit('lapsed', { name: jobNameOf(terms), id: job.id as string, lock: terms.lock, action })
  }
}
