import { randomUUID } from 'node:crypto'
import { DelayedError, type Job, UnrecoverableError } from 'bullmq'
import { type JobLockNames, type Lease, type Soloist, SoloistError } from '../../index.js'
import { sleep } from '../../internal/real-time.js'
import { type Carried, carriedBy, jobNameOf, namesOf, runsAlone } from './carried.js'
import type { Singleton, SingletonEvents } from './events.js'
import { type Gate, Gates, ownerOf } from './gate.js'
import type { Lives } from './life.js'
import { addedAtMs, marked, parseOwner, RUN_MARK } from './owner.js'
import { Run } from './run.js'
import { Sleepers } from './sleepers.js'
import { removeQueued } from './triggers.js'

/** What to do with a job whose place was taken before it came into its queue. */
export type OnLapsed = 'snooze' | 'fail' | 'drop'

/** What runs need of the worker they belong to. */
export interface RunsHost {
  readonly qualifiedName: string
  readonly solo: Soloist
  readonly lives: Lives
  readonly singleton: Singleton
  /** The length of a run's lease. */
  readonly leaseMs: number
  readonly snoozeMs: number
  readonly onLapsed: OnLapsed
  /** Puts an active job back for a while, without spending an attempt. */
  snooze(job: Job, token: string, ms: number): Promise<void>
}

/** The job is to end without being run. */
export const NOT_RUN: unique symbol = Symbol('not run')

const SOON_MS = 20

/** Claims the locks of a job before a worker runs it, and gives them up when BullMQ has noted its end. */
export class Runs {
  readonly #host: RunsHost
  readonly #gates: Gates
  readonly #sleepers: Sleepers
  readonly #runs = new Map<Job, Run>()

  constructor(host: RunsHost) {
    this.#host = host
    this.#gates = new Gates(host.solo.jobs, host.lives)
    this.#sleepers = new Sleepers(host.lives, (during, error) => this.#fault(during, error))
  }

  /**
   * Claims what the job needs to run.
   *
   * @returns the run, or `NOT_RUN` when the job is to end as it is
   * @throws DelayedError when it was put back; UnrecoverableError when it is not to run at all
   */
  async start(job: Job, carried: Carried, token: string): Promise<Run | typeof NOT_RUN> {
    const names = namesOf(carried)
    this.#sleepers.awake(carried.lock, job)
    try {
      return (await this.#start(job, carried, names)) ?? (await this.#snooze(job, carried, token))
    } catch (error) {
      if (!(error instanceof SoloistError)) throw error
      // Without its locks the job must not run; and the fault is the store's, not the job's.
      this.#fault('start', error, job)
      return await this.#snooze(job, carried, token)
    }
  }

  /** Ends a run: after BullMQ has noted what became of the job, or could not. Never rejects. */
  async settle(job: Job, carried: Carried): Promise<void> {
    const run = this.#runs.get(job)
    this.#runs.delete(job)
    try {
      const names = namesOf(carried)
      const lost = run === undefined ? false : await run.end()
      const kept = job.finishedOn ? await this.#giveUp(job, carried, names, run !== undefined) : true
      if (lost || !kept) {
        this.#host.singleton.count(jobNameOf(carried), 'lapsed')
        this.#lapsed(job, carried, 'ended')
      }
      if (run !== undefined || job.finishedOn) await this.#sleepers.wake(carried, names)
    } catch (error) {
      // These locks stay, and the next trigger finds that their job has ended.
      this.#fault('end', error, job)
    }
  }

  /** BullMQ's own lock of these jobs was lost: they may be running elsewhere soon. */
  abandon(jobIds: readonly string[]): void {
    for (const [job, run] of this.#runs) {
      if (jobIds.includes(job.id as string)) {
        run.abort(new SoloistError('LEASE_LOST', `BullMQ's lock of job ${job.id} was lost`))
      }
    }
  }

  /** @returns `null` when the job has to wait */
  async #start(job: Job, carried: Carried, names: JobLockNames): Promise<Run | typeof NOT_RUN | null> {
    const { qualifiedName, leaseMs } = this.#host
    const me = ownerOf(job, qualifiedName)
    const part = carried.part ?? 'holder'
    if (!(await this.#replacedAreGone(carried))) return null
    const gate = await this.#gates.pass(job, carried, names, me)
    if (gate.to !== 'open') {
      const then = await this.#shut(job, carried, names, me, gate)
      if (then !== 'runs') return then
    }
    let lease: Lease | null = null
    if (runsAlone(carried.mode)) {
      lease = await this.#claim(names.run, marked(me, randomUUID()), leaseMs)
      if (lease === null) return part === 'tick' ? await this.#tickBehindRun(job, carried, names, me) : null
    }
    try {
      const then = await this.#begin(job, carried, names, me)
      if (then !== 'runs') {
        await lease?.release()
        return then
      }
      const stop = carried.stoppable === true ? () => this.#isReplaced(job, carried, names, me) : null
      const run = new Run(lease, carried.fence ?? null, stop, error => this.#fault('stop', error, job))
      this.#runs.set(job, run)
      if (lease !== null) Object.assign(job.opts, { singleton: { ...carried, fence: lease.fence } })
      return run
    } catch (error) {
      await lease?.release()
      throw error
    }
  }

  /**
   * From here on the job counts as started: the lock of the queued job is given up, and its data is not changed any
   * more.
   */
  async #begin(job: Job, carried: Carried, names: JobLockNames, me: string): Promise<typeof NOT_RUN | null | 'runs'> {
    const { jobs } = this.#host.solo
    const part = carried.part ?? 'holder'
    const { mode } = carried
    if (part === 'holder' && mode !== 'untilExecuted' && mode !== 'untilExpired') {
      const held = await jobs.release(names.trigger, me)
      // The job does not hold it any more: it gave it up at an earlier start, or lost it, perhaps to a newer job.
      const gate = held ? null : await this.#gates.pass(job, carried, names, me)
      const then = gate === null || gate.to === 'open' ? 'runs' : await this.#shut(job, carried, names, me, gate)
      if (then !== 'runs') return then
    }
    const follows = part === 'follower' || (part === 'tick' && carried.followed === true)
    if (follows) await jobs.release(names.next, me)
    if (!follows && carried.mutable !== true) return 'runs'
    const present = await this.#host.lives.own(job.id as string)
    if (present !== undefined) job.data = present.data
    return 'runs'
  }

  async #shut(
    job: Job,
    carried: Carried,
    names: JobLockNames,
    me: string,
    gate: Exclude<Gate, { to: 'open' }>,
  ): Promise<typeof NOT_RUN | null | 'runs'> {
    const { onLapsed, singleton } = this.#host
    const about = { name: jobNameOf(carried), id: job.id as string, lock: carried.lock }
    if (gate.to === 'replaced') {
      singleton.emit('replaced', { ...about, owner: gate.holder })
      throw new UnrecoverableError(`replaced by ${gate.holder}`)
    }
    if (!gate.sure) return null
    const part = carried.part ?? 'holder'
    if (part === 'tick') return await this.#tick(job, carried, names, me, gate.holder)
    if (part !== 'holder') return gate.forMs === null ? null : await this.#later(job, gate.forMs)
    const overlaps = carried.mode !== 'untilExecuted'
    // A job of this mode holds no lock between its attempts.
    if (overlaps && job.attemptsStarted > 1) return 'runs'
    switch (onLapsed) {
      case 'snooze':
        this.#lapsed(job, carried, overlaps ? 'runs' : 'waits')
        return overlaps ? 'runs' : null
      case 'fail':
        this.#lapsed(job, carried, 'fails')
        throw new UnrecoverableError(`its place was taken by ${gate.holder}`)
      case 'drop':
        this.#lapsed(job, carried, 'dropped')
        return NOT_RUN
    }
  }

  async #tickBehindRun(job: Job, carried: Carried, names: JobLockNames, me: string): Promise<typeof NOT_RUN | null> {
    if (carried.mode !== 'whileExecuting') return null
    const running = await this.#host.solo.jobs.holder(names.run)
    const own = parseOwner(running?.owner ?? '')?.jobId === job.id
    return running === null || own ? null : await this.#tick(job, carried, names, me, running.owner)
  }

  /** A job that a scheduler made has met a live one. */
  async #tick(
    job: Job,
    { strategy, lock, ...carried }: Carried,
    names: JobLockNames,
    me: string,
    holder: string,
  ): Promise<typeof NOT_RUN | null> {
    const name = jobNameOf({ lock, ...carried })
    const skip = (): typeof NOT_RUN => {
      this.#host.singleton.count(name, 'duplicate')
      this.#host.singleton.emit('duplicate', { name, id: job.id as string, lock, owner: holder })
      return NOT_RUN
    }
    switch (strategy) {
      case 'join':
      case 'skip':
        return skip()
      case 'reject':
        this.#host.singleton.count(name, 'duplicate')
        throw new UnrecoverableError(`job ${JSON.stringify(name)} is live already: ${holder}`)
      case 'rerun':
      case 'replace': {
        const taken = await this.#host.solo.jobs.take(names.next, me)
        if (taken.status === 'granted' || taken.holder === null) return null
        const life = await this.#host.lives.of(names.next, taken.holder)
        if (life.state === 'live') return skip()
        if (life.state === 'over') await this.#host.solo.jobs.take(names.next, me, { replaces: taken.holder })
        return null
      }
      default:
        return null
    }
  }

  /** Takes the run lock; waits a moment for one that is just being given up. */
  async #claim(lock: string, owner: string, ttlMs: number): Promise<Lease | null> {
    const { jobs } = this.#host.solo
    const lease = await jobs.claim(lock, owner, { ttlMs })
    if (lease !== null) return lease
    await sleep(SOON_MS)
    return await jobs.claim(lock, owner, { ttlMs })
  }

  /** @returns whether it still held what it should */
  async #giveUp(job: Job, carried: Carried, names: JobLockNames, hasRun: boolean): Promise<boolean> {
    const { jobs } = this.#host.solo
    const me = ownerOf(job, this.#host.qualifiedName)
    const { mode, part = 'holder' } = carried
    if (mode === 'untilExecuted') {
      const held = await jobs.release(names.trigger, marked(me, RUN_MARK))
      if (hasRun) return held || !(await this.#takenWhileRunning(job, carried, names.trigger, me))
    }
    // The job has ended without being run, so it still holds the lock of a queued job.
    if (!hasRun && part === 'holder' && mode !== 'untilExpired') await jobs.release(names.trigger, me)
    if (!hasRun && (part === 'follower' || part === 'tick')) await jobs.release(names.next, me)
    return true
  }

  /**
   * Whether somebody took this lock before its job had ended; after that, whoever needs it takes it over. Not counting one
   * that takes the place of this job, and waits for its end.
   */
  async #takenWhileRunning(job: Job, { stoppable }: Carried, lock: string, me: string): Promise<boolean> {
    const holder = await this.#host.solo.jobs.holder(lock)
    if (holder === null) return false
    // A lock that was taken in the step that added the job has no time; the id of the job tells it.
    const addedMs = addedAtMs(holder.owner)
    const ageMs = holder.ageMs ?? (addedMs === null ? null : Date.now() - addedMs)
    if (ageMs === null || ageMs <= Date.now() - (job.finishedOn as number)) return false
    if (stoppable !== true) return true
    const owner = parseOwner(holder.owner)
    const newer = owner === null ? null : await this.#host.lives.find(owner)
    return newer === null || newer === 'elsewhere' || carriedBy(newer)?.replaces?.includes(me) !== true
  }

  /** Whether a newer job, which is there, has taken the place of this one. */
  async #isReplaced(job: Job, { mode }: Carried, names: JobLockNames, me: string): Promise<boolean> {
    const held = await this.#host.solo.jobs.holder(names.trigger)
    const mine = mode === 'untilExecuted' ? marked(me, RUN_MARK) : me
    if (held === null || held.owner === mine) return false
    const life = await this.#host.lives.of(names.trigger, held.owner)
    return life.state === 'live' && life.job !== null && life.job.id !== job.id
  }

  /**
   * Removes the jobs whose place this one takes, if whoever added it did not live to do so. One that is active finds out
   * by this job's hold on the lock, or is already running: either way this one waits until then.
   */
  async #replacedAreGone({ replaces = [] }: Carried): Promise<boolean> {
    let gone = true
    for (const text of replaces) {
      const owner = parseOwner(text)
      const job = owner === null ? null : await this.#host.lives.find(owner)
      if (job === null || job === 'elsewhere' || job.finishedOn || carriedBy(job) === null) continue
      if (!(await removeQueued(job))) gone = false
    }
    return gone
  }

  async #later(job: Job, ms: number): Promise<null> {
    this.#laterMs.set(job, ms)
    return null
  }

  readonly #laterMs = new WeakMap<Job, number>()

  async #snooze(job: Job, carried: Carried, token: string): Promise<never> {
    const ms = this.#laterMs.get(job) ?? this.#host.snoozeMs * (0.8 + 0.4 * Math.random())
    this.#sleepers.add(carried.lock, job)
    await this.#host.snooze(job, token, Math.ceil(ms))
    throw new DelayedError()
  }

  #lapsed(job: Job, carried: Carried, action: SingletonEvents['lapsed'][0]['action']): void {
    const name = jobNameOf(carried)
    this.#host.singleton.emit('lapsed', { name, id: job.id as string, lock: carried.lock, action })
  }

  #fault(during: string, error: unknown, job?: Job): void {
    this.#host.singleton.emit('fault', { during, error, id: job?.id })
  }
}
