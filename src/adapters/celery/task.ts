import { randomUUID } from 'node:crypto'
import { DuplicateJobError, invalidArgument, type JobState, SoloistError } from '../../errors.js'
import { checkMs, checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { elapsedMs, type Instant, instant, systemClock } from '../../internal/clock.js'
import { JobCounter, type JobCounts, type TriggerOutcome } from '../../job/outcome.js'
import { type CeleryKeyOptions, celeryLockKey, checkKeyOptions, checkTaskName } from './key.js'
import { CeleryLocks, type CeleryStateOf, type CeleryTaken, checkText, secondsToMs } from './locks.js'
import { pythonJson } from './python-json.js'

const DEFAULT_GRACE_MS = 60_000
/** How often `submit` takes over from a finished task and finds another one there. */
const MOST_TAKEOVERS = 3

/** How one task is made unique. Every field is optional, and the first ones must say what the Python side says. */
export interface CeleryTaskOptions extends Omit<CeleryKeyOptions, 'prefix'> {
  /** `raise_on_duplicate`: reject with `DuplicateJobError` rather than answer `duplicate`; default `false`. */
  readonly raiseOnDuplicate?: boolean | undefined
  /** `lock_expiry`: when the lock runs out by itself, in whole seconds; default `null`: never. */
  readonly lockExpirySeconds?: number | null | undefined
  /**
   * How long a lock stands before it is known that its task was published, in milliseconds; default 60,000. So long a
   * producer that died in between, or whose `publish` failed and may have got through, keeps the task from being queued.
   */
  readonly graceMs?: number | undefined
  /**
   * How far the task that holds the lock is. When it has finished, its lock is stale and is taken over (`recovered`).
   * `CeleryResults` has one that asks celery's result backend. Default: not known, and a lock stands until it runs out.
   */
  readonly stateOf?: CeleryStateOf | undefined
  /**
   * Whether this error of `publish` proves that the message did not reach the broker; then the lock is given back at
   * once. Default: no error proves it, and the lock runs out after `graceMs`.
   */
  readonly isUnpublished?: ((error: unknown) => boolean) | undefined
  /**
   * When Redis gives no answer about the lock: `submit` rejects and publishes nothing (`'fail'`, the default), or
   * publishes without the guarantee (`'enqueue'`), which its outcome tells.
   */
  readonly onBackendFault?: 'fail' | 'enqueue' | undefined
}

/** What `publish` is to send to celery's broker. */
export interface CeleryMessage {
  readonly id: string
  readonly task: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  /** The lock. Let it travel with the message, for a worker in TypeScript to give back what was taken. */
  readonly lock: string
  /**
   * The body of the message in celery's protocol 2, as {@link pythonJson} writes it: `[args, kwargs, embed]`. With
   * `JSON.stringify` a float like `1.0` would reach Python as an int, and its worker would give back another lock.
   */
  readonly body: string
}

const OPTION_NAMES: OptionNames<CeleryTaskOptions> = {
  ...{ uniqueOn: true, parameters: true, serialize: true, raiseOnDuplicate: true, lockExpirySeconds: true },
  ...{ graceMs: true, stateOf: true, isUnpublished: true, onBackendFault: true },
}

/** Sends the task to the broker, and resolves once the broker has it. */
export type CeleryPublish = (taskId: string, message: CeleryMessage) => Promise<unknown>

export interface CelerySubmitOptions {
  /**
   * The task's id; default: a new UUID. A task that submits itself once more, as its retry, gives its own: it holds
   * its lock already and goes on holding it. So does who submits again because `publish` failed. Otherwise never one
   * that was used before: with `stateOf`, the result of the earlier task would make this one's lock look stale.
   */
  readonly taskId?: string | undefined
}

const SUBMIT_OPTION_NAMES: OptionNames<CelerySubmitOptions> = { taskId: true }

/** What a submission came to: `started`, `recovered`, or `duplicate` with the id of the live task. */
export interface CeleryOutcome extends TriggerOutcome {
  readonly status: 'started' | 'recovered' | 'duplicate'
  /** The lock, as `done` and `claim` want it. */
  readonly lock: string
  /**
   * `false`: the task was published, but Redis could not say that its lock stands; the same task may be queued again
   * while this one is live.
   */
  readonly guaranteed: boolean
}

interface Taking {
  /** `null`: Redis did not answer, and the task is to be published all the same. */
  readonly taken: CeleryTaken | null
  /** The task that it was taken from, if any. */
  readonly met: string | null
  /** How far the task is that has it, if it is another's. */
  readonly state: JobState | null
}

/**
 * One task of celery, made unique by its name and arguments together with the producers in Python that have
 * `base=Singleton`.
 */
export class CeleryTask {
  readonly name: string
  readonly #locks: CeleryLocks
  readonly #keyOptions: CeleryKeyOptions
  readonly #options: CeleryTaskOptions
  readonly #expiryMs: number | null
  /** How long the lock is taken for at first. */
  readonly #pendingMs: number
  readonly #counter = new JobCounter()

  /**
   * @param locks whose `prefix` is that of these tasks; it stays open
   * @throws SoloistError `INVALID_ARGUMENT` for a name or an option it cannot take
   */
  constructor(locks: CeleryLocks, name: string, options: CeleryTaskOptions = {}) {
    if (!(locks instanceof CeleryLocks)) throw invalidArgument('a CeleryTask needs CeleryLocks')
    checkTaskName(name)
    checkOptions(options)
    checkOptionNames(options, OPTION_NAMES)
    const { uniqueOn, parameters, serialize, stateOf, isUnpublished, lockExpirySeconds, graceMs, onBackendFault } =
      options
    this.#keyOptions = { prefix: locks.prefix, uniqueOn, parameters, serialize }
    checkKeyOptions(this.#keyOptions)
    for (const [field, value] of Object.entries({ stateOf, isUnpublished })) {
      if (value !== undefined && typeof value !== 'function') throw invalidArgument(`${field} must be a function`)
    }
    if (![undefined, 'fail', 'enqueue'].includes(onBackendFault)) {
      throw invalidArgument("onBackendFault must be 'fail' or 'enqueue'")
    }
    this.name = name
    this.#locks = locks
    this.#options = { ...options }
    this.#expiryMs = secondsToMs('lockExpirySeconds', lockExpirySeconds)
    const grace = checkMs('graceMs', graceMs ?? DEFAULT_GRACE_MS, 1)
    this.#pendingMs = this.#expiryMs === null ? grace : Math.min(grace, this.#expiryMs)
  }

  /** How often each happened here: `started`, `duplicate`, `recovered`, and `lapsed` for what was not `guaranteed`. */
  get counts(): JobCounts {
    return this.#counter.read()
  }

  /** The lock of these arguments. */
  lock(args: readonly unknown[] = [], kwargs: Readonly<Record<string, unknown>> = {}): string {
    return celeryLockKey(this.name, args, kwargs, this.#keyOptions)
  }

  /**
   * Publishes the task unless it is live already. `publish` is called once at the most, while the task has its lock.
   *
   * Held after abort or rejection: after `BACKEND_UNAVAILABLE` and after what `publish` rejected with perhaps the lock,
   * for `graceMs` at the most; after any other code nothing.
   *
   * @throws SoloistError `INVALID_ARGUMENT` before anything was sent; `BACKEND_UNAVAILABLE` when Redis did not answer, and
   *   nothing was published, unless `onBackendFault` is `'enqueue'`; `DUPLICATE_JOB` with `raiseOnDuplicate`. What `publish` rejected with, as it is: then the
   *   lock stands for `graceMs` unless `isUnpublished` says that it need not
   */
  async submit(
    args: readonly unknown[],
    kwargs: Readonly<Record<string, unknown>>,
    publish: CeleryPublish,
    options: CelerySubmitOptions = {},
  ): Promise<CeleryOutcome> {
    if (typeof publish !== 'function') throw invalidArgument('submit needs a function that publishes')
    checkOptions(options)
    checkOptionNames(options, SUBMIT_OPTION_NAMES)
    const lock = this.lock(args, kwargs)
    const embed = { callbacks: null, errbacks: null, chain: null, chord: null }
    const body = pythonJson([args, kwargs, embed], { serialize: this.#options.serialize })
    const id = options.taskId === undefined ? randomUUID() : checkText('a task id', options.taskId)

    const sentAt = instant(systemClock)
    const { taken, met, state } = await this.#take(lock, id)
    if (taken?.status === 'busy') return this.#duplicate(lock, taken.holder, state)
    try {
      await publish(id, { id, task: this.name, args, kwargs, lock, body })
    } catch (error) {
      if (taken !== null)
        await this.#unpublished(lock, id, options.taskId === undefined || taken.status !== 'own', error)
      throw error
    }
    const guaranteed = taken !== null && (await this.#confirm(lock, id, sentAt))
    const status = met === null ? 'started' : 'recovered'
    this.#counter.add(this.name, status)
    if (!guaranteed) this.#counter.add(this.name, 'lapsed')
    return { status, id, lock, guaranteed, ...(met === null ? {} : { owner: met, state: 'finished' as const }) }
  }

  /**
   * What a worker asks before it runs a message: whether the lock is its task's, which it takes if nobody has it. If
   * another task has it, the message came late, from a producer that was halted for longer than its lock stood; the
   * worker should put it off or drop it, and say so. Called again while the work goes on, it starts `lockExpirySeconds`
   * anew.
   *
   * Held after abort or rejection: what the task held before; after `BACKEND_UNAVAILABLE` perhaps with a new end.
   *
   * @param lock the one that came with the message
   */
  async claim(taskId: string, lock: string): Promise<CeleryTaken> {
    return await this.#locks.take(lock, taskId, { ttlMs: this.#expiryMs })
  }

  /**
   * Gives the lock back when the task has ended for good: after its last attempt, not before a retry.
   *
   * Held after abort or rejection: after `BACKEND_UNAVAILABLE` perhaps the lock still. It is safe to call again.
   *
   * @param lock the one that came with the message, whatever the options and arguments are by now
   * @returns whether this task held it until now
   */
  async done(taskId: string, lock: string): Promise<boolean> {
    return await this.#locks.unlock(lock, taskId)
  }

  /** Takes the lock, if need be from a task that has finished. */
  async #take(lock: string, id: string): Promise<Taking> {
    const { stateOf } = this.#options
    let met: string | null = null
    for (let takeovers = 0; ; takeovers++) {
      const taken = await this.#takeOnce(lock, id, met)
      if (taken === null) return { taken, met: null, state: null }
      if (taken.status !== 'busy') return { taken, met: taken.status === 'taken' ? null : met, state: null }
      const state = (await stateOf?.(taken.holder)) ?? null
      if (state !== 'finished' || takeovers === MOST_TAKEOVERS) return { taken, met: null, state }
      met = taken.holder
    }
  }

  async #takeOnce(lock: string, id: string, replaces: string | null): Promise<CeleryTaken | null> {
    try {
      return await this.#locks.take(lock, id, { ttlMs: this.#pendingMs, replaces: replaces ?? undefined })
    } catch (error) {
      const isFault = error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE'
      if (!isFault || this.#options.onBackendFault !== 'enqueue') throw error
      return null
    }
  }

  #duplicate(lock: string, id: string, state: JobState | null): CeleryOutcome {
    this.#counter.add(this.name, 'duplicate')
    if (this.#options.raiseOnDuplicate === true) {
      throw new DuplicateJobError({ job: this.name, id, state: state ?? 'queued', ageMs: null })
    }
    return { status: 'duplicate', id, owner: id, lock, guaranteed: true, ...(state === null ? {} : { state }) }
  }

  /** @param mine whether the lock is this submission's alone, and not that of an earlier one of the same task */
  async #unpublished(lock: string, id: string, mine: boolean, error: unknown): Promise<void> {
    if (!mine || this.#options.isUnpublished?.(error) !== true) return
    // If Redis fails now, the lock runs out by itself; what the caller must learn is why nothing was published.
    await this.#locks.unlock(lock, id).catch(() => false)
  }

  /** Makes the lock last. @returns whether the task is known to have had it without a gap */
  async #confirm(lock: string, id: string, sentAt: Instant): Promise<boolean> {
    try {
      if (await this.#locks.renew(lock, id, this.#expiryMs)) return true
    } catch {
      // The task is queued: to reject now would make the caller queue it once more.
      return false
    }
    // Gone: either a worker was quick and has given it back, or it ran out while the task was being published.
    return elapsedMs(systemClock, sentAt) < this.#pendingMs
  }
}
