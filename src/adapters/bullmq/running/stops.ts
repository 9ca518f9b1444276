import { SoloistError } from '../../../index.js'
import { clearTimeout, setTimeout } from '../../../internal/real-time.js'
import type { Fused } from '../fused/fused.js'
import type { Terms } from '../lock/terms.js'
import type { ApartRuns } from './apart.js'
import type { Run } from './run.js'

/** How often runs that may be asked to stop look whether they are: all of a worker's in one call. */
const LOOK_MS = 500

interface StopsHost {
  readonly qualifiedName: string
  readonly fused: Fused | null
  readonly apart: ApartRuns
}

interface Watched {
  readonly terms: Terms
  /** The steps of its lock are part of BullMQ's scripts. */
  readonly byScript: boolean
}

/** Finds the runs that a newer job wants to stop (`onRunning: 'stop'`), and aborts their signals. */
export class Stops {
  readonly #host: StopsHost
  readonly #onFault: (error: unknown) => void
  readonly #watched = new Map<Run, Watched>()
  #timer: NodeJS.Timeout | undefined

  constructor(host: StopsHost, onFault: (error: unknown) => void) {
    this.#host = host
    this.#onFault = onFault
  }

  watch(run: Run, terms: Terms, byScript: boolean): void {
    this.#watched.set(run, { terms, byScript })
    this.#timer ??= setTimeout(() => void this.#look(), LOOK_MS).unref()
  }

  forget(run: Run): void {
    this.#watched.delete(run)
    if (this.#watched.size === 0) this.close()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  async #look(): Promise<void> {
    try {
      const byScript = [...this.#watched].filter(([, watched]) => watched.byScript).map(([run]) => run)
      const { qualifiedName, fused, apart } = this.#host
      if (byScript.length > 0 && fused !== null) {
        const keys = byScript.map(({ job }) => `${qualifiedName}:${job.id}`)
        const owners = (await fused.own('stops', [`${qualifiedName}:soloist`, ...keys])) as string[] | null
        for (const [i, run] of byScript.entries()) if (owners?.[i]) this.#stop(run)
      }
      for (const [run, watched] of this.#watched) {
        const by = watched.byScript ? null : await apart.stoppedBy(run.job, watched.terms)
        if (by === null) continue
        run.replacedBy = by
        this.#stop(run)
      }
    } catch (error) {
      this.#onFault(error)
    }
    this.#timer = this.#watched.size === 0 ? undefined : setTimeout(() => void this.#look(), LOOK_MS).unref()
  }

  #stop(run: Run): void {
    run.abort(new SoloistError('JOB_REPLACED', 'a newer job takes the place of this one'))
    this.#watched.delete(run)
  }
}
