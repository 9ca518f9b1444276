import { DuplicateJobError, SoloistError } from '../errors.js'
import { checkStrategy, type JobStrategy } from '../internal/job-modes.js'
import { outsideBlocks, selfWait } from '../lock/holding/blocks.js'
import type { Locker } from '../lock/locker.js'
import { jobKeying } from './key.js'
import type { JobLocks } from './locks.js'
import { jobLockNames } from './names.js'
import type { JobDefinition } from './options.js'
import type { TriggerOutcome } from './outcome.js'
import { askToStop, becomePending, carried } from './pending.js'
import { Places } from './places.js'
import { type Settled, settle, unwrap } from './result.js'
import { Runs } from './runs.js'
import { type Entered, type Met, outcomeOf, type Trigger } from './trigger.js'
import { Turnstile } from './turnstile.js'

/** How often a trigger looks again at a lock that others change between two of its steps. */
const MOST_LOOKS = 100
/** How often a trigger starts anew when what covers it dies with its process. */
const MOST_RECOVERIES = 5

type Strategy<A> = JobDefinition<A, unknown>['onDuplicate']

/** Everything one process does for the triggers of one job. */
export class Triggers<A, R> {
  readonly #locker: Locker
  readonly #jobs: JobLocks
  readonly #definition: JobDefinition<A, R>
  readonly #keyOf: (args: A) => string
  readonly #runs: Runs<A, R>
  /**
   * A run that starts also serves triggers that came just before. A run that was found live may have ended before they
   * came.
   */
  readonly #joining = new Turnstile<Entered<R>>(({ outcome }) => outcome.status !== 'duplicate')

  constructor(locker: Locker, jobs: JobLocks, definition: JobDefinition<A, R>) {
    this.#locker = locker
    this.#jobs = jobs
    this.#definition = definition
    this.#keyOf = jobKeying(definition.key)
    this.#runs = new Runs(locker, jobs, definition, (trigger, strategy) => {
      return strategy === 'join' ? this.#join(trigger) : this.#enter(trigger, strategy)
    })
  }

  key(args: A): string {
    return this.#keyOf(args)
  }

  /** Asks for a run and waits for its result, as {@link Triggers.result}. */
  async call(args: A): Promise<R> {
    const { onDuplicate } = this.#definition
    const key = this.key(args)
    // Before anything is left behind: a run that is asked for again and again by itself would never end.
    if (typeof onDuplicate === 'string' && onDuplicate !== 'reject' && onDuplicate !== 'skip')
      this.#assertNotWithin(key)
    return await this.result(await this.#trigger(args, key), key)
  }

  /** Does what the job's mode and strategy say. The run is no part of the block that the call is made in. */
  async trigger(args: A): Promise<{ entered: Entered<R>; key: string }> {
    const key = this.key(args)
    return { entered: await outsideBlocks(() => this.#trigger(args, key)), key }
  }

  /**
   * How what covers a trigger ends.
   *
   * @throws SoloistError `SELF_WAIT` when it cannot before the handler ends that the call is made in
   */
  async result({ outcome, settled, waits }: Entered<R>, key: string): Promise<R> {
    if (waits) this.#assertNotWithin(key, outcome)
    return unwrap(await settled)
  }

  async #trigger(args: A, key: string): Promise<Entered<R>> {
    const { name, onDuplicate, merge } = this.#definition
    if (merge !== null) carried(args)
    const names = jobLockNames(name, key)
    const places = new Places(this.#locker, names, this.#definition)
    const trigger = { args, key, names, places, lives: MOST_RECOVERIES }
    this.#locker.assertTakesWork()
    try {
      const entered = onDuplicate === 'join' ? await this.#join(trigger) : await this.#enter(trigger, onDuplicate)
      this.#jobs.count(name, entered.outcome.status)
      return entered
    } catch (error) {
      if (error instanceof DuplicateJobError) this.#jobs.count(name, 'duplicate')
      throw error
    }
  }

  /** @throws SoloistError `SELF_WAIT` when the call is made in a run with this key, which would wait for itself */
  #assertNotWithin(key: string, outcome: TriggerOutcome | null = null): void {
    const { name, mode, stops } = this.#definition
    const { blocks } = this.#locker
    // A run that is asked to stop may end all the same.
    if (stops) return
    const names = jobLockNames(name, key)
    const { live } = new Places(this.#locker, names, this.#definition)
    const joins = outcome?.status === 'duplicate' ? outcome.id : null
    // Runs of one period do not keep each other waiting.
    const within =
      mode === 'untilExpired' ? joins !== null && blocks.isUnder(live.name, joins) : blocks.isUnder(live.name)
    if (within) throw selfWait(`a run of the job ${JSON.stringify(name)} that cannot end before it`)
  }

  /**
   * As `#enter` for `join`. A run of this process is joined without a call; triggers that come together share one call.
   */
  async #join(trigger: Trigger<A>): Promise<Entered<R>> {
    const { value, first } = await this.#joining.pass(trigger.key, async () => {
      return this.#runs.joinable(trigger.key) ?? (await this.#enter(trigger, 'join'))
    })
    const { outcome, settled } = value
    if (first || outcome.status === 'duplicate') return value
    const { id, status } = outcome
    const state = status === 'deferred' ? 'queued' : 'running'
    return { outcome: outcomeOf('duplicate', id, { id, state, ageMs: 0, dead: false }), settled, waits: true }
  }

  async #enter(trigger: Trigger<A>, strategy: Strategy<A>): Promise<Entered<R>> {
    const { places, args } = trigger
    for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
      const id = this.#locker.newOwner()
      const entered = places.gated ? await this.#enterGate(trigger, id) : await this.#enterAtOnce(trigger, id)
      if (entered !== null) return entered
      const met = await this.#meet(places)
      if (met?.dead === false) return await this.#meeting(trigger, id, met, strategy)
      if (met === null) continue
      const hold = await places.takeOver(id, met.id)
      if (hold === null) continue
      return {
        outcome: outcomeOf('recovered', id, met),
        settled: this.#runs.run(trigger, id, args, hold),
        waits: false,
      }
    }
    const message = `the locks of job ${JSON.stringify(this.#definition.name)} changed at each look`
    throw new SoloistError('BACKEND_UNAVAILABLE', message)
  }

  async #enterAtOnce(trigger: Trigger<A>, id: string): Promise<Entered<R> | null> {
    const hold = await trigger.places.enter(id)
    if (hold === null) return null
    const settled = this.#runs.run(trigger, id, trigger.args, hold)
    return { outcome: outcomeOf('started', id, null), settled, waits: false }
  }

  /** Where the gate is the slot of the one pending run: takes it, and runs at once or after the run that executes. */
  async #enterGate(trigger: Trigger<A>, id: string): Promise<Entered<R> | null> {
    const { places, args } = trigger
    const slot = await places.takeSlot(id, this.#meta(args))
    if (slot === null) return null
    const place = places.queue(id)
    const strategy = this.#following
    const settled = this.#runs.standBy({ trigger, id, args, place, slot, strategy })
    if (await place.atOnce) return { outcome: outcomeOf('started', id, null), settled, waits: false }
    const holder = await this.#jobs.holder(places.live.name)
    const running: Met | null = holder && { id: holder.owner, state: 'running', ageMs: holder.ageMs, dead: false }
    return { outcome: outcomeOf('deferred', id, running), settled, waits: true }
  }

  async #meeting(trigger: Trigger<A>, id: string, met: Met, strategy: Strategy<A>): Promise<Entered<R>> {
    switch (typeof strategy === 'function' ? await this.#decided(strategy, trigger.args, met) : strategy) {
      case 'join':
        return {
          outcome: outcomeOf('duplicate', met.id, met),
          settled: this.#runs.cover(trigger, met.id, 'join'),
          waits: true,
        }
      case 'reject':
        throw this.#duplicate(met)
      case 'skip': {
        const settled = Promise.resolve<Settled<R>>({ ok: false, error: this.#duplicate(met) })
        return { outcome: outcomeOf('duplicate', met.id, met), settled, waits: false }
      }
      case 'delay':
        return await this.#delay(trigger, id, met)
      case 'rerun':
        return await this.#pend(trigger, id, met, 'rerun')
      case 'replace':
        return await this.#pend(trigger, id, met, 'replace')
    }
  }

  async #decided(decide: Exclude<Strategy<A>, JobStrategy>, args: A, { id, state, ageMs }: Met): Promise<JobStrategy> {
    return checkStrategy('what onDuplicate returned', await decide({ args, id, state, ageMs }))
  }

  /** Waits in line, and runs whatever comes meanwhile. */
  async #delay(trigger: Trigger<A>, id: string, met: Met): Promise<Entered<R>> {
    const { places, args } = trigger
    const strategy = 'delay'
    if (!places.gated) {
      const place = places.queue(id)
      const settled = this.#runs.standBy({ trigger, id, args, place, slot: null, strategy })
      const started = await place.atOnce
      return {
        outcome: started ? outcomeOf('started', id, null) : outcomeOf('deferred', id, met),
        settled,
        waits: !started,
      }
    }
    const gate = places.queueForSlot(id, this.#meta(args))
    const settled = settle(
      (async () => {
        const { lease: slot } = await gate.held
        return unwrap(await this.#runs.standBy({ trigger, id, args, place: places.queue(id), slot, strategy }))
      })(),
    )
    await gate.atOnce
    return { outcome: outcomeOf('deferred', id, met), settled, waits: true }
  }

  /** Becomes the one run that starts after the live one, in the place of another that waits for that. */
  async #pend(trigger: Trigger<A>, id: string, met: Met, strategy: 'rerun' | 'replace'): Promise<Entered<R>> {
    const { places } = trigger
    const place = strategy === 'replace' ? places.queueBehind(id, met.id) : places.queue(id)
    let pending: Awaited<ReturnType<typeof becomePending<A>>>
    try {
      pending = await becomePending(this.#locker, this.#jobs, this.#definition, trigger, id, place)
    } catch (error) {
      place.leave()
      throw error
    }
    const settled = this.#runs.standBy({ trigger, id, ...pending, strategy })
    if (strategy === 'replace') {
      if (this.#definition.stops && met.state === 'running') void askToStop(this.#locker, trigger, met, place)
      return { outcome: outcomeOf('replaced', id, met), settled, waits: true }
    }
    return { outcome: outcomeOf('deferred', met.id, met), settled, waits: true }
  }

  /** Who is live, or `null` when nobody is any more. */
  async #meet({ gate, live, gated, periodic }: Places): Promise<Met | null> {
    const state = await this.#jobs.inspect(gate)
    if (state === null) return null
    const [holder] = state.holders
    if (holder === undefined) {
      const [waiter] = state.waiters
      return waiter === undefined
        ? null
        : { id: waiter.owner, state: 'queued', ageMs: state.atMs - waiter.waitingSinceMs, dead: false }
    }
    const id = holder.owner
    const ageMs = holder.acquiredAtMs === null ? null : state.atMs - holder.acquiredAtMs
    if (!periodic) return { id, state: gated ? 'queued' : 'running', ageMs, dead: false }
    const { status } = await this.#locker.watching.look(live.name, id)
    return { id, state: status === 'live' ? 'running' : 'finished', ageMs, dead: status === 'gone' }
  }

  #meta(args: A): string | null {
    return this.#definition.merge === null ? null : carried(args)
  }

  /** What a pending run does for its trigger if the run that took it over dies: start anew, behind what runs then. */
  get #following(): JobStrategy {
    const { onDuplicate } = this.#definition
    return onDuplicate === 'replace' ? 'replace' : 'rerun'
  }

  #duplicate({ id, state, ageMs }: Met): DuplicateJobError {
    return new DuplicateJobError({ job: this.#definition.name, id, state, ageMs })
  }
}
