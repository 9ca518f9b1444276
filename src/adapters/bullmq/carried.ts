import type { Job, JobsOptions } from 'bullmq'
import { type JobLockNames, jobLockNames, parseJobLock, SoloistError } from '../../index.js'
import type { SingletonMode, SingletonStrategy } from './definition.js'

/** Why a job is in its queue, and with it what it holds while it waits there. */
export type Part =
  /** It took its trigger lock. */
  | 'holder'
  /** It holds the slot of the one follow-up, and starts after the live one ended. */
  | 'follower'
  /** It holds nothing, and starts when nothing live is in its way. */
  | 'waiter'
  /** It was made by a scheduler: its strategy is applied when a worker picks it up. */
  | 'tick'

/** What a job takes along in its `opts.singleton`, written once when it is triggered. */
export interface Carried {
  /** The name of the trigger lock; those of the run lock and of the follow-up's slot are made of it. */
  readonly lock: string
  readonly mode: SingletonMode
  /** `'queue'`: BullMQ's own deduplication keeps it unique while it waits. */
  readonly scope?: 'queue'
  /** Default `'holder'`. */
  readonly part?: Part
  /** The fence of the lock it took when it was triggered, for modes whose runs have none of their own. */
  readonly fence?: number
  /** Its data may be changed until it starts. */
  readonly mutable?: true
  /** A follow-up may wait for its end. */
  readonly followed?: true
  /** It is to look at intervals whether a newer one wants it to stop. */
  readonly stoppable?: true
  /** The owners, without mark, of the jobs whose place it takes. */
  readonly replaces?: readonly string[]
  /** For `untilExpired`: how long the trigger lock stands. */
  readonly expiryMs?: number
  /** For a tick: what to do when it meets a live job. */
  readonly strategy?: SingletonStrategy
}

export function withCarried(opts: JobsOptions | undefined, jobId: string, singleton: Carried): JobsOptions {
  if (singleton.scope === undefined) return { ...opts, jobId, singleton } as JobsOptions
  // BullMQ stores all of this several times: the lock's name is that of the deduplication, and there is one mode.
  return { ...opts, jobId, deduplication: { id: singleton.lock }, singleton: 'queue' } as JobsOptions
}

/** What the job carries, or `null` when it is no singleton job. */
export function carriedBy(job: Pick<Job, 'opts'>): Carried | null {
  const { singleton, deduplication } = (job.opts ?? {}) as {
    singleton?: Partial<Carried> | 'queue'
    deduplication?: { id?: unknown }
  }
  if (singleton !== 'queue') {
    return typeof singleton?.lock === 'string' && typeof singleton.mode === 'string' ? (singleton as Carried) : null
  }
  if (typeof deduplication?.id !== 'string') return null
  return { lock: deduplication.id, mode: 'untilExecuted', scope: 'queue', part: 'waiter' }
}

/** @throws SoloistError `INVALID_ARGUMENT` when what it carries was not written by this adapter */
export function namesOf({ lock }: Carried): JobLockNames {
  const known = parseJobLock(lock)
  if (known === null) throw new SoloistError('INVALID_ARGUMENT', 'the job carries the name of no job lock')
  return jobLockNames(known.job, known.key)
}

/** The job's name as its locks know it. */
export function jobNameOf({ lock }: Carried): string {
  return parseJobLock(lock)?.job ?? lock
}

/** Whether runs of this mode exclude each other. */
export function runsAlone(mode: SingletonMode): boolean {
  return mode === 'untilExecuted' || mode === 'whileExecuting' || mode === 'untilAndWhileExecuting'
}
