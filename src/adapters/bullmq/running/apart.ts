import { DelayedError, type Job, type Worker } from 'bullmq'
import type { JobLocks, LockState, Note } from '../../../index.js'
import { SoloistError } from '../../../index.js'
import type { Taken as TakenByScript } from '../fused/taken.js'
import { isYoung, type Life, type Lives } from '../lock/lives.js'
import { ownerOf, parseOwner } from '../lock/owner.js'
import { PARKED_MS, wake } from '../lock/parked.js'
import { startPeriod } from '../lock/period.js'
import { removed } from '../lock/removing.js'
import { takeOver } from '../lock/take-over.js'
import { type Terms, termsOf } from '../lock/terms.js'
import { toFold } from './folding.js'

/** For how long a job is put back whose locks' store does not answer. */
const STORE_DOWN_MS = 1_000
/** How often a job looks that waits for somebody who wakes nobody: an owner that is no job of BullMQ. */
const LOOK_AT_OTHERS_MS = 5_000

/** As by a script, but that BullMQ took the job up. `stopped`: it was asked to stop, and is not to run again. */
type Taken = Omit<TakenByScript, 'sentAtMs' | 'instead'> & { readonly instead: TakenByScript['instead'] | 'stopped' }

export interface ApartHost {
  readonly worker: Worker
  readonly locks: JobLocks
  readonly lives: Lives
  readonly graceMs: number
  readonly onLapsed: 'snooze' | 'fail' | 'drop'
  lapsed(job: Job, terms: Terms, by: string): void
  onFault(during: string, error: unknown, job: Job): void
}

/** The steps of a job's lock around its run, as calls of their own. See `adding/apart.ts`. */
export class ApartRuns {
  readonly #host: ApartHost
  readonly #claimed = new WeakSet<Job>()
  /** Those of them that have given up what they claimed. */
  readonly #settled = new WeakSet<Job>()
  /** Whether there was such a job at all. */
  isUsed = false

  constructor(host: ApartHost) {
    this.#host = host
  }

  /**
   * Claims what the job needs to run.
   *
   * @throws DelayedError when it was put back
   */
  async start(job: Job, terms: Terms, token: string): Promise<Taken> {
    this.isUsed = true
    let waitMs: number | null
    try {
      const taken = await this.#claim(job, terms)
      if (typeof taken === 'object' && taken !== null) {
        this.#claimed.add(job)
        if (isOfRun(terms)) this.#settleBeforePut(job, terms)
        return taken
      }
      waitMs = taken
    } catch (error) {
      if (!(error instanceof SoloistError)) throw error
      // Without its lock the job must not run; and the fault is the store's, not the job's.
      this.#host.onFault('start', error, job)
      waitMs = STORE_DOWN_MS
    }
    await this.#putBack(job, token, waitMs ?? PARKED_MS)
    // Whoever ended meanwhile could not wake it yet.
    if (waitMs === null) await this.wakeIfGranted(job, terms, await this.#host.locks.inspect(terms.lock))
    throw new DelayedError()
  }

  /**
   * Another job has taken the place of this one, which goes as if it had been removed before a worker took it up.
   *
   * @throws DelayedError
   */
  async giveWay(job: Job, token: string): Promise<never> {
    await this.#putBack(job, token, PARKED_MS)
    await removed(job)
    throw new DelayedError()
  }

  /**
   * The attempt is over, and BullMQ does not know it yet, so that nobody else can take the job up. Where a run alone has the lock it goes
   * now: the next attempt has the same owner, and what is given up late would be its.
   */
  async settled(job: Job, terms: Terms): Promise<void> {
    if (!isOfRun(terms) || !this.#claimed.has(job) || this.#settled.has(job)) return
    await this.#host.locks.release(terms.lock, this.#ownerOf(job, terms))
    this.#settled.add(job)
  }

  /** The same where the processor itself puts the job back: by these calls. */
  #settleBeforePut(job: Job, terms: Terms): void {
    for (const step of ['moveToDelayed', 'moveToWait'] as const) {
      const put = job[step]?.bind(job) as ((...args: unknown[]) => Promise<unknown>) | undefined
      if (put === undefined) continue
      const after = async (...args: unknown[]) => {
        await this.settled(job, terms)
        return await put(...args)
      }
      Object.assign(job, { [step]: after })
    }
  }

  /** The attempt is over, and BullMQ has noted what became of the job, or could not. */
  async end(job: Job, terms: Terms): Promise<void> {
    const ran = this.#claimed.delete(job)
    const { mode, flags, lock } = terms
    const finished = Boolean(job.finishedOn)
    if (this.#settled.has(job) || (!ran && !finished)) return
    // It may have its lock once more since, by another worker.
    if (!finished && !(await this.#isOver(job))) return
    if (mode === 'untilExpired') {
      const failed = finished && job.failedReason !== undefined && job.returnvalue == null
      if (!(flags.freesOnFailure === true && failed) && ran) return
    }
    await this.#host.locks.release(lock, this.#ownerOf(job, terms))
  }

  /** Whether another worker has ended the job: the lock may have been taken for it once more since. */
  async #isOver({ id }: Job): Promise<boolean> {
    const present = await this.#host.lives.own(id as string)
    return present === undefined || Boolean(present.finishedOn)
  }

  /** The run has the data it was to have: from now on, in these modes, the next may be queued. */
  async begun(job: Job, terms: Terms): Promise<void> {
    const { mode, lock, expiryMs } = terms
    if (mode === 'untilExecuting') await this.#host.locks.release(lock, this.#ownerOf(job, terms))
    if (expiryMs !== null) await startPeriod(this.#host.locks, lock, this.#ownerOf(job, terms), expiryMs)
  }

  /**
   * Whether a newer job wants this one to stop: the pending one, or where none is who waits first, says so by its terms while it waits
   * for the run that has had its place for longest. So a request ends with either of both.
   *
   * @returns the owner of the newer one; `null`: there is none
   */
  async stoppedBy(job: Job, terms: Terms): Promise<string | null> {
    const { locks, lives } = this.#host
    const state = await locks.inspect(terms.lock)
    const [first] = state?.holders ?? []
    const owner = state?.pending?.owner ?? state?.waiters[0]?.owner
    if (state === null || owner === undefined || first?.owner !== this.#ownerOf(job, terms)) return null
    // It was granted its own place.
    if (state.holders.some(holder => holder.owner === owner)) return null
    // This run was before it in the line, and did not run when it asked.
    const since = state.waiters.find(waiter => waiter.owner === owner)?.waitingSinceMs
    if (since !== undefined && (first.acquiredAtMs ?? 0) > since) return null
    const parsed = parseOwner(owner)
    const newer = parsed === null ? null : await lives.find(parsed)
    return newer !== null && termsOf(newer)?.flags.asks === true ? owner : null
  }

  /** @param state of its lock, since it was put back. @returns whether it was woken */
  async wakeIfGranted(job: Job, terms: Terms, state: LockState | null): Promise<boolean> {
    const owner = this.#ownerOf(job, terms)
    const waits = state?.waiters.some(waiter => waiter.owner === owner) ?? false
    const holds = state?.holders.some(holder => holder.owner === owner) ?? false
    // One of many that wait may not be shown.
    if (!holds && (waits || (state?.waiting ?? 0) > (state?.waiters.length ?? 0))) return false
    const { lives } = this.#host
    const present = await lives.own(job.id as string)
    return present === undefined ? false : await lives.bounded(() => wake(present))
  }

  /** @returns how long it is to wait, at most, where it does not have its lock: `null`: until it is woken */
  async #claim(job: Job, terms: Terms): Promise<Taken | number | null> {
    const { mode, flags, lock, limit, expiryMs } = terms
    const { locks } = this.#host
    const owner = this.#ownerOf(job, terms)
    const free: Taken = { fence: fenceOf(Date.now() * 1000, job), notes: [], instead: null, by: '' }
    const told = (notes: readonly Note[]) => toFold(job, owner, notes)
    const overlaps = mode === 'untilExecuting' && job.attemptsStarted > 1
    const ofPeriod = mode === 'untilExpired' && flags.tick !== true
    if (overlaps || ofPeriod) {
      // An attempt before may have ended before it had its data; and who waited for a period may have it.
      const begun = await locks.begin(lock, owner)
      if (begun.status === 'displaced') return { fence: null, notes: [], instead: 'replaced', by: begun.by }
      if (begun.status === 'begun') return { ...free, notes: told(begun.notes) }
      if (overlaps) return free
      const state = await locks.inspect(lock)
      if (state?.waiters.every(waiter => waiter.owner !== owner) !== false) return free
    }
    if (flags.tick === true) {
      const met = await this.#tick(terms, owner)
      if (met !== null) return met
    }
    let begun = await locks.begin(lock, owner)
    for (;;) {
      if (begun.status === 'displaced') return { fence: null, notes: [], instead: 'replaced', by: begun.by }
      const asked = await locks.queue(lock, owner, { limit })
      if (asked.status === 'granted') {
        if (begun.status === 'lost') begun = await locks.begin(lock, owner)
        // Until then another may have taken its place.
        if (begun.status !== 'begun') continue
        // By an attempt before, or while a worker that died had it.
        const by = flags.stops === true ? await this.stoppedBy(job, terms) : null
        if (by !== null) return { fence: null, notes: [], instead: 'stopped', by }
        return { fence: fenceOf(asked.fence, job), notes: told(begun.notes), instead: null, by: '' }
      }
      // Another trigger may have taken its place since it was looked at first: then this made a new one.
      if (flags.inLine === true) {
        begun = await locks.begin(lock, owner)
        if (begun.status === 'displaced') await locks.release(lock, owner)
        if (begun.status !== 'lost') continue
      }
      const { holder, retryAfterMs } = asked
      if (expiryMs !== null) return retryAfterMs ?? Math.min(expiryMs, LOOK_AT_OTHERS_MS)
      if (holder === null) return retryAfterMs
      const life = await this.#host.lives.of(lock, holder, null)
      const dead = await this.#deadOf(lock, limit === null ? [life] : null)
      if (dead !== null) {
        await takeOver(this.#host, lock, dead)
        continue
      }
      const first = job.attemptsStarted <= 1 || mode === 'untilExecuted'
      if (first && mode !== 'whileExecuting' && flags.inLine !== true && flags.tick !== true && job.delay === 0) {
        const lapse = await this.#lapse(job, terms, owner, holder)
        if (lapse !== null) return lapse
      }
      return life.parsed === null ? LOOK_AT_OTHERS_MS : await this.#earlyMs(lock, owner)
    }
  }

  /** How long the pending run has to wait for further triggers, when it is this one: nobody wakes it then. */
  async #earlyMs(lock: string, owner: string): Promise<number | null> {
    const state = await this.#host.locks.inspect(lock)
    if (state?.pending?.owner !== owner || state.pending.notBeforeMs === null) return null
    const leftMs = state.pending.notBeforeMs - state.atMs
    return leftMs > 0 ? leftMs + 1 : null
  }

  /** It had its lock when it was added, and somebody else has it now. */
  async #lapse(job: Job, terms: Terms, owner: string, by: string): Promise<Taken | null> {
    this.#host.lapsed(job, terms, by)
    const { onLapsed, locks } = this.#host
    if (onLapsed === 'snooze') return null
    await locks.release(terms.lock, owner)
    return { fence: null, notes: [], instead: onLapsed, by }
  }

  /** A job that a scheduler made meets a live one. */
  async #tick({ lock, strategy, limit }: Terms, owner: string): Promise<Taken | null> {
    const { locks, lives, graceMs } = this.#host
    const follows = strategy === 'rerun' || strategy === 'replace'
    const action = follows ? 'follow' : strategy === 'delay' ? 'wait' : 'meet'
    for (let looks = 0; looks < 3; looks += 1) {
      const actions = { running: action, pending: follows ? 'meet' : action } as const
      const told = await locks.trigger(lock, owner, { ...actions, limit, begins: follows })
      if (told.status !== 'met') return null
      const met = told.seen.running ?? told.seen.pending ?? told.seen.waiting
      if (met === null) return null
      const life = await lives.of(lock, met.owner, met.ageMs)
      if (!life.over || isYoung(life, graceMs)) {
        return { fence: null, notes: [], instead: strategy === 'reject' ? 'fail' : 'drop', by: met.owner }
      }
      await takeOver(this.#host, lock, life)
    }
    return null
  }

  /** @returns one of those who hold the lock, or of these, whose job is over, and will not come any more; `null`: there is none */
  async #deadOf(lock: string, known: readonly Life[] | null): Promise<Life | null> {
    if (known?.every(life => !life.over)) return null
    const { locks, lives, graceMs } = this.#host
    const state = await locks.inspect(lock)
    for (const { owner, acquiredAtMs } of state?.holders ?? []) {
      const ageMs = acquiredAtMs === null || state === null ? null : state.atMs - acquiredAtMs
      const life = await lives.of(lock, owner, ageMs)
      if (life.over && !isYoung(life, graceMs)) return life
    }
    return null
  }

  /** As if it had not started, where BullMQ can: else it would use up `maxStartedAttempts`. */
  async #putBack(job: Job, token: string, ms: number): Promise<void> {
    const { worker } = this.#host
    // BullMQ 5 has no such method.
    const backend = (worker as Partial<Pick<Worker, 'getBackend'>>).getBackend?.call(worker)
    if (backend === undefined) return await job.moveToDelayed(Date.now() + ms, token)
    const fieldsToUpdate = { ats: Math.max(job.attemptsStarted - 1, 0) }
    await backend.moveToDelayed(job.id as string, Date.now(), ms, token, { skipAttempt: true, fieldsToUpdate })
  }

  #ownerOf(job: Job, { mode }: Terms): string {
    return ownerOf(this.#host.worker.qualifiedName, job.id as string, mode === 'untilExpired')
  }
}

/** Whether only a run has the lock, and what is between two runs has not. */
function isOfRun({ mode }: Terms): boolean {
  return mode === 'whileExecuting' || mode === 'untilAndWhileExecuting'
}

/** Rises with each attempt; the next grant of the lock has a greater one, since its fence is of a later microsecond. */
function fenceOf(granted: number, job: Job): number {
  return granted + Math.max(job.attemptsStarted - 1, 0)
}
