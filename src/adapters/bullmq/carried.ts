import type { Job, JobsOptions } from 'bullmq'
import { type JobLockNames, jobLockNames, parseJobLock, SoloistError } from '../../index.js'
import type { SingletonMode, SingletonStrategy } from './definition.js'

/** In what role a job is in its queue, and so which lock it holds while it waits there. */
export type Part =
  /** It holds its trigger lock. */
  | 'holder'
  /** It holds the lock `next` of the one follow-up, and starts after the live job has ended. */
  | 'follower'
  /** It holds no lock, and starts when no live job stands in its way. */
  | 'waiter'
  /** It was made by a scheduler: its strategy is applied when a worker picks it up. */
  | 'tick'

const DEFAULT_MODE: SingletonMode = 'untilExecuted'

/**
 * What a job takes along in its `opts.singleton`, written once when it is triggered. A job of the default mode that carries
 * nothing but its lock has the name of that alone.
 */
export interface Carried {
  /** The name of the trigger lock; those of the run lock and of the follow-up's slot are made of it. */
  readonly lock: string
  readonly mode: SingletonMode
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

export function withCarried(opts: JobsOptions | undefined, jobId: string, carried: Carried): JobsOptions {
  // Most jobs are of this kind, and this text is packed, unpacked and stored with each.
  const short = carried.mode === DEFAULT_MODE && Object.keys(carried).length === 2
  return { ...opts, jobId, singleton: short ? carried.lock : carried } as JobsOptions
}

/** What the job carries, or `null` when it is no singleton job. */
export function carriedBy(job: Pick<Job, 'opts'>): Carried | null {
  const { singleton } = (job.opts ?? {}) as { singleton?: Partial<Carried> | string }
  if (typeof singleton === 'string') {
    return parseJobLock(singleton) === null ? null : { lock: singleton, mode: DEFAULT_MODE }
  }
  return typeof singleton?.lock === 'string' && typeof singleton.mode === 'string' ? (singleton as Carried) : null
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

/** Whether a job of this mode takes its trigger lock, and carries nothing that is known only when it has it. */
export function canLockWhenAdded(mode: SingletonMode): boolean {
  return mode === 'untilExecuted' || mode === 'untilAndWhileExecuting'
}

/** Whether runs of this mode exclude each other. */
export function runsAlone(mode: SingletonMode): boolean {
  return mode === 'untilExecuted' || mode === 'whileExecuting' || mode === 'untilAndWhileExecuting'
}
