import { ErrorCode, type Job } from 'bullmq'
import { type Soloist, SoloistError } from '../../../index.js'
import { Unanswered } from '../lock/answering.js'
import type { Singleton } from '../lock/events.js'
import type { Lives } from '../lock/lives.js'
import { type Owner, parseOwner } from '../lock/owner.js'
import { isParked } from '../lock/parked.js'
import type { Prepared } from './prepared.js'
import type { Trigger } from './trigger.js'

/** What the language throws: something is wrong with a program, ours or its caller's. */
const OF_THE_LANGUAGE = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError]

/**
 * What BullMQ or its Redis failed with.
 *
 * @param sent whether anything was, so that nobody knows what became of it
 * @returns an error of the language as it is, where something was sent: no outage, and no word on what was done
 */
export function asSoloistError(error: unknown, sent: boolean): Error {
  if (error instanceof SoloistError || (sent && isOfTheLanguage(error))) return error
  const refused = !sent || typeof (error as { code?: unknown } | null)?.code === 'number'
  const message = error instanceof Error ? error.message : String(error)
  return new SoloistError(refused ? 'INVALID_ARGUMENT' : 'BACKEND_UNAVAILABLE', message, { cause: error })
}

/** What tells whether jobs can be asked for where they were to be added. */
export interface AskableQueue {
  /** To a Redis there is one connection. Elsewhere one that broke may have been replaced when it is asked. */
  readonly isOnRedis: boolean
  /** Asks something on the same connection. @throws when there is no answer */
  ask(): Promise<unknown>
}

/**
 * What adding jobs failed with. An error often does not say whether BullMQ refused an argument: what it refuses is a plain `Error`,
 * and what ioredis fails with once it has no connection any more is one, too. Where the queue answers, that was not at fault.
 *
 * @param sent whether anything was; `null`: not known
 */
export async function addingFailed(error: unknown, sent: boolean | null, queue: AskableQueue): Promise<Error> {
  const mayBeRefused = isOfTheLanguage(error) || (queue.isOnRedis && isPlain(error))
  const asks = sent === false || (sent === null && mayBeRefused)
  if (!asks || error instanceof SoloistError) return asSoloistError(error, true)
  try {
    await queue.ask()
  } catch {
    // Nobody answers, so `error` is told as what it is then.
    return asSoloistError(error, true)
  }
  return asSoloistError(error, false)
}

/** What a job of several is refused with that BullMQ did not add: in the place of its id is what its script answered. */
export function notAdded({ id, name, parentKey }: Job): Error {
  const code: unknown = id
  if (code === ErrorCode.ParentJobNotExist) return noParent(name, `${parentKey}`)
  return refusedWith(code, name, `BullMQ answered ${code}`)
}

/** What a job is refused with whose parent is not there. */
export function noParent(name: string, parentKey: string): Error {
  return refusedWith(ErrorCode.ParentJobNotExist, name, `there is no parent job ${parentKey}`)
}

function refusedWith(code: unknown, name: string, why: string): Error {
  const error = new Error(`job ${JSON.stringify(name)} was not added: ${why}`)
  return asSoloistError(Object.assign(error, { code }), false)
}

function isOfTheLanguage(error: unknown): error is Error {
  return OF_THE_LANGUAGE.some(kind => error instanceof kind)
}

/** An error that says by neither class nor code what it is. */
function isPlain(error: unknown): boolean {
  return error instanceof Error && error.constructor === Error && (error as { code?: unknown }).code === undefined
}

export interface AfterFailureHost {
  readonly solo: Soloist
  readonly lives: Lives
  readonly singleton: Singleton
}

const QUEUED = { course: 'queued', running: null, pending: null, waiting: null, recovered: false } as const

/**
 * What is done about jobs that were not added, or whose `add` failed: that may have been carried out all the same, and then their
 * claims stay. Where it cannot be told, others take a claim over whose job is not there.
 */
export class AfterFailure {
  readonly #host: AfterFailureHost

  constructor(host: AfterFailureHost) {
    this.#host = host
  }

  /** Gives up the claim of a job that was not added. Never rejects. */
  async giveUp({ lock, owner, jobId }: Trigger): Promise<void> {
    await giveBack(this.#host, 'add', lock, owner, jobId)
  }

  /**
   * The same for one that nobody has tried to add. An id of the caller's may be that of a job that is there: then the claim is that
   * job's.
   */
  async giveUpUntried(trigger: Trigger): Promise<void> {
    await (trigger.hasOwnId ? this.giveUpUnlessThere(trigger) : this.giveUp(trigger))
  }

  /** Gives up a claim unless its job is there. Never rejects. */
  async giveUpUnlessThere(trigger: Trigger): Promise<void> {
    try {
      if ((await this.#host.lives.find(parseOwner(trigger.owner) as Owner)) === null) await this.giveUp(trigger)
    } catch (error) {
      this.#tell(error, trigger)
    }
  }

  /**
   * Looks for a job whose `add` failed. Where its lock is a step of its own it is given up, but only when the queue has answered
   * that the job is not there.
   *
   * @throws SoloistError when it is not, or its queue does not answer
   */
  async thereAfterAll(error: unknown, one: Prepared): Promise<Job> {
    const { trigger, adding, answer } = one
    const isKnown = answer?.course === 'known'
    if (error instanceof Unanswered) {
      await this.unanswered(error, trigger)
      throw error
    }
    if (adding === null || adding.sent) {
      try {
        const job = await this.#host.lives.own(trigger.jobId)
        // Nobody else can have added it under an id that was asked for, and was not known.
        if (job !== undefined && (!trigger.hasOwnId || (answer !== null && !isKnown))) {
          // Whom it met is not known any more.
          if (adding !== null && isParked(job)) adding.answer = { ...QUEUED, id: trigger.jobId }
          return job
        }
        if (adding === null && !isKnown) await this.giveUp(trigger)
      } catch (fault) {
        this.#tell(fault, trigger)
      }
    }
    throw await addingFailed(error, adding === null ? null : adding.sent, this.#host.lives)
  }

  /** A job of several was not added. Gives up its claim. @returns what is told of it, as {@link notAdded} */
  async refused({ trigger, adding }: Prepared, job: Job): Promise<Error> {
    if (adding === null) await this.giveUpUnlessThere(trigger)
    return notAdded(job)
  }

  /** Gives up the claim of a job that was not sent; one that was may come later. Never rejects. */
  async unanswered({ sent }: Unanswered, trigger: Trigger): Promise<void> {
    // Nobody tells whether there is a job of an id of the caller's.
    if (!sent && !trigger.hasOwnId) await this.giveUp(trigger)
  }

  #tell(error: unknown, { jobId }: Trigger): void {
    this.#host.singleton.emit('fault', { during: 'add', error, id: jobId })
  }
}

/** Gives up a claim whose job was not added, or not retried. Never rejects. */
export async function giveBack(
  { solo, singleton }: Pick<AfterFailureHost, 'solo' | 'singleton'>,
  during: string,
  lock: string,
  owner: string,
  id: string | undefined,
): Promise<void> {
  try {
    await solo.jobs.release(lock, owner)
  } catch (error) {
    // It is taken over: its job is not there after the grace time, or has finished.
    singleton.emit('fault', { during, error, id })
  }
}
