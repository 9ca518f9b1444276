import type { JobsOptions } from 'bullmq'
import { SoloistError } from '../../../index.js'
import { described } from '../../../internal/job-terms.js'
import { monotonicMs } from '../../../internal/real-time.js'
import { jobMeta } from '../../../job/naming/meta.js'
import { newJobId } from '../lock/ids.js'
import { ownerOf } from '../lock/owner.js'
import { checkOpts } from '../options/checked-opts.js'
import { type Definition, invalid } from '../options/definition.js'

/** A job as it is given to `add`. */
export interface Item {
  readonly name: string
  readonly data: unknown
  readonly opts?: JobsOptions | undefined
}

/** One call of `add`, with its key computed. */
export class Trigger {
  readonly definition: Definition
  readonly data: unknown
  readonly opts: JobsOptions | undefined
  /** The qualified name of the queue it is for. */
  readonly queue: string
  readonly lock: string
  readonly jobId: string
  /** The caller chose the id. */
  readonly hasOwnId: boolean
  /** On this process's monotonic clock. */
  readonly sinceMs: number = monotonicMs()

  /** @throws SoloistError `INVALID_ARGUMENT` for data that has no key, and for options that BullMQ cannot take */
  constructor(definition: Definition, queue: string, { data, opts }: Item, jobId?: string) {
    // Under another id it is one that was checked before.
    if (jobId === undefined) checkOpts(opts)
    this.definition = definition
    this.data = data
    this.opts = opts
    this.queue = queue
    // The key is computed here, and nowhere else.
    this.lock = definition.lockOf(queue, data)
    // BullMQ treats an empty id as none.
    this.hasOwnId = Boolean(opts?.jobId)
    this.jobId = jobId ?? (opts?.jobId || newJobId())
    if (this.hasOwnId && opts?.parent) checkParent(queue, this.jobId, opts.parent)
    checkMerge(definition, queue, data, this.lock)
  }

  /** The job's name. */
  get name(): string {
    return this.definition.name
  }

  /** Whether the lock's name can stand in the terms of a job as it is. */
  get isPlain(): boolean {
    return this.definition.isPlain
  }

  /** The owner of its claim. */
  get owner(): string {
    return ownerOf(this.queue, this.jobId, this.definition.mode === 'untilExpired')
  }

  /** Whether a job waits for this one's result. */
  get hasParent(): boolean {
    return Boolean(this.opts?.parent)
  }

  /** What operators are shown; `''`: nothing. */
  get meta(): string {
    const { describe, mode } = this.definition
    return describe === null ? '' : jobMeta(described(describe, this.data), mode === 'untilExpired')
  }

  /** The same job under an id of its own. */
  underFreshId(): Trigger {
    const { jobId: _, ...opts } = this.opts ?? {}
    return new Trigger(this.definition, this.queue, { name: this.name, data: this.data, opts }, newJobId())
  }
}

/** @throws SoloistError `INVALID_ARGUMENT` for a job that would wait for itself */
function checkParent(queue: string, jobId: string, parent: NonNullable<JobsOptions['parent']>): void {
  if (parent.queue === queue && parent.id === jobId)
    throw invalid(`job ${JSON.stringify(jobId)} cannot be its own parent`)
}

/** Calls `merge` once, to see that it can be relied on. What it returns is dropped. */
function checkMerge(definition: Definition, queue: string, data: unknown, lock: string): void {
  const { merge } = definition
  if (merge === null) return
  const text = JSON.stringify(data ?? {})
  merged(definition, queue, lock, JSON.parse(text), JSON.parse(text))
}

/** @throws SoloistError `INVALID_ARGUMENT` when `merge` threw, or returned what it must not */
export function merged(definition: Definition, queue: string, lock: string, older: unknown, newer: unknown): unknown {
  const result = called('merge', () => definition.merge?.(older, newer))
  if (result === undefined) throw invalid('merge must return data; it returned undefined')
  const { then } = (result ?? {}) as { then?: unknown }
  if (typeof then === 'function') {
    // What it rejects with is of no use, and must not be an unhandled rejection.
    Promise.resolve(result).catch(() => {})
    throw invalid('merge must return data at once; it returned a promise')
  }
  const key = called('the key of what merge returned', () => definition.lockOf(queue, result))
  if (key !== lock) throw invalid('merge must not change what the key is made of')
  return result
}

function called<R>(what: string, call: () => R): R {
  try {
    return call()
  } catch (cause) {
    throw new SoloistError('INVALID_ARGUMENT', `${what} threw`, { cause })
  }
}
