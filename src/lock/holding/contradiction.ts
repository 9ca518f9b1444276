import type { Claim } from '../../backend.js'
import { SoloistError } from '../../errors.js'
import type { LocalLock } from '../local-locks.js'
import { HeldLease } from './lease.js'

/**
 * What a grant contradicts of all that this client knows for certain, so that the datastore must have lost or mixed up
 * something; `null`: nothing. Then whose word counts cannot be known, and the grant is refused.
 *
 * @param askedAtMs when the claim was first asked for, on the monotonic clock
 */
export function contradictionOf(lock: LocalLock, claim: Claim, fence: number, askedAtMs: number): SoloistError | null {
  const { owner, limit } = claim
  const { told } = lock
  // What was granted before this claim was first sent has a lower fence; the same owner may be told of its grant again.
  if (told !== null && askedAtMs > told.atMs && (told.owner === owner ? fence < told.fence : fence <= told.fence)) {
    return unsafe(lock, `${owner} with fence ${fence}, after ${told.fence} had been given`)
  }
  let together = 1
  for (const standing of lock.standing()) {
    if (!(standing instanceof HeldLease) || standing.owner === owner || !standing.proven) continue
    together += 1
    if (claim.mode === 'exclusive' || standing.claim.mode === 'exclusive' || (limit !== null && together > limit)) {
      return unsafe(lock, `${owner} while ${standing.owner} holds it here`)
    }
  }
  return null
}

/** A renewal was answered with the fence of another grant. */
export function otherGrant(lease: HeldLease, fence: number): SoloistError {
  return unsafe(lease.lock, `${lease.owner} with fence ${fence}, and not ${lease.fence}`)
}

function unsafe({ name }: LocalLock, what: string): SoloistError {
  return new SoloistError('BACKEND_UNSAFE', `the backend gave the lock ${JSON.stringify(name)} to ${what}`)
}
