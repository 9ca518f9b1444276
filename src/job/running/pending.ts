import type { Note } from '../../backend.js'
import type { Locker } from '../../lock/locker.js'
import type { TriggerTold } from '../../lock/request.js'
import type { Hold, RunClaim } from './claim.js'
import { throughOutage } from './outage.js'

/** What became of a run that waited for its turn. */
export type Turn =
  /** `notes`: what was left with it while it was pending; `null`: it was not. */
  | { readonly status: 'begun'; readonly hold: Hold; readonly notes: readonly Note[] | null }
  /** Another trigger took its place. */
  | { readonly status: 'displaced'; readonly by: string }
  /** Its lock or its place was lost before it began. */
  | { readonly status: 'gone' }

/**
 * Waits until a run has what it needs, and begins it. From then on nobody adds to it or takes its place.
 *
 * @param begins whether it is the pending run until then
 * @throws SoloistError `BACKEND_UNAVAILABLE` after an outage, `CLOSED`
 */
export async function turnOf(locker: Locker, claim: RunClaim, begins: boolean): Promise<Turn> {
  if (!begins) {
    const hold = await claim.held
    return hold === null ? left(claim) : { status: 'begun', hold, notes: null }
  }
  const unwatch = watchPlace(locker, claim)
  try {
    const hold = await claim.held
    if (hold === null) return await lookBack(locker, claim)
    try {
      const turn = await begin(locker, claim, hold)
      if (turn.status !== 'begun') await hold.giveBack()
      return turn
    } catch (error) {
      await hold.giveBack()
      throw error
    }
  } finally {
    unwatch()
  }
}

async function begin(locker: Locker, { lock: name, id: owner }: RunClaim, hold: Hold): Promise<Turn> {
  const isHeld = () => hold.lease.valid
  try {
    const answer = await throughOutage(locker, () => locker.begin({ name, owner }), isHeld)
    if (answer.status === 'displaced') return answer
    return answer.status === 'lost' ? { status: 'gone' } : { status: 'begun', hold, notes: answer.notes }
  } catch (error) {
    if (isHeld()) throw error
    return { status: 'gone' }
  }
}

function left({ displacedBy }: RunClaim): Turn {
  return displacedBy === null ? { status: 'gone' } : { status: 'displaced', by: displacedBy }
}

/** What became of a claim that has no place any more. */
async function lookBack(locker: Locker, claim: RunClaim): Promise<Turn> {
  const known = left(claim)
  if (known.status === 'displaced') return known
  const reply = await throughOutage(locker, () => locker.watching.look(claim.lock, claim.id))
  return reply.status === 'displaced' ? reply : known
}

/** Notices when another process takes the place of the pending run. @returns ends that */
function watchPlace(locker: Locker, claim: RunClaim): () => void {
  let over = false
  let leave = () => {}
  const hear = async () => {
    const heard = locker.watching.hear(claim.lock, claim.id)
    leave = heard.leave
    try {
      const ending = await heard.ending
      if (over) return
      if (ending.status === 'displaced') claim.displaced(ending.by)
      else claim.placeLost()
    } catch (error) {
      // The claim waits on, and learns that its place was taken by its next question.
      if (!over && locker.isOpen) locker.onWaitFault({ name: claim.lock, owner: claim.id }, error)
    }
  }
  const begin = (told: TriggerTold) => {
    if (!over && told.course === 'queued') void hear()
  }
  // Who asked for the run is told that its trigger failed, and there is nothing to be watched.
  claim.told.then(begin, () => {})
  return () => {
    over = true
    leave()
  }
}
