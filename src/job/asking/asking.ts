import { SoloistError } from '../../errors.js'
import { decide, type MetRun, verdict } from '../../internal/job-decision.js'
import type { Locker } from '../../lock/locker.js'
import type { TriggerTold } from '../../lock/request.js'
import { noteOf } from '../merge.js'
import type { JobDefinition } from '../options.js'
import type { TriggerOutcome } from '../outcome.js'
import type { ClaimOrder, Claims, RunClaim } from '../running/claim.js'
import { throughOutage } from '../running/outage.js'
import type { LocalRun, Runs } from '../running/runs.js'
import { type Met, outcomeOf, type Trigger } from '../running/trigger.js'

/** What a trigger came to that does nothing where it meets a run. */
export interface Meeting<R> {
  /** Its run, if it met none. */
  readonly run: { readonly local: LocalRun<R>; readonly outcome: TriggerOutcome; readonly queued: boolean } | null
  /** The run that it met. */
  readonly met: Met | null
}

/** What one trigger step came to. */
export interface Asked {
  readonly claim: RunClaim
  readonly told: TriggerTold
}

/** Sends the trigger steps of one job, and says what was met. */
export class Asking<A, R> {
  readonly #locker: Locker
  readonly #definition: JobDefinition<A, R>
  readonly #claims: Claims
  readonly #runs: Runs<A, R>

  constructor(locker: Locker, definition: JobDefinition<A, R>, claims: Claims, runs: Runs<A, R>) {
    this.#locker = locker
    this.#definition = definition
    this.#claims = claims
    this.#runs = runs
  }

  /** Sends one trigger step. @param anew repeats it through an outage: what was accepted once is not lost by one */
  async ask(trigger: Trigger<A>, order: Omit<ClaimOrder, 'id' | 'description'>, anew = false): Promise<Asked> {
    const ask = async () => {
      // A claim that was given up may have been noted, and others may rely on it with what they left there.
      const id = this.#locker.newOwner()
      const claim = this.#claims.claim(trigger.names, { ...order, id, description: trigger.description })
      return { claim, told: await claim.told }
    }
    const asked = anew ? await throughOutage(this.#locker, ask) : await ask()
    const { course, seen } = asked.told
    const displaces = order.decision.pending === 'displace' && seen.pending !== null
    // With a limit it may have been granted beside the pending run.
    if (displaces && (course === 'queued' || (course === 'granted' && this.#definition.limit === null))) {
      this.#runs.displaced(seen.pending.owner, asked.claim.id)
    }
    return asked
  }

  /** Asks for a run, and does nothing where one is met. */
  async meet(trigger: Trigger<A>): Promise<Meeting<R>> {
    const { mode, limit } = this.#definition
    const { periodic, gated } = this.#claims
    const here = periodic || gated || limit !== null ? null : this.#runs.executing(trigger.key)
    if (here !== null) return { run: null, met: { ...here, state: 'running' } }
    const decision = decide(mode, 'join', false)
    const order = { decision, note: noteFor([trigger], this.#definition), begins: false, without: null }
    const asked = await this.ask(trigger, order)
    const found = this.#found(trigger, asked)
    if (found.run !== null || !periodic) return found
    const met = await this.#ofPeriod(trigger, found.met as Met)
    if (met !== null) return { run: null, met }
    // Its run died in its period.
    const dead = { ...(found.met as Met), state: 'finished' } as const
    const again = this.#found(trigger, await this.ask(trigger, { ...order, without: dead.id }), dead)
    if (again.run !== null) return again
    const other = again.met as Met
    return { run: null, met: (await this.#ofPeriod(trigger, other)) ?? { ...other, state: 'running' } }
  }

  /** What was found by asking for a run. @param dead the run that was removed for it */
  #found(trigger: Trigger<A>, { claim, told }: Asked, dead: Met | null = null): Meeting<R> {
    const { mode } = this.#definition
    const { status, met } = verdict(mode, 'join', told.course, told.seen)
    if (told.course === 'met') return { run: null, met: metBy(met ?? unseen(claim)) }
    const queued = told.course === 'queued'
    const local = this.#runs.start({ claim, triggers: [trigger], begins: queued || told.pending })
    const outcome =
      dead === null ? outcomeOf(status, claim.id, met && metBy(met)) : outcomeOf('recovered', claim.id, dead)
    return { run: { local, outcome, queued }, met: null }
  }

  /** How far the run of a period is; `null`: its process died. */
  async #ofPeriod({ names }: Trigger<A>, met: Met): Promise<Met | null> {
    if (met.state === 'queued') return met
    const { status } = await this.#locker.watching.look(names.run, met.id)
    return status === 'gone' ? null : { ...met, state: status === 'live' ? 'running' : 'finished' }
  }
}

/** What a trigger is in a note. */
export function entryOf({ id, text }: Pick<Trigger<unknown>, 'id' | 'text'>): string {
  return `[${JSON.stringify(id)},${text}]`
}

/** What these triggers leave with the pending run. */
export function noteFor<A>(
  triggers: readonly Trigger<A>[],
  { merge }: Pick<JobDefinition<A, unknown>, 'merge'>,
): string | null {
  return merge === null ? null : noteOf(triggers.map(entryOf))
}

export function metBy({ owner, state, ageMs }: MetRun): Met {
  return { id: owner, state, ageMs }
}

/** A store that says that something was met has to say what. */
export function unseen({ lock }: RunClaim): never {
  throw new SoloistError('BACKEND_UNAVAILABLE', `the store did not say which run of ${JSON.stringify(lock)} it met`)
}
