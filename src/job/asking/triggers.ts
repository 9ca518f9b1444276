import { DuplicateJobError, SoloistError } from '../../errors.js'
import { decide, decideAnew, type MetRun, verdict } from '../../internal/job-decision.js'
import { checkStrategy, type JobStrategy } from '../../internal/job-modes.js'
import { described } from '../../internal/job-terms.js'
import { afterEvents } from '../../internal/real-time.js'
import { outsideBlocks, selfWait } from '../../lock/holding/blocks.js'
import type { Locker } from '../../lock/locker.js'
import type { JobLocks } from '../locks.js'
import { carried, chunks, tryMerge } from '../merge.js'
import { jobKeying } from '../naming/key.js'
import { jobLockNames } from '../naming/names.js'
import type { JobDefinition } from '../options.js'
import type { TriggerOutcome } from '../outcome.js'
import { type ClaimOrder, Claims, type RunClaim } from '../running/claim.js'
import { throughOutage } from '../running/outage.js'
import { type Settled, unwrap } from '../running/result.js'
import { type LocalRun, Runs } from '../running/runs.js'
import { askToStop } from '../running/stop.js'
import { type Entered, type Met, outcomeOf, type Trigger } from '../running/trigger.js'
import { checkResultOptions, type ResultOptions, unlessClosed, waitFor } from '../waiting.js'
import { Asking, entryOf, type Meeting, metBy, noteFor, unseen } from './asking.js'
import { takePeriod } from './period.js'
import { Gathering, Turnstile } from './sharing.js'

type Strategy<A> = JobDefinition<A, unknown>['onDuplicate']
/** Strategies by which a trigger has a run of its own, or adds to one. */
type Adding = 'rerun' | 'replace' | 'delay'

/** A trigger that has a run of its own, or adds to one. */
interface Addition<A> {
  readonly trigger: Trigger<A>
  readonly strategy: Adding
  /** The run that it relied on, which vanished; `null`: it came just now. */
  readonly after: string | null
}

/** Everything one process does for the triggers of one job. */
export class Triggers<A, R> {
  readonly #locker: Locker
  readonly #jobs: JobLocks
  readonly #definition: JobDefinition<A, R>
  readonly #keyOf: (args: A) => string
  readonly #claims: Claims
  readonly #runs: Runs<A, R>
  readonly #asking: Asking<A, R>
  /**
   * A run that starts also serves triggers that came just before. A run that was found live may have ended before they
   * came.
   */
  readonly #meeting = new Turnstile<Meeting<R>>(({ run }) => run !== null)
  readonly #adding = new Gathering<Addition<A>, Entered<R>>(group => this.#addAll(group))

  #count = 0

  constructor(locker: Locker, jobs: JobLocks, definition: JobDefinition<A, R>) {
    this.#locker = locker
    this.#jobs = jobs
    this.#definition = definition
    this.#keyOf = jobKeying(definition.key)
    this.#claims = new Claims(locker, definition)
    this.#runs = new Runs(locker, jobs, definition, this.#claims, this.#keyOf)
    this.#asking = new Asking(locker, definition, this.#claims, this.#runs)
  }

  key(args: A): string {
    return this.#keyOf(args)
  }

  /** Asks for a run and waits for its result, as {@link Triggers.result}. */
  async call(args: A, options: ResultOptions = {}): Promise<R> {
    const wait = checkResultOptions(options)
    const { onDuplicate } = this.#definition
    const key = this.key(args)
    // Before anything is left behind: a run that is asked for again and again by itself would never end.
    if (typeof onDuplicate === 'string' && onDuplicate !== 'reject' && onDuplicate !== 'skip')
      this.#assertNotWithin(key)
    const work = async () => await this.result(await this.#trigger(args, key), key)
    return await waitFor(this.#locker, work(), wait)
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
  async result({ outcome, settled, waits }: Entered<R>, key: string, options: ResultOptions = {}): Promise<R> {
    const wait = checkResultOptions(options)
    if (waits) this.#assertNotWithin(key, outcome)
    return unwrap(await waitFor(this.#locker, settled, wait))
  }

  async #trigger(args: A, key: string): Promise<Entered<R>> {
    const { name, onDuplicate, merge, describe } = this.#definition
    const text = merge === null ? '' : carried(args)
    if (merge !== null) tryMerge(merge, this.#keyOf, text, key)
    const description = describe === null ? null : described(describe, args)
    this.#count += 1
    const id = merge === null ? '' : this.#locker.newOwner()
    const trigger = { args, id, order: this.#count, key, names: jobLockNames(name, key), text, description }
    this.#locker.assertTakesWork()
    try {
      const entered = await this.#enter(trigger, onDuplicate)
      this.#jobs.count(name, entered.outcome.status)
      return entered
    } catch (error) {
      if (error instanceof DuplicateJobError) this.#jobs.count(name, 'duplicate')
      throw error
    }
  }

  /** @throws SoloistError `SELF_WAIT` when the call is made in a run with this key, which would wait for itself */
  #assertNotWithin(key: string, outcome: TriggerOutcome | null = null): void {
    const { name, stops, limit } = this.#definition
    const { blocks } = this.#locker
    // A run that is asked to stop may end all the same.
    if (stops) return
    const live = this.#claims.liveLock(jobLockNames(name, key))
    const joined = outcome?.status === 'duplicate' ? outcome.id : null
    // Runs of one period do not keep each other waiting.
    const full = !this.#claims.periodic && blocks.countUnder(live) >= (limit ?? 1)
    if (full || (joined !== null && blocks.isUnder(live, joined))) {
      throw selfWait(`a run of the job ${JSON.stringify(name)} that cannot end before it`)
    }
  }

  async #enter(trigger: Trigger<A>, strategy: Strategy<A>): Promise<Entered<R>> {
    if (!this.#claims.periodic && adds(strategy)) return await this.#add(trigger, strategy)
    const { value, first } = await this.#meeting.pass(trigger.key, () => this.#asking.meet(trigger))
    const { run } = value
    if (run === null) return await this.#onMet(trigger, value.met as Met, strategy)
    const { local, outcome, queued } = run
    if (first) return { outcome, settled: this.#own(trigger, local, 'join'), waits: queued, own: true }
    return await this.#onMet(trigger, { id: local.id, state: queued ? 'queued' : 'running', ageMs: 0 }, strategy)
  }

  /** A trigger that met a run. */
  async #onMet(trigger: Trigger<A>, met: Met, by: Strategy<A>): Promise<Entered<R>> {
    const strategy = typeof by === 'function' ? await this.#decided(by, trigger.args, met) : by
    switch (strategy) {
      case 'join': {
        const settled = this.#covered(trigger, met.id, 'join')
        return { outcome: outcomeOf('duplicate', met.id, met), settled, waits: true, own: false }
      }
      case 'reject':
        throw this.#duplicate(met)
      case 'skip': {
        const settled = Promise.resolve<Settled<R>>({ ok: false, error: this.#duplicate(met) })
        return { outcome: outcomeOf('duplicate', met.id, met), settled, waits: false, own: false }
      }
      default:
        return await this.#add(trigger, strategy)
    }
  }

  async #decided(by: Exclude<Strategy<A>, JobStrategy>, args: A, { id, state, ageMs }: Met): Promise<JobStrategy> {
    let strategy: unknown
    try {
      strategy = await unlessClosed(this.#locker, by({ args, id, state, ageMs }))
    } catch (cause) {
      if (!this.#locker.isOpen) throw cause
      throw new SoloistError('INVALID_ARGUMENT', 'onDuplicate threw', { cause })
    }
    return checkStrategy('what onDuplicate returned', strategy)
  }

  async #add(trigger: Trigger<A>, strategy: Adding, after: string | null = null): Promise<Entered<R>> {
    const addition = { trigger, strategy, after }
    // All that relied on one run start anew together.
    return await this.#adding.join(`${strategy} ${after ?? ''} ${trigger.key}`, addition, after !== null)
  }

  /** Triggers with one key and strategy. They go in the order they came, also when they start anew. */
  async #addAll(group: readonly Addition<A>[]): Promise<readonly Entered<R>[]> {
    const { mode, merge } = this.#definition
    const { strategy, after } = group[0] as Addition<A>
    const decision = (after === null ? decide : decideAnew)(mode, strategy, merge !== null)
    const triggers = group.map(({ trigger }) => trigger).sort((a, b) => a.order - b.order)
    const follows = decision.running === 'follow'
    // Each of those that wait has a run of its own. Of others one goes, and covers those before it.
    const parts = strategy === 'delay' ? triggers.map(one => [one]) : follows ? chunks(triggers, entryOf) : [triggers]
    const first = (part: readonly Trigger<A>[]) => (follows ? 0 : part.length - 1)
    const entered = await Promise.all(parts.map(part => this.#addPart(part, first(part), decision, strategy, after)))
    const all = new Map(entered.flat().map((each, i) => [triggers[i], each]))
    return group.map(({ trigger }) => all.get(trigger) as Entered<R>)
  }

  /** @param carrier which of these triggers is the one that the others are told of */
  async #addPart(
    triggers: readonly Trigger<A>[],
    carrier: number,
    decision: ClaimOrder['decision'],
    strategy: Adding,
    after: string | null,
  ): Promise<readonly Entered<R>[]> {
    const { mode } = this.#definition
    const trigger = triggers[carrier] as Trigger<A>
    // Where only a run that waits is a duplicate, each of those that wait becomes the pending run in its turn.
    const begins = strategy === 'delay' && this.#claims.gated
    const carrying = decision.pending === 'follow' ? triggers : [trigger]
    const note = noteFor(carrying, this.#definition)
    // A run that waits for a period and does not hold its own lock any more cannot run.
    const without = this.#claims.periodic ? after : null
    const { claim, told } = await this.#asking.ask(trigger, { decision, note, begins, without }, after !== null)
    const { course, seen } = told
    const waits = course !== 'granted'
    const { status, ofMet, met } = verdict(mode, strategy, course, seen)
    const idOf = (of: boolean, run: MetRun | null, id: string) => (of && run !== null ? run.owner : id)
    if (course === 'met') {
      const id = told.noted ?? (seen.pending ?? met ?? unseen(claim)).owner
      const outcome = outcomeOf(status, idOf(ofMet, met, id), met && metBy(met))
      return triggers.map(each => ({ outcome, settled: this.#covered(each, id, strategy), waits, own: false }))
    }
    const pending = begins || told.pending || (waits && strategy !== 'delay')
    const local = this.#runs.start({ claim, triggers: carrying, begins: pending })
    if (strategy === 'replace' && waits) this.#follow(trigger, claim, seen.running?.owner ?? null)
    const { id } = claim
    const own = outcomeOf(status, idOf(ofMet, met, id), met && metBy(met))
    // The others came to a run that was there already.
    const run = { owner: id, ageMs: 0 }
    const seenBy = waits ? { ...seen, pending: run } : { running: run, pending: null, waiting: null }
    const others = verdict(mode, strategy, 'queued', seenBy)
    const besides = outcomeOf(others.status, idOf(others.ofMet, others.met, id), others.met && metBy(others.met))
    return triggers.map((each, i) => {
      if (i === carrier) return { outcome: own, settled: this.#own(each, local, strategy), waits, own: true }
      return { outcome: besides, settled: this.#covered(each, id, strategy), waits: true, own: false }
    })
  }

  /** What `replace` does beside waiting. */
  #follow({ names }: Trigger<A>, claim: RunClaim, running: string | null): void {
    if (running === null) return
    const { stops, ttlMs } = this.#definition
    let over = false
    const end = () => {
      over = true
    }
    claim.held.then(end, end)
    const live = this.#claims.liveLock(names)
    if (stops) void askToStop(this.#locker, names.stop, live, running, () => over)
    if (this.#claims.periodic) void takePeriod(this.#locker, claim, live, running, ttlMs, () => over)
  }

  /** How a trigger ends that has a run of its own. */
  async #own(trigger: Trigger<A>, run: LocalRun<R>, strategy: Adding | 'join'): Promise<Settled<R>> {
    const fate = await run.fate
    if (fate.status === 'ended') return fate.settled
    return fate.status === 'displaced'
      ? await this.#covered(trigger, fate.by, strategy)
      : await this.#anew(trigger, run.id, strategy)
  }

  /** How a trigger ends that relies on the run `id`. */
  async #covered(trigger: Trigger<A>, id: string, strategy: Adding | 'join'): Promise<Settled<R>> {
    const end = await this.#runs.end(trigger, id)
    return end.status === 'ended' ? end.settled : await this.#anew(trigger, end.id, strategy)
  }

  /** The run that a trigger relied on vanished. */
  async #anew(trigger: Trigger<A>, id: string, strategy: Adding | 'join'): Promise<Settled<R>> {
    let entered: Entered<R>
    try {
      if (strategy === 'join') {
        await new Promise<void>(afterEvents)
        entered = await throughOutage(this.#locker, () => this.#enter(trigger, 'join'))
      } else entered = await this.#add(trigger, strategy, id)
    } catch (error) {
      this.#runs.failed(trigger, id, error)
      return { ok: false, error }
    }
    if (entered.own) this.#jobs.count(this.#definition.name, 'recovered')
    return await entered.settled
  }

  #duplicate({ id, state, ageMs }: Met): DuplicateJobError {
    return new DuplicateJobError({ job: this.#definition.name, id, state, ageMs })
  }
}

function adds(strategy: unknown): strategy is Adding {
  return strategy === 'rerun' || strategy === 'replace' || strategy === 'delay'
}
