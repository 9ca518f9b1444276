import type { Job } from 'bullmq'
import { DuplicateJobError, type Soloist } from '../../../index.js'
import type { Singleton } from '../lock/events.js'
import { isYoung, type Lives } from '../lock/lives.js'
import { ownerOf } from '../lock/owner.js'
import { takeOver } from '../lock/take-over.js'
import { jobNameOf, type Terms } from '../lock/terms.js'
import { asSoloistError, giveBack } from './failures.js'

export interface RetakeHost {
  readonly qualifiedName: string
  readonly solo: Soloist
  readonly lives: Lives
  readonly singleton: Singleton
  readonly graceMs: number
}

const MOST_LOOKS = 10

/**
 * Takes the lock of a finished job again that is about to be retried by hand, where that is a step of its own.
 *
 * @returns gives it back; never rejects
 * @throws SoloistError `DUPLICATE_JOB` when another one is live; `BACKEND_UNAVAILABLE`
 */
export async function retake(host: RetakeHost, job: Job, terms: Terms): Promise<() => Promise<void>> {
  const nothing = async () => {}
  if (terms.mode === 'whileExecuting' || terms.mode === 'untilExpired' || terms.flags.apart !== true) return nothing
  const owner = ownerOf(host.qualifiedName, job.id as string, false)
  try {
    const taken = await retaken(host, terms, owner)
    return taken ? () => giveBack(host, 'retry', terms.lock, owner, job.id) : nothing
  } catch (error) {
    throw asSoloistError(error, true)
  }
}

async function retaken({ solo, lives, graceMs }: RetakeHost, terms: Terms, owner: string): Promise<boolean> {
  for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
    const { lock, limit } = terms
    const told = await solo.jobs.trigger(lock, owner, { running: 'meet', pending: 'meet', limit })
    if (told.status === 'granted') return true
    if (told.status !== 'met') return false
    const met = told.seen.running ?? told.seen.pending ?? told.seen.waiting
    if (met === null) return false
    const life = await lives.of(lock, met.owner, met.ageMs)
    if (!life.over || isYoung(life, graceMs)) {
      const { state, ageMs } = life
      throw new DuplicateJobError({ job: jobNameOf(terms), id: life.parsed?.jobId ?? met.owner, state, ageMs })
    }
    await takeOver({ locks: solo.jobs, lives }, lock, life)
  }
  return false
}
