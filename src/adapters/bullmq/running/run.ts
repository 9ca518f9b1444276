import type { Job } from 'bullmq'
import { SoloistError } from '../../../index.js'
import { clearTimeout, monotonicMs, setTimeout } from '../../../internal/real-time.js'

/** What a processor can ask of the run it is. */
export interface SingletonRun {
  /** A number greater than that of every earlier run of the same key; send it along with each write. */
  readonly fence: number
  /** As the processor's third argument. */
  readonly signal: AbortSignal
  /**
   * Returns if the run may go on, judged by the clock at this moment: also right after the process was paused or its event loop
   * was blocked.
   *
   * @throws SoloistError what the signal's reason is, or would be
   */
  assertValid(): void
}

const runs = new WeakMap<object, Run>()

/**
 * The run of a job that a processor was given. Not for a sandboxed processor: it has the signal and `job.opts.singleton.fence`.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a job that is no singleton, or is not being run
 */
export function singletonRun(job: Job): SingletonRun {
  const run = runs.get(job)
  if (run === undefined) throw new SoloistError('INVALID_ARGUMENT', 'this job is no singleton that is being run')
  return run
}

/** One execution of a job. Its lease is BullMQ's own lock of the job, which the worker keeps renewed. */
export class Run implements SingletonRun {
  readonly fence: number
  readonly job: Job
  /** The owner that wants it to stop, where that is known. */
  replacedBy: string | null = null
  #controller: AbortController | null = null
  readonly #maxRunMs: number | null
  #validUntilMs: number
  /** The processor has settled: nobody is to be told any more. */
  #over = false

  /** @param validUntilMs until when BullMQ's lock stands at least, on the monotonic clock */
  constructor(job: Job, fence: number, maxRunMs: number | null, validUntilMs: number) {
    this.job = job
    this.fence = fence
    this.#maxRunMs = maxRunMs
    this.#validUntilMs = validUntilMs
    runs.set(job, this)
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  /** Why it is to stop; `undefined`: it is not. */
  get stopped(): unknown {
    return this.#controller?.signal.reason
  }

  assertValid(): void {
    this.expire()
    this.signal.throwIfAborted()
  }

  /** Whether the processor has settled. */
  get isOver(): boolean {
    return this.#over
  }

  get validUntilMs(): number {
    return this.#validUntilMs
  }

  /** Whether BullMQ's lock was lost, or may have run out: another worker may have the job. */
  get isLost(): boolean {
    const reason = this.stopped
    const told = reason instanceof SoloistError && reason.code === 'LEASE_LOST'
    return told || monotonicMs() > this.#validUntilMs
  }

  /** Aborts if BullMQ's lock has run out. @returns whether there is nothing to abort any more */
  expire(): boolean {
    if (this.#over || this.#controller?.signal.aborted === true) return true
    if (monotonicMs() <= this.#validUntilMs) return false
    this.abort(new SoloistError('LEASE_LOST', `BullMQ's lock of job ${this.job.id} was not renewed in time`))
    return true
  }

  /** BullMQ's lock was extended. */
  extended(untilMs: number): void {
    this.#validUntilMs = Math.max(this.#validUntilMs, untilMs)
  }

  abort(reason: unknown): void {
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
  }

  /** Aborts with BullMQ's own signal, too. */
  abortWith(signal: AbortSignal | undefined): void {
    if (signal === undefined) return
    if (signal.aborted) this.abort(signal.reason)
    else signal.addEventListener('abort', () => this.abort(signal.reason), { once: true })
  }

  /** Runs the processor, for as long as a run may take. */
  of<R>(processor: () => Promise<R>): Promise<R> {
    const running = this.#maxRunMs === null ? processor() : this.#bounded(processor, this.#maxRunMs)
    const over = () => {
      this.#over = true
    }
    running.then(over, over)
    return running
  }

  async #bounded<R>(processor: () => Promise<R>, maxMs: number): Promise<R> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new SoloistError('RUN_TIMEOUT', `the run took longer than ${maxMs} ms`)
        this.abort(error)
        reject(error)
      }, maxMs)
    })
    try {
      return await Promise.race([processor(), late])
    } finally {
      clearTimeout(timer)
    }
  }
}
