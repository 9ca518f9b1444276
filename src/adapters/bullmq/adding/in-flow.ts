import type { Job, JobsOptions } from 'bullmq'
import type { JobLocks, JobStrategy } from '../../../index.js'
import type { Lives } from '../lock/lives.js'
import { ownerOf } from '../lock/owner.js'
import { waitingInLine } from '../lock/terms.js'
import { type Actions, actionsForParent } from './actions.js'
import { type Apart, type Beside, Later, type Triggered } from './apart.js'
import { noParent } from './failures.js'
import { circular } from './outcome.js'
import { knownAnswer, type Look } from './own-id.js'
import type { Recipe } from './recipes.js'
import type { Trigger } from './trigger.js'

export interface InFlowHost {
  readonly locks: JobLocks
  readonly lives: Lives
  readonly apart: Apart
}

/** How a job of a flow is asked for. */
export interface InFlow {
  readonly look: Look
  /** Whether a live job is to be met, and not waited for. */
  readonly meets: boolean
  /** Whether its children are told its id, as BullMQ's scripts are. */
  readonly isBound: boolean
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
  { look, meets, isBound }: InFlow,
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
    return { ...told, terms: course === 'queued' ? waitingInLine(terms, false) : terms }
  }
}

/**
 * Asks for a job that is added with a parent, where lock and job are two steps. Where another would stand for it, it is added all the
 * same and waits for its turn: BullMQ makes a job the parent's child by an add under its id, which adds it anew if it is gone by then.
 *
 * @param beside as for {@link Apart.trigger}
 * @throws SoloistError `INVALID_ARGUMENT`, before anything is claimed, where it would wait for its own parent
 */
export async function placeForParent(
  host: InFlowHost,
  first: Trigger,
  strategy: JobStrategy,
  actions: Actions,
  beside: Beside | null,
): Promise<Triggered | Later> {
  await checkAbove(host, first, parentOf(first.opts) as Parent, false)
  const as = actionsForParent(actions)
  for (let trigger = first; ; trigger = trigger.underFreshId()) {
    const told = await host.apart.trigger(trigger, strategy, as, beside)
    // Its place was taken before an answer that was lost came again.
    if (told instanceof Later || told.answer.course !== 'met') return told
  }
}

/** How a job tells its parent. */
export interface Parent {
  readonly id: string
  /** The qualified name of its queue. */
  readonly queueKey: string
}

/** @returns `null`: no job is to wait for one with these options */
export function parentOf(opts: JobsOptions | undefined): Parent | null {
  const parent = opts?.parent
  return parent ? { id: `${parent.id}`, queueKey: parent.queue } : null
}

/**
 * Looks, where others are in the way of a job, at those that are to wait for it: its parent, the parent of that, and so on.
 *
 * @param known whether the job that has its id is to be linked
 * @throws SoloistError `INVALID_ARGUMENT` where one of them is that job, has its lock, or waits for it: neither would ever get on; and
 *   where its parent is not there: before others give way to it
 */
export async function checkAbove(
  { locks, lives }: Pick<InFlowHost, 'locks' | 'lives'>,
  { lock, name, queue, jobId }: Trigger,
  first: Parent,
  known: boolean,
): Promise<void> {
  const { holders = [], waiters = [] } = (await locks.inspect(lock)) ?? {}
  const owners = new Set([...holders, ...waiters].map(({ owner }) => owner))
  if (known) owners.add(ownerOf(queue, jobId, false))
  const seen = new Set<string>()
  let parent: Parent | undefined = owners.size === 0 ? undefined : first
  while (parent !== undefined) {
    const { id, queueKey } = parent
    const owner = ownerOf(queueKey, id, false)
    if (seen.has(owner)) return
    seen.add(owner)
    const job: Job | null = await lives.find({ queue: queueKey, jobId: id, period: false })
    if (job === null && parent === first) throw noParent(name, `${queueKey}:${id}`)
    if (owners.has(owner) && job !== null && !job.finishedOn) throw circular(name)
    const above = job?.parent
    parent = above?.id === undefined ? undefined : { id: above.id, queueKey: above.queueKey }
  }
}

/** Whether a job has the lock, or is pending. */
async function isLive(locks: JobLocks, { lock }: Trigger): Promise<boolean> {
  const state = await locks.inspect(lock)
  return state !== null && (state.holding > 0 || state.pending !== null)
}
