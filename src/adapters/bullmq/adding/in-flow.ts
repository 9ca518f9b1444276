import type { JobLocks } from '../../../index.js'
import type { Lives } from '../lock/lives.js'
import { waitingInLine } from '../lock/terms.js'
import type { Apart, Triggered } from './apart.js'
import type { AfterFailure } from './failures.js'
import { knownAnswer, type Look } from './own-id.js'
import type { Recipe } from './recipes.js'
import type { Trigger } from './trigger.js'

export interface InFlowHost {
  readonly locks: JobLocks
  readonly lives: Lives
  readonly apart: Apart
  readonly afterFailure: AfterFailure
}

/** How a job of a flow is asked for. */
export interface InFlow {
  readonly look: Look
  /** Whether a live job is to be met, and not waited for. */
  readonly meets: boolean
  /** Whether its children are told its id, as BullMQ's scripts are. */
  readonly isBound: boolean
  /** Whether it has a parent or children: nobody may take its place then. */
  readonly isPart: boolean
}

/** What that came to. Its trigger is under another id where it could not have its own. */
export interface PlacedInFlow extends Triggered {
  readonly terms: string
}

/**
 * Asks for a job of a flow, where lock and job are two steps: it has its lock then, or a place in its queue, if it is to be added.
 *
 * @throws SoloistError
 */
export async function placeInFlow(
  host: InFlowHost,
  first: Trigger,
  recipe: Recipe,
  { look, meets, isBound, isPart }: InFlow,
): Promise<PlacedInFlow> {
  const { locks, lives, apart } = host
  const { actions } = recipe
  const terms = recipe.apart + first.lock
  const { known, busy, error } = look
  if (error !== null) throw error
  if (known !== false && isBound && !(meets && (await isLive(locks, first)))) {
    // Its children become those of the job that is there.
    return { trigger: first, answer: await knownAnswer(lives, first), terms }
  }
  // As with `add`: what follows another job has another id. Where its children are told it, one that nobody else has stays.
  const claims = first.definition.mode !== 'whileExecuting'
  const other = first.hasOwnId && (known !== false || (busy && claims && !isBound))
  const as = meets ? ({ ...actions, running: 'meet', pending: 'meet' } as const) : actions
  for (let trigger = other ? first.underFreshId() : first; ; trigger = trigger.underFreshId()) {
    const told = await apart.trigger(trigger, 'delay', as)
    const { course } = told.answer
    // Its place was taken before an answer that was lost came again.
    if (course === 'met' && !meets) continue
    const stays = course === 'granted' && isPart && actions.begins && first.definition.strategy === 'replace'
    if (stays && !(await keepsPlace(host, told.trigger))) continue
    return { ...told, terms: course === 'queued' ? waitingInLine(terms, false) : terms }
  }
}

/**
 * From now on nobody takes the place of a job that has its lock: what `replace` does itself where it finds that a job is part of a
 * flow, which it cannot before the job is in the queue.
 *
 * @returns `false`: its place was taken before
 */
async function keepsPlace({ locks, afterFailure }: InFlowHost, trigger: Trigger): Promise<boolean> {
  const { lock, owner } = trigger
  try {
    return (await locks.takeBack(lock, owner, owner)).status !== 'displaced'
  } catch (error) {
    await afterFailure.giveUpUntried(trigger)
    throw error
  }
}

/** Whether a job has the lock, or is pending. */
async function isLive(locks: JobLocks, { lock }: Trigger): Promise<boolean> {
  const state = await locks.inspect(lock)
  return state !== null && (state.holding > 0 || state.pending !== null)
}
