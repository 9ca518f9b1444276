import type { Soloist } from '../../../index.js'
import type { Lives } from '../lock/lives.js'
import type { Trigger } from './trigger.js'

/** What is known of a job whose id is its caller's, before its lock is taken by a step of its own. */
export interface Look {
  /** Whether there is a job of this id; `soon`: another one of the same call has it. */
  readonly known: boolean | 'soon'
  /** Whether others are in the way of its lock. */
  readonly busy: boolean
  /** How many hold it. */
  readonly holding: number
  /** `null`: it was found out. */
  readonly error: unknown
}

export const NOTHING_KNOWN: Look = { known: false, busy: false, holding: 0, error: null }

/** Never rejects. */
export async function lookAt(
  { solo, lives }: { readonly solo: Soloist; readonly lives: Lives },
  { definition, hasOwnId, jobId, lock }: Trigger,
): Promise<Look> {
  if (!hasOwnId) return NOTHING_KNOWN
  try {
    const { limit } = definition
    const known = (await lives.own(jobId)) !== undefined
    const state = known ? null : await solo.jobs.inspect(lock)
    const room = limit !== null && state !== null && state.holding < limit
    const busy = state !== null && !(room && state.pending === null && state.waiting === 0)
    return { known, busy, holding: state?.holding ?? 0, error: null }
  } catch (error) {
    return { ...NOTHING_KNOWN, error }
  }
}
