import type { Job, MinimalQueue, Worker } from 'bullmq'
import type { LockState } from '../../../index.js'
import { clearTimeout, monotonicMs, setTimeout } from '../../../internal/real-time.js'
import { Fused } from '../fused/fused.js'
import type { Taken } from '../fused/taken.js'
import { closeAll } from '../lock/connection.js'
import { Singleton } from '../lock/events.js'
import { KNOWING, Lives } from '../lock/lives.js'
import { parseOwner } from '../lock/owner.js'
import { startPeriod } from '../lock/period.js'
import { openStore, type Store } from '../lock/store.js'
import { takeOver } from '../lock/take-over.js'
import { jobNameOf, termsOf } from '../lock/terms.js'
import { Tidying } from '../lock/tidying/tidying.js'
import { checkWorkerSettings, type SingletonWorkerSettings } from '../options/settings.js'
import type { BackendFactory } from '../peer-types.js'
import { fuse, isPlainPrefix, opener } from '../side.js'
import { ApartRuns } from './apart.js'
import { onTakenAway } from './here.js'
import { Runs } from './runs.js'
import { Waking } from './waking.js'

const DEFAULT_LOCK_MS = 30_000
const DEFAULT_STALLED_MS = 30_000
/** How many waiting jobs one sweep looks at. */
const SWEPT_AT_ONCE = 500
const SWEEP_TTL_MS = 10_000

/** What of a worker is taken the place of. */
interface Inside {
  createJob(data: unknown, jobId: string): Job
  extendJobLocks(jobIds: string[], tokens: string[], duration: number): Promise<string[]>
  moveToActive?: TakesUp
  handleCompleted?: TakesUp
  handleFailed?: TakesUp
}

type TakesUp = (...args: unknown[]) => Promise<Job | undefined>

/** What a worker that runs singleton jobs has beside BullMQ's own. */
export class WorkerSide {
  readonly singleton: Singleton
  readonly runs: Runs
  readonly #worker: Worker
  readonly #store: Store
  readonly #lives: Lives
  readonly #waking: Waking
  readonly #apart: ApartRuns
  readonly #tidying: Tidying
  /** Of jobs that a script took up, until they are made. */
  readonly #taken = new Map<string, Taken>()
  readonly #sweepMs: number
  /** How old the claim of a job that is not there must be before a sweep gives it up: its producer may still write the job. */
  readonly #youngMs: number
  readonly #deaf: () => void
  #timer: NodeJS.Timeout | undefined
  #closed = false

  /** @param prefix what the keys of the locks on the worker's Redis start with; `null` when they are elsewhere */
  constructor(
    worker: Worker,
    settings: SingletonWorkerSettings,
    backendFactory: BackendFactory | undefined,
    prefix: string | null,
  ) {
    const { graceMs, onLapsed, jobs } = checkWorkerSettings(settings)
    const onError = (error: Error): void => void worker.emit('error', error)
    this.#worker = worker
    this.#store = openStore(settings, worker.opts.connection, backendFactory, onError)
    const { solo } = this.#store
    const singleton = new Singleton(solo)
    this.singleton = singleton
    const { qualifiedName } = worker
    const queue = worker as unknown as MinimalQueue
    this.#lives = new Lives({
      qualifiedName,
      queue,
      open: opener(worker.opts, backendFactory, onError),
      answering: null,
    })
    this.#waking = new Waking(solo, this.#lives, jobs, (error, id) =>
      singleton.emit('fault', { during: 'wake', error, id }),
    )
    const action = ({ snooze: 'waits', fail: 'fails', drop: 'dropped' } as const)[onLapsed]
    const lapsed = (id: string, lock: string, ended = false): void => {
      const name = jobNameOf({ lock })
      if (ended) singleton.count(name, 'lapsed')
      singleton.emit('lapsed', { name, id, lock, action: ended ? 'ended' : action })
    }
    const fused =
      prefix === null || !isPlainPrefix(prefix)
        ? null
        : new Fused({
            lapsed: onLapsed,
            taken: (jobId, taken) => void this.#taken.set(jobId, taken),
            onLapse: (id, key, ended) => lapsed(id, key.slice(prefix.length), ended),
          })
    let fuses = false
    if (fused !== null) {
      fuse(worker, fused).then(
        can => {
          fuses = can
        },
        // A connection that fails is reported by BullMQ itself.
        () => null,
      )
    }
    this.#tidying = new Tidying({
      ...{ queue: qualifiedName, prefix: prefix ?? '', locks: solo.jobs, lives: this.#lives, graceMs },
      everyMs: worker.opts.stalledInterval ?? DEFAULT_STALLED_MS,
      fused: () => (fuses ? fused : null),
      onLapse: (id, lock) => lapsed(id, lock, true),
      onFault: error => singleton.emit('fault', { during: 'tidy', error }),
    })
    this.#apart = new ApartRuns({
      ...{ worker, locks: solo.jobs, lives: this.#lives, graceMs, onLapsed },
      lapsed: (job, { lock }) => lapsed(job.id as string, lock),
      onFault: (during, error, job) => void singleton.emit('fault', { during, error, id: job.id }),
    })
    const lockMs = worker.opts.lockDuration ?? DEFAULT_LOCK_MS
    this.runs = new Runs({
      ...{ worker, qualifiedName, queue, singleton, definitions: jobs, apart: this.#apart, fused, lockMs },
    })
    worker.on('lockRenewalFailed', ids => this.runs.abandon(ids))
    this.#deaf = onTakenAway(qualifiedName, () => void this.runs.look())
    // By the tokens that begin with it the scripts know that a worker knows of locks.
    Object.assign(worker, { id: `${KNOWING}${worker.id}` })
    this.#listen(worker as unknown as Inside)
    this.#sweepMs = worker.opts.stalledInterval ?? DEFAULT_STALLED_MS
    this.#youngMs = Math.max(this.#sweepMs, graceMs)
    this.#sweepLater()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#deaf()
    this.runs.close()
    await closeAll(
      () => this.#tidying.close(),
      () => this.#waking.close(),
      () => this.#lives.close(),
      () => this.#store.close(),
    )
  }

  #listen(worker: Inside): void {
    const create = worker.createJob.bind(worker)
    worker.createJob = (data, jobId) => {
      const job = create(data, jobId)
      const taken = this.#taken.get(jobId)
      this.#taken.delete(jobId)
      if (taken !== undefined) this.runs.took(job, taken)
      return job
    }
    for (const step of ['moveToActive', 'handleCompleted', 'handleFailed'] as const) {
      const take = worker[step]?.bind(worker)
      // An older BullMQ has not all of them.
      if (take === undefined) continue
      worker[step] = async (...args) => {
        const sentAtMs = monotonicMs()
        const job = await take(...args)
        if (job) this.runs.takenUp(job, sentAtMs)
        return job
      }
    }
    const extend = worker.extendJobLocks.bind(worker)
    worker.extendJobLocks = async (jobIds, tokens, duration) => {
      const sentAtMs = monotonicMs()
      const failed = await extend(jobIds, tokens, duration)
      this.runs.extended(
        jobIds.filter(id => !failed.includes(id)),
        sentAtMs,
      )
      return failed
    }
  }

  #sweepLater(): void {
    this.#timer = setTimeout(() => void this.#sweep(), this.#sweepMs).unref()
  }

  /**
   * Finds jobs that wait for their lock by steps of its own, and that nobody has woken: a process died between. Where the steps
   * are part of BullMQ's scripts, its stalled check does the same.
   */
  async #sweep(): Promise<void> {
    try {
      const { solo } = this.#store
      if (this.#apart.isUsed) {
        // One worker at a time.
        const guard = await solo.tryLock(`bullmq-sweep:${this.#worker.qualifiedName}`, { ttlMs: SWEEP_TTL_MS })
        try {
          if (guard !== null) await this.#sweepAll()
        } finally {
          await guard?.release()
        }
      }
    } catch (error) {
      if (!this.#closed) this.singleton.emit('fault', { during: 'sweep', error })
    }
    if (!this.#closed) this.#sweepLater()
  }

  async #sweepAll(): Promise<void> {
    const { jobs } = this.#store.solo
    const host = { locks: jobs, lives: this.#lives }
    const looked = new Map<string, LockState | null>()
    const delayed = await this.#lives.delayed(SWEPT_AT_ONCE)
    const ids = new Set(delayed.map(({ id }) => id))
    for (const job of delayed) {
      const terms = termsOf(job)
      if (terms?.flags.apart !== true || this.#closed) continue
      const known = looked.has(terms.lock)
      const state = known ? (looked.get(terms.lock) ?? null) : await jobs.inspect(terms.lock)
      looked.set(terms.lock, state)
      if ((await this.#apart.wakeIfGranted(job, terms, state)) || known) continue
      // First who waits: else each of those that are gone would be granted the lock, and hold it for a while.
      for (const { owner, waitingSinceMs } of state?.waiters ?? []) {
        const parsed = parseOwner(owner)
        const isOld = state !== null && state.atMs - (waitingSinceMs ?? state.atMs) > this.#youngMs
        if (!isOld || parsed === null || ids.has(parsed.jobId)) continue
        const life = await this.#lives.of(terms.lock, owner, null)
        if (life.job === null) await takeOver(host, terms.lock, life)
      }
      for (const { owner, acquiredAtMs } of state?.holders ?? []) {
        const ageMs = acquiredAtMs === null || state === null ? null : state.atMs - acquiredAtMs
        const life = await this.#lives.of(terms.lock, owner, ageMs)
        const mayCome = life.job === null && (ageMs ?? 0) <= this.#youngMs
        const isIdle = life.job === null ? !mayCome : life.state === 'finished'
        if (terms.expiryMs !== null && isIdle) await startPeriod(jobs, terms.lock, owner, terms.expiryMs)
        if (!life.over || mayCome) continue
        await takeOver(host, terms.lock, life)
      }
    }
  }
}
