import type { Note } from '../../backend.js'
import type { Locker } from '../../lock/locker.js'
import type { JobLocks } from '../locks.js'
import { argumentsIn, fold } from '../merge.js'
import type { JobDefinition } from '../options.js'
import { type Claims, endPeriod, type Hold, type RunClaim } from './claim.js'
import { isOutage, throughOutage } from './outage.js'
import { turnOf } from './pending.js'
import { type Settled, settledFrom } from './result.js'
import { execute } from './run.js'
import type { Trigger } from './trigger.js'

/** What became of a run of this process. */
export type Fate<R> =
  /** It has ended, or cannot come. `lapsed`: it had lost its lease by then, so it covers nobody but its own trigger. */
  | { readonly status: 'ended'; readonly settled: Settled<R>; readonly lapsed: boolean }
  /** Another trigger took its place before it began. */
  | { readonly status: 'displaced'; readonly by: string }
  /** It never began. */
  | { readonly status: 'gone' }

/** How a run ends that somebody relies on, or whichever took its place. */
export type End<R> =
  | { readonly status: 'ended'; readonly settled: Settled<R> }
  /** The run `id` vanished, so whoever relies on it starts anew. */
  | { readonly status: 'gone'; readonly id: string }

/** A run of this process, from its trigger on. */
export interface LocalRun<R> {
  readonly id: string
  readonly claim: RunClaim
  readonly fate: Promise<Fate<R>>
}

/** A run that executes. */
interface Executing {
  readonly id: string
  readonly hold: Hold
}

/** What a run is to do. */
export interface RunPlan<A> {
  readonly claim: RunClaim
  /** The triggers that came to it together, in their order. */
  readonly triggers: readonly Trigger<A>[]
  /** Whether it is the pending run until it begins. */
  readonly begins: boolean
}

/** The runs of one job that this process has, and the ends of those of other processes that its triggers rely on. */
export class Runs<A, R> {
  readonly #locker: Locker
  readonly #jobs: JobLocks
  readonly #definition: JobDefinition<A, R>
  readonly #claims: Claims
  readonly #keyOf: (args: A) => string
  /** By id. */
  readonly #local = new Map<string, LocalRun<R>>()
  /** By key: the last that began. */
  readonly #executing = new Map<string, Executing>()
  /** By id. */
  readonly #ends = new Map<string, Promise<End<R>>>()

  constructor(
    locker: Locker,
    jobs: JobLocks,
    definition: JobDefinition<A, R>,
    claims: Claims,
    keyOf: (args: A) => string,
  ) {
    this.#locker = locker
    this.#jobs = jobs
    this.#definition = definition
    this.#claims = claims
    this.#keyOf = keyOf
  }

  /** A run of this process: waits for its turn, and executes. */
  start(plan: RunPlan<A>): LocalRun<R> {
    const { id } = plan.claim
    const fate = this.#live(plan)
    const run = { id, claim: plan.claim, fate }
    this.#local.set(id, run)
    void fate.then(() => this.#local.delete(id))
    return run
  }

  /** In this process, the run `by` took the place of another. */
  displaced(id: string, by: string): void {
    this.#local.get(id)?.claim.displaced(by)
  }

  /** The run of this process that is certainly live with this key, and for how long, in milliseconds. */
  executing(key: string): { readonly id: string; readonly ageMs: number } | null {
    const run = this.#executing.get(key)
    if (run === undefined || !run.hold.lease.valid) return null
    return { id: run.id, ageMs: Math.round(run.hold.lease.heldMs) }
  }

  /** How the run `id` ends, wherever it is. Never rejects. */
  end(trigger: Trigger<A>, id: string): Promise<End<R>> {
    let end = this.#ends.get(id)
    if (end === undefined) {
      end = this.#end(trigger, id)
      this.#ends.set(id, end)
      void end.then(() => this.#ends.delete(id))
    }
    return end
  }

  async #end(trigger: Trigger<A>, id: string): Promise<End<R>> {
    const local = this.#local.get(id)
    if (local === undefined) return await this.#endElsewhere(trigger, id)
    const fate = await local.fate
    if (fate.status === 'displaced') return await this.end(trigger, fate.by)
    if (fate.status === 'gone' || fate.lapsed) return { status: 'gone', id }
    return { status: 'ended', settled: fate.settled }
  }

  async #endElsewhere(trigger: Trigger<A>, id: string): Promise<End<R>> {
    const { watching } = this.#locker
    const live = this.#claims.liveLock(trigger.names)
    try {
      let ending = await watching.until(live, id, this.#definition.ttlMs)
      if (ending.status === 'result') return { status: 'ended', settled: settledFrom(ending.text, id) }
      // A run that waits for a period is displaced there.
      if (ending.status === 'gone' && this.#claims.periodic) {
        const reply = await throughOutage(this.#locker, () => watching.look(trigger.names.trigger, id))
        if (reply.status === 'displaced') ending = reply
      }
      return ending.status === 'displaced' ? await this.end(trigger, ending.by) : { status: 'gone', id }
    } catch (error) {
      this.failed(trigger, id, error)
      return { status: 'ended', settled: { ok: false, error } }
    }
  }

  /** What cannot come is told, also when nobody awaits it. At the end of the client its user knows. */
  failed({ key }: Trigger<A>, id: string, error: unknown): void {
    if (isOutage(error)) this.#locker.news.tell('jobFailed', { job: this.#definition.name, key, id, error })
  }

  async #live({ claim, triggers, begins }: RunPlan<A>): Promise<Fate<R>> {
    const newest = triggers.at(-1) as Trigger<A>
    let turn: Awaited<ReturnType<typeof turnOf>>
    try {
      turn = await turnOf(this.#locker, claim, begins)
    } catch (error) {
      this.failed(newest, claim.id, error)
      return { status: 'ended', settled: { ok: false, error }, lapsed: false }
    }
    if (turn.status !== 'begun') return turn
    const { merge } = this.#definition
    const { hold, notes } = turn
    // Others relied on what they left here, and this is not there any more.
    if (merge !== null && notes !== null && !notes.some(({ owner }) => owner === claim.id)) {
      await hold.giveBack()
      return { status: 'gone' }
    }
    const args = merge === null ? () => newest.args : () => fold(merge, this.#keyOf, allOf(triggers, notes), newest.key)
    return await this.#execute(claim, newest, args, hold)
  }

  async #execute(claim: RunClaim, { key, names }: Trigger<A>, args: () => A, hold: Hold): Promise<Fate<R>> {
    const { stops, releaseOnFailure, name: job } = this.#definition
    const { id } = claim
    const executing = { id, hold }
    this.#executing.set(key, executing)
    const end = await execute(this.#locker, this.#definition, { id, args, hold, stop: stops ? names.stop : null })
    if (this.#executing.get(key) === executing) this.#executing.delete(key)
    if (!end.called) {
      await hold.giveBack()
      return { status: 'gone' }
    }
    const { settled, lapsed } = end
    if (lapsed) this.#jobs.count(job, 'lapsed')
    if (!settled.ok) {
      if (releaseOnFailure) await endPeriod(this.#locker, claim.lock, id)
      this.#locker.news.tell('jobFailed', { job, key, id, error: settled.error })
    }
    return { status: 'ended', settled, lapsed }
  }
}

/** The arguments of all whom a run covers, in the order of the store, each once. */
function allOf<A>(triggers: readonly Trigger<A>[], notes: readonly Note[] | null): readonly A[] {
  const [only] = triggers
  if (only !== undefined && triggers.length === 1 && (notes === null || notes.length === 1)) return [only.args]
  if (notes === null) return triggers.map(({ text }) => JSON.parse(text) as A)
  return argumentsIn(notes.map(({ text }) => text))
}
