import type { JobsOptions } from 'bullmq'
import type { JobLockNames } from '../../index.js'
import { monotonicMs } from '../../internal/real-time.js'
import type { Definition } from './definition.js'
import { newJobId } from './ids.js'
import { queuedOwner } from './owner.js'

/** One call of `add`, with its key computed. */
export class Trigger {
  readonly definition: Definition
  readonly data: unknown
  readonly opts: JobsOptions | undefined
  readonly names: JobLockNames
  readonly jobId: string
  /** On this process's monotonic clock. */
  readonly sinceMs: number = monotonicMs()
  readonly #queue: string

  /**
   * @param queue the qualified name of the queue it is for
   * @throws SoloistError `INVALID_ARGUMENT` for data that has no key
   */
  constructor(definition: Definition, queue: string, data: unknown, opts: JobsOptions | undefined) {
    this.definition = definition
    this.data = data
    this.opts = opts
    // The key is computed here, and nowhere else.
    this.names = definition.locks(data)
    // BullMQ treats an empty id as none.
    this.jobId = opts?.jobId || newJobId()
    this.#queue = queue
  }

  /** The job's name. */
  get name(): string {
    return this.definition.name
  }

  /** The owner that its locks are taken for. */
  get owner(): string {
    return queuedOwner(this.#queue, this.jobId)
  }
}
