import type { Claim, RenewAnswer } from '../../backend.js'
import { SoloistError } from '../../errors.js'
import type { StepCollector } from '../calls/collector.js'
import type { LocalLock } from '../local-locks.js'
import { HeldLease, type LeaseClaim } from './lease.js'

/**
 * Whether the fence of a grant cannot be, by what this client was told before: then the datastore lost or mixed up
 * something, and whose word counts cannot be known.
 *
 * @param askedAtMs when the claim was first asked for, on the monotonic clock
 */
export function fallenFence(lock: LocalLock, owner: string, fence: number, askedAtMs: number): SoloistError | null {
  const { told } = lock
  // What was granted before this claim was first sent has a lower fence; the same owner may be told of its grant again.
  if (told === null || askedAtMs <= told.atMs) return null
  const falls = told.owner === owner ? fence < told.fence : fence <= told.fence
  return falls ? unsafe(lock, `${owner} with fence ${fence}, after ${told.fence} had been given`) : null
}

/**
 * The leases of this client that a grant of the claim excludes, as far as this client knows. They may have been taken away
 * by somebody, which only the datastore can tell.
 */
export function rivalsOf(lock: LocalLock, claim: Claim): readonly HeldLease[] {
  const { owner, mode, limit } = claim
  let alone: HeldLease | null = null
  const leases: HeldLease[] = []
  for (const standing of lock.standing()) {
    if (!(standing instanceof HeldLease) || standing.owner === owner) continue
    if (!standing.proven) continue
    leases.push(standing)
    if (standing.claim.mode === 'exclusive') alone = standing
  }
  if (mode === 'exclusive' || (limit !== null && leases.length >= limit)) return leases
  return alone === null ? [] : [alone]
}

/** The datastore says of both that they hold the lock. */
export function bothHeld({ lock, owner }: HeldLease, other: string): SoloistError {
  return unsafe(lock, `${other} while ${owner} holds it here`)
}

/** A renewal was answered with the fence of another grant. */
export function otherGrant(lease: HeldLease, fence: number): SoloistError {
  return unsafe(lease.lock, `${lease.owner} with fence ${fence}, and not ${lease.fence}`)
}

function unsafe({ name }: LocalLock, what: string): SoloistError {
  return new SoloistError('BACKEND_UNSAFE', `the backend gave the lock ${JSON.stringify(name)} to ${what}`)
}

/**
 * What becomes of a grant, although this client holds what excludes it: the backend is asked whether that was taken away.
 * `'over'`: what this client was granted later may have been granted in the place of this, whose answer was on its way for longer.
 *
 * @returns the lease that it contradicts, if both are held
 */
export async function besideRivals(
  collector: StepCollector,
  lock: LocalLock,
  claim: LeaseClaim,
  fence: number,
  rivals: readonly HeldLease[],
): Promise<'counts' | 'over' | HeldLease> {
  const held = await Promise.all(
    rivals.map(rival => isHeld(collector, rival.claim, rival.fence, rival.endsWithProcess)),
  )
  const left = rivalsOf(lock, claim)
  const rival = rivals.find((rival, i) => held[i] && left.includes(rival))
  if (rival === undefined) return 'counts'
  if (rival.fence < fence || (await isHeld(collector, claim, fence, claim.endsWithProcess))) return rival
  return 'over'
}

/** Whether the backend says that the claim is held, or says nothing. A lease of it hears so with its own next renewal. */
function isHeld(
  collector: StepCollector,
  { name, owner, ttlMs }: Claim,
  fence: number,
  endsWithProcess: boolean | undefined,
): Promise<boolean> {
  const step = { kind: 'renew', name, owner, ttlMs, fence, endsWithProcess } as const
  return new Promise(resolve => {
    collector.add<RenewAnswer>(step, null, true, {
      answered: ({ status }) => resolve(status === 'held'),
      failed: () => resolve(true),
    })
  })
}
