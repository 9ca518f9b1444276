import { invalidArgument } from '../errors.js'
import type { HeldLease } from '../lock/holding/lease.js'
import type { Locker } from '../lock/locker.js'
import { canonicalJson } from './key.js'
import type { JobLocks } from './locks.js'
import type { JobDefinition } from './options.js'
import type { Place, Places } from './places.js'
import { takenOverText } from './result.js'
import { pause } from './run.js'
import type { Met, Trigger } from './trigger.js'

/** The longest arguments that a pending run carries for `merge`, in bytes of JSON. */
const LONGEST_CARRIED_BYTES = 16 * 1024
/** How often the slot is tried when others change it between two steps. */
const MOST_TRIES = 100
/** A run that cannot be asked to stop yet is asked again after this long, and then after twice as long each time. */
const ASK_AGAIN_MS = 100
const ASK_AGAIN_MOST_MS = 5_000

/** A pending run's place and what it is to do. */
export interface Pending<A> {
  readonly args: A
  readonly place: Place
  /** `null` without one: its turn has come already, or it waits beside a pending run that it cannot be merged with. */
  readonly slot: HeldLease | null
}

/**
 * Makes a trigger the one pending run of its key.
 *
 * 1. It waits until the run is in the queue: others that are referred to it then find that it is alive.
 * 2. It takes the lock `next`, the slot of the pending run.
 * 3. Where another run has the slot, it releases the slot in the name of that run, and leaves a note with its own id.
 *    Of several triggers that try, only one release succeeds. That trigger also does what the other run was to do.
 */
export async function becomePending<A>(
  locker: Locker,
  jobs: JobLocks,
  { merge, resultTtlMs }: JobDefinition<A, unknown>,
  trigger: Trigger<A>,
  id: string,
  place: Place,
): Promise<Pending<A>> {
  const { places } = trigger
  let { args } = trigger
  await place.atOnce
  for (let tries = 0; tries < MOST_TRIES && !place.granted; tries += 1) {
    const slot = await places.takeSlot(id, merge === null ? null : carried(args))
    if (slot !== null) return { args, place, slot }
    const pending = await jobs.holder(places.slot)
    if (pending === null) continue
    let both = args
    if (merge !== null) {
      // Triggered by a version of this job that has no merge: its arguments are unknown here, so both run.
      if (pending.meta === null) break
      both = merge(JSON.parse(pending.meta) as A, args)
      carried(both)
    }
    const note = { text: takenOverText(id), keepMs: resultTtlMs }
    const taken = await locker.release({ name: places.slot, owner: pending.owner }, note)
    if (taken) args = both
  }
  return { args, place, slot: null }
}

/** The arguments as a pending run carries them. @throws SoloistError `INVALID_ARGUMENT` when they cannot be carried */
export function carried(args: unknown): string {
  const text = canonicalJson(args ?? null)
  const bytes = Buffer.byteLength(text)
  if (bytes > LONGEST_CARRIED_BYTES) {
    throw invalidArgument(
      `with merge, arguments must not be longer than ${LONGEST_CARRIED_BYTES} bytes; they have ${bytes}`,
    )
  }
  return text
}

/**
 * Asks a run to stop, again and again until the request has arrived, the run has ended, or `place` was granted or left.
 */
export async function askToStop<A>(
  locker: Locker,
  { names, places }: Trigger<A>,
  met: Met,
  place: Place,
): Promise<void> {
  const claim = { name: names.stop, owner: met.id }
  const over = new AbortController()
  const end = () => over.abort()
  place.held.then(end, end)
  try {
    for (let delayMs = ASK_AGAIN_MS; !over.signal.aborted; delayMs = Math.min(delayMs * 2, ASK_AGAIN_MOST_MS)) {
      if (await locker.release(claim)) return
      // It has only just begun, or it ended, or it was started by a version of this job that nobody may stop.
      if (!(await isLive(locker, places, met.id))) return
      await pause(locker, delayMs, over.signal)
    }
  } catch (error) {
    locker.news.fault(claim, 'shared', 'release', error)
  }
}

async function isLive(locker: Locker, { live }: Places, id: string): Promise<boolean> {
  return (await locker.watching.look(live.name, id)).status === 'live'
}
