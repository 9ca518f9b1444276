import type { RedisClient } from '../../backends/redis/link/open.js'
import { type JobState, SoloistError } from '../../errors.js'
import { checkOptionNames, checkOptions, checkPrefix, type OptionNames } from '../../internal/check.js'
import { type CeleryStateOf, checkText } from './locks.js'
import { Wire } from './wire.js'

/** How far a task is by what celery calls its status. Others are a task's own, stored while it runs: `PROGRESS`. */
const STATES: ReadonlyMap<string, JobState> = new Map([
  ['PENDING', 'queued'],
  ['RECEIVED', 'queued'],
  ['RETRY', 'queued'],
  ['SUCCESS', 'finished'],
  ['FAILURE', 'finished'],
  ['REVOKED', 'finished'],
])

export interface CeleryResultsOptions {
  /** What celery puts before each result; default `'celery-task-meta-'`. With `global_keyprefix`, that comes first. */
  readonly prefix?: string | undefined
  /** How long one call to Redis may take before it counts as failed, in milliseconds; default 5,000. */
  readonly callTimeoutMs?: number | undefined
}

const OPTION_NAMES: OptionNames<CeleryResultsOptions> = { prefix: true, callTimeoutMs: true }

/**
 * What celery wrote about its tasks, where `result_backend` is Redis and `result_serializer` is JSON, which is its default.
 * Read only.
 */
export class CeleryResults implements AsyncDisposable {
  readonly #wire: Wire
  readonly #prefix: string

  /**
   * @param target as for `CeleryLocks`, with the database of the result backend
   * @throws SoloistError `INVALID_ARGUMENT` for a target or an option it cannot take
   */
  constructor(target: string | RedisClient, options: CeleryResultsOptions = {}) {
    checkOptions(options)
    checkOptionNames(options, OPTION_NAMES)
    const { prefix = 'celery-task-meta-', callTimeoutMs } = options
    this.#prefix = checkPrefix(prefix)
    this.#wire = new Wire(target, callTimeoutMs)
  }

  /**
   * The task's status as celery names it, `STARTED`, `RETRY`, `SUCCESS`, …; `null` when nothing is stored: it still waits,
   * keeps no result (`ignore_result`), or its result has expired (`result_expires`).
   *
   * Held after abort or rejection: nothing; it only looks.
   */
  async status(taskId: string): Promise<string | null> {
    const key = this.#prefix + checkText('a task id', taskId)
    const text = await this.#wire.send('result', key, ['get', key])
    return text === null || text === undefined ? null : statusIn(String(text))
  }

  /** How far the task is by its status, for the option of that name of a `CeleryTask` and for `sweep`. */
  readonly stateOf: CeleryStateOf = async taskId => {
    const status = await this.status(taskId)
    return status === null ? null : (STATES.get(status) ?? 'running')
  }

  /**
   * Lets go of the connection that was opened for a URL. Safe to call twice.
   *
   * Held after abort or rejection: nothing; it only looked.
   */
  async close(): Promise<void> {
    await this.#wire.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function statusIn(text: string): string {
  // A result may hold anything, so what is wrong with it is not repeated; and Python's NaN is no JSON. The status is
  // the first member that celery writes.
  const status = /^\s*\{\s*"status":\s*"([A-Za-z_-]+)"/.exec(text)?.[1] ?? parsedStatus(text)
  if (status === undefined) {
    throw new SoloistError(
      'BACKEND_UNAVAILABLE',
      "celery's Redis holds a result that is not JSON with a status (result)",
    )
  }
  return status
}

function parsedStatus(text: string): string | undefined {
  try {
    const { status } = JSON.parse(text) as { status?: unknown }
    return typeof status === 'string' ? status : undefined
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined
    throw error
  }
}
