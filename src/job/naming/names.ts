import { invalidArgument } from '../../errors.js'
import { checkText } from '../../internal/check.js'
import { type JobKeyOptions, jobKeying } from './key.js'

/** The longest job name, in bytes of UTF-8, so that every lock name made of it is one a backend can store. */
const LONGEST_JOB_NAME_BYTES = 900
/** What the names of all job locks start with. */
export const JOB_PREFIX = 'job:'

/**
 * Which of a job's locks a name means: `trigger` stands for the job from the moment it was asked for, `run` is held
 * while it executes where that is a lock of its own, `next` belongs to the one follow-up that may be pending, and `stop`
 * is held by a run for as long as nobody has asked it to stop.
 */
export type JobLockPart = 'trigger' | 'run' | 'next' | 'stop'

/** The lock names of one job name with one key. */
export type JobLockNames = { readonly [part in JobLockPart]: string }

/** A job lock's name, taken apart. */
export interface ParsedJobLock {
  readonly job: string
  readonly key: string
  readonly part: JobLockPart
}

/** A job name: a well-formed string of 1 to 900 bytes, otherwise arbitrary. @throws SoloistError `INVALID_ARGUMENT` */
export function checkJobName(name: unknown): string {
  if (name === '') throw invalidArgument('a job name must not be empty')
  const text = checkText('a job name', name)
  const bytes = Buffer.byteLength(text)
  if (bytes > LONGEST_JOB_NAME_BYTES) {
    throw invalidArgument(`a job name must not be longer than ${LONGEST_JOB_NAME_BYTES} bytes; it has ${bytes}`)
  }
  return text
}

/**
 * Names the locks of one job: from its arguments, as {@link jobKey} and {@link jobLockNames} do, but with name and options
 * checked once.
 *
 * @param realm the locks of one realm are none of another; default: the one that all share
 * @returns throws as `jobKey`
 * @throws SoloistError `INVALID_ARGUMENT` for a name or options that cannot be taken
 */
export function jobLockNaming<A>(
  job: string,
  options: JobKeyOptions<A> = {},
  realm: string = '',
): (args: A) => JobLockNames {
  const start = `${JOB_PREFIX}${checkJobName(job)}:`
  const keyOf = jobKeying(options, realm)
  return args => new LockNames(start + keyOf(args))
}

/**
 * The names of the locks of a job with a key from `jobKey`.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a job name that cannot be taken, or a key of another form
 */
export function jobLockNames(job: string, key: string): JobLockNames {
  checkJobName(job)
  if (typeof key !== 'string' || !/^v1:[0-9a-f]{64}$/.test(key))
    throw invalidArgument('a job key must come from jobKey')
  return new LockNames(`${JOB_PREFIX}${job}:${key}`)
}

/** Most calls need one of the names. */
class LockNames implements JobLockNames {
  readonly trigger: string

  constructor(trigger: string) {
    this.trigger = trigger
  }

  get run(): string {
    return `${this.trigger}:run`
  }

  get next(): string {
    return `${this.trigger}:next`
  }

  get stop(): string {
    return `${this.trigger}:stop`
  }
}

/** What a lock name of {@link jobLockNames} was made of; `null` for any other. Job names may hold colons. */
export function parseJobLock(lock: string): ParsedJobLock | null {
  const [, job, key, part] = /^job:(.+):(v1:[0-9a-f]{64})(?::(run|next|stop))?$/s.exec(lock) ?? []
  if (job === undefined || key === undefined) return null
  return { job, key, part: (part ?? 'trigger') as JobLockPart }
}

/** A name that job locks may use. */
export function checkJobLock(lock: unknown): string {
  const name = checkText('a lock name', lock)
  if (!name.startsWith(JOB_PREFIX)) throw invalidArgument(`the name of a job lock must start with "${JOB_PREFIX}"`)
  return name
}
