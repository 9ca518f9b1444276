import type { Job } from 'bullmq'
import type { ClaimId, JobLocks, Soloist } from '../../../index.js'
import type { Lives } from '../lock/lives.js'
import { parseOwner } from '../lock/owner.js'
import { wake } from '../lock/parked.js'
import { startPeriod } from '../lock/period.js'
import { jobNameOf } from '../lock/terms.js'
import type { Definition } from '../options/definition.js'
import { folded, toFold } from './folding.js'

/** All that hear of the grants of one client: each grant is for one of them. */
const hearing = new WeakMap<Soloist, Set<Waking>>()

/** Wakes the jobs that were granted their locks by steps of this client. */
export class Waking {
  readonly #lives: Lives
  readonly #locks: JobLocks
  readonly #definitions: ReadonlyMap<string, Definition>
  readonly #hearing: Set<Waking>
  readonly #onFault: (error: unknown, jobId: string) => void
  readonly #stop: () => void
  /** By lock: those of one are woken in their order. */
  readonly #underWay = new Map<string, Promise<void>>()

  constructor(
    solo: Soloist,
    lives: Lives,
    definitions: ReadonlyMap<string, Definition>,
    onFault: (error: unknown, jobId: string) => void,
  ) {
    this.#lives = lives
    this.#locks = solo.jobs
    this.#definitions = definitions
    this.#onFault = onFault
    this.#hearing = hearing.get(solo) ?? new Set()
    hearing.set(solo, this.#hearing.add(this))
    this.#stop = solo.jobs.hearGranted(claim => this.#granted(claim))
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#stop()
    this.#hearing.delete(this)
    await Promise.all(this.#underWay.values())
  }

  #granted({ name, owner }: ClaimId): void {
    const parsed = parseOwner(owner)
    if (parsed === null) return
    const all = [...this.#hearing]
    if ((all.find(waking => waking.#lives.queue === parsed.queue) ?? all[0]) !== this) return
    const waking = (this.#underWay.get(name) ?? Promise.resolve()).then(async () => {
      try {
        const job = await this.#lives.find(parsed)
        if (job !== null && parsed.period) await this.#beginPeriod(job, name, owner)
        if (job !== null) await this.#lives.bounded(() => wake(job), parsed.queue)
      } catch (error) {
        // A sweep finds it.
        this.#onFault(error, parsed.jobId)
      }
      if (this.#underWay.get(name) === waking) this.#underWay.delete(name)
    })
    this.#underWay.set(name, waking)
  }

  /**
   * What was left with a follow-up becomes its data, and its period starts. Where its job is not known here, or that fails, its
   * worker does so, and tells why.
   */
  async #beginPeriod(job: Job, lock: string, owner: string): Promise<void> {
    const definition = this.#definitions.get(jobNameOf({ lock }))
    if (definition?.expiryMs == null || job.finishedOn) return
    const bounded = <T>(call: () => Promise<T>) => this.#lives.bounded(call, job.queueQualifiedName)
    if (await bounded(() => job.isActive())) return
    try {
      const begun = await this.#locks.begin(lock, owner)
      if (begun.status !== 'begun') return
      const more = toFold(job, owner, begun.notes)
      if (more.length > 0) await bounded(() => job.updateData(folded(job, lock, definition, more, false)))
      await startPeriod(this.#locks, lock, owner, definition.expiryMs)
    } catch (error) {
      this.#onFault(error, job.id as string)
    }
  }
}
