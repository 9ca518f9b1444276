import type { Job, JobsOptions } from 'bullmq'
import { type JobStrategy, SoloistError } from '../../../index.js'
import { checkStrategy } from '../../../internal/job-modes.js'
import type { Answer } from '../fused/answer.js'
import { Connecting } from '../fused/connecting.js'
import { ADDING, type Adding, NotAdded, UNLOCKED } from '../fused/fused.js'
import { Unanswered } from '../lock/answering.js'
import { type Owner, parseOwner } from '../lock/owner.js'
import { isPlain, type Terms, waitingInLine } from '../lock/terms.js'
import { checkValues } from '../options/checked-opts.js'
import { type Definition, invalid } from '../options/definition.js'
import { Apart, type Beside, Later } from './apart.js'
import { removeIfDisplaced } from './displaced.js'
import { AfterFailure, addingFailed, asSoloistError } from './failures.js'
import type { ProducerHost } from './host.js'
import {
  checkAbove,
  type InFlow,
  type InFlowHost,
  type Parent,
  type PlacedInFlow,
  parentOf,
  placeForParent,
  placeInFlow,
} from './in-flow.js'
import { type Conclusion, conclude, type SingletonOutcome, started } from './outcome.js'
import { knownAnswer, type Look, Looks, NOTHING_KNOWN } from './own-id.js'
import type { Prepared } from './prepared.js'
import { Recipes } from './recipes.js'
import { retake } from './retake.js'
import { type Item, Trigger } from './trigger.js'

/**
 * Adds jobs that are unique: each has its lock, or a place in its queue, in the step that puts it into the queue or before it, and
 * carries its terms.
 */
export class Producer<A> {
  readonly afterFailure: AfterFailure
  readonly #host: ProducerHost<A>
  readonly #apart: Apart
  readonly #recipes: Recipes
  readonly #connecting: Connecting
  /** How many adds may have to wait for the queue to be connected: what comes later goes behind them. */
  #behind = 0

  constructor(host: ProducerHost<A>) {
    this.#host = host
    this.#recipes = new Recipes(host.prefix)
    this.afterFailure = new AfterFailure(host)
    const giveUp = (trigger: Trigger) => this.afterFailure.giveUpUntried(trigger)
    this.#apart = new Apart({ locks: host.solo.jobs, lives: host.lives, graceMs: host.graceMs, giveUp })
    this.#connecting = new Connecting(host)
  }

  /** @returns whether jobs of this name are singletons */
  has(name: string): boolean {
    return this.#host.definitions.has(name)
  }

  /** @throws SoloistError `INVALID_ARGUMENT` when they are not */
  assertHas(name: string): Definition {
    const definition = this.#host.definitions.get(name)
    if (definition === undefined) throw invalid(`there are no singleton options for jobs named ${JSON.stringify(name)}`)
    return definition
  }

  /** @throws SoloistError at once for what cannot be taken; what it returns rejects with all else */
  add(item: Item): Promise<A> {
    const trigger = this.trigger(item)
    const fixed = fixedStrategy(trigger.definition)
    if (this.#behind > 0 || !trigger.isPlain || !this.#connecting.fuses(trigger.sinceMs)) {
      return this.#add(item, trigger, fixed)
    }
    // The usual case, without the promises of the others.
    const one = this.#fusedly(trigger, fixed)
    return this.#host.add(one.item as Item).then(
      job => {
        const usual = one.adding?.answer === null && !trigger.hasOwnId
        return usual ? this.#answer(item, trigger, job, started(trigger.jobId)) : this.#conclude(item, one, job)
      },
      async error => {
        const job = error instanceof NotAdded ? null : await this.afterFailure.thereAfterAll(error, one)
        return await this.#conclude(item, one, job)
      },
    )
  }

  /**
   * All by one call of BullMQ's, in their order, but for those that have to wait for others: they are added behind these. What one
   * item fails with is thrown after the others were added.
   */
  async addBulk(items: readonly Item[]): Promise<A[]> {
    const triggers = items.map(item => (this.has(item.name) ? this.trigger(item) : null))
    checkBeside(items, triggers)
    const fused = await this.#ready()
    const apart = triggers.flatMap(trigger => (trigger === null || (fused && trigger.isPlain) ? [] : [trigger]))
    const looks = await Looks.at(this.#host, apart, ({ definition }) => goesOn(fixedStrategy(definition)))
    let prepared: readonly (Prepared | Later | null)[] = []
    let kept: readonly { readonly item: Item; readonly i: number }[]
    let jobs: Job[]
    try {
      prepared = await this.#prepareAll(triggers, fused, looks)
      const adds = prepared.map((one, i) => (one === null ? items[i] : one instanceof Later ? null : one.item))
      kept = adds.flatMap((item, i) => (item == null ? [] : [{ item, i }]))
      const sent = kept.map(({ i }) => prepared[i] as Prepared | null)
      jobs =
        kept.length === 0
          ? []
          : await this.#sendAll(
              kept.map(({ item }) => item),
              sent,
            )
    } catch (error) {
      for (const one of prepared) {
        if (one === null || one instanceof Later || one.adding !== null || one.item === null) continue
        if (error instanceof Unanswered) await this.afterFailure.unanswered(error, one.trigger)
        else await this.afterFailure.giveUpUnlessThere(one.trigger)
      }
      const addings = prepared.flatMap(one => (one instanceof Later || one?.adding == null ? [] : [one.adding]))
      const sent = addings.length === 0 ? null : addings.some(adding => adding.sent)
      throw await addingFailed(error, sent, this.#host.lives)
    } finally {
      // What is left to be added asks again.
      await looks.end()
    }
    const byPlace = new Map(kept.map(({ i }, k) => [i, jobs[k] as Job]))
    const answers: A[] = []
    const refusals: unknown[] = []
    for (const [i, one] of prepared.entries()) {
      const job = byPlace.get(i) ?? null
      try {
        if (one === null) answers.push(this.#host.answerPlain(job as Job))
        else if (one instanceof Later) answers.push(await this.#later(items[i] as Item, triggers[i] as Trigger, one))
        else if (one.error !== null) throw one.error
        else if (job !== null && typeof job.id !== 'string') throw await this.afterFailure.refused(one, job)
        else answers.push(await this.#conclude(items[i] as Item, one, job))
      } catch (error) {
        refusals.push(error)
      }
    }
    if (refusals.length > 0) throw refusals[0]
    return answers
  }

  /**
   * Where locks are taken before the jobs are added, that is one call for all of them. An equal job that is before another in
   * the call counts as live.
   *
   * @returns `null` for what is no singleton
   */
  async #prepareAll(
    triggers: readonly (Trigger | null)[],
    fused: boolean,
    looking: Looks,
  ): Promise<readonly (Prepared | Later | null)[]> {
    const isFused = (trigger: Trigger) => fused && trigger.isPlain
    const looks = await Promise.all(
      triggers.map(trigger => (trigger === null || isFused(trigger) ? null : looking.of(trigger))),
    )
    const coming = new Set<string>()
    const locks = new Map<string, number>()
    const ids = new Set<string>()
    return await Promise.all(
      triggers.map((trigger, i) => {
        if (trigger === null) return null
        const strategy = fixedStrategy(trigger.definition)
        if (isFused(trigger)) return this.#fusedly(trigger, strategy)
        const { lock, jobId } = trigger
        const before = locks.get(lock) ?? 0
        locks.set(lock, before + 1)
        const look = looks[i] as Look
        const again = ids.has(jobId)
        ids.add(jobId)
        return this.#apartly(trigger, strategy, again ? { ...look, known: 'soon' } : look, { coming, before })
      }),
    )
  }

  trigger(item: Item): Trigger {
    return new Trigger(this.assertHas(item.name), this.#host.qualifiedName, item)
  }

  /** The terms of the jobs of a scheduler. */
  tick(item: Item): string {
    const { definition, lock } = this.trigger(item)
    const { strategy, name } = definition
    if (typeof strategy === 'function') {
      throw invalid(`job ${JSON.stringify(name)}: onDuplicate cannot be a function for what a scheduler makes`)
    }
    const apart = this.#host.fused === null || !isPlain(lock)
    return this.#recipes.termsOf(definition, strategy, { tick: true, apart }) + lock
  }

  /** What a job of a flow is added with, where its lock is on the queue's Redis. */
  inFlow(trigger: Trigger): { readonly adding: Adding; readonly terms: string } {
    const { todo, fused } = this.#recipes.of(trigger.definition, 'flow')
    const terms = fused + trigger.lock
    const freshId = trigger.hasOwnId ? trigger.underFreshId().jobId : ''
    return {
      terms,
      adding: { terms, todo, meta: trigger.meta, freshId, flow: null, owner: trigger.owner, answer: null, sent: false },
    }
  }

  /**
   * The same where it is elsewhere: it has its lock then, or a place in its queue, if it is to be added.
   *
   * @throws SoloistError
   */
  async inFlowApart(trigger: Trigger, how: InFlow): Promise<PlacedInFlow> {
    return await placeInFlow(this.#placing(), trigger, this.#recipes.of(trigger.definition, 'flow'), how)
  }

  /** As {@link checkAbove}. */
  async checkAbove(trigger: Trigger, parent: Parent, known: boolean): Promise<void> {
    await checkAbove(this.#placing(), trigger, parent, known)
  }

  #placing(): InFlowHost {
    const { solo, lives } = this.#host
    return { locks: solo.jobs, lives, apart: this.#apart }
  }

  /** Asks for the ids that their callers brought, where locks are taken by steps of their own. Never rejects. */
  looks(triggers: readonly Trigger[]): Promise<Looks> {
    // Its children are told its id: it is waited for.
    return Looks.at(this.#host, triggers, () => false)
  }

  /** Whether the scripts of the queue can be run within ours, once that is known. */
  ready(): Promise<boolean> {
    return this.#ready()
  }

  /** As {@link retake}. */
  async retake(job: Job, terms: Terms): Promise<() => Promise<void>> {
    return await retake(this.#host, job, terms)
  }

  /** Adds what had to wait for others of its call. What it has left with a run is asked for under the id that it left it by. */
  async #later(item: Item, trigger: Trigger, { trigger: used, left }: Later): Promise<A> {
    const strategy = fixedStrategy(trigger.definition)
    if (left === null) return await this.#add(item, trigger, strategy)
    return await this.#finish(item, (await this.#apartly(used, strategy, NOTHING_KNOWN, null, left)) as Prepared)
  }

  async #add(item: Item, trigger: Trigger, strategy: JobStrategy | null): Promise<A> {
    let sent: Promise<A> | null = null
    this.#behind += 1
    try {
      if ((await this.#ready()) && trigger.isPlain) sent = this.#finish(item, this.#fusedly(trigger, strategy))
    } finally {
      this.#behind -= 1
    }
    if (sent !== null) return await sent
    const looks = await Looks.at(this.#host, [trigger], () => goesOn(strategy))
    let one: Prepared
    let job: Job | null
    try {
      // With nothing beside it, it waits here and is not put off.
      one = (await this.#apartly(trigger, strategy, await looks.of(trigger), null)) as Prepared
      job = await this.#added(one)
    } finally {
      await looks.end()
    }
    return await this.#conclude(item, one, job)
  }

  async #finish(item: Item, one: Prepared): Promise<A> {
    return await this.#conclude(item, one, await this.#added(one))
  }

  /** @returns `null` where nothing was to be added */
  async #added(one: Prepared): Promise<Job | null> {
    if (one.error !== null) throw one.error
    if (one.item === null) return null
    let job: Job | null
    try {
      job = await this.#send(one)
    } catch (error) {
      job = error instanceof NotAdded ? null : await this.afterFailure.thereAfterAll(error, one)
    }
    if (one.adding === null) await this.#come(one, job)
    return job
  }

  /** Where it has its lock before, it is not waited for longer than Redis may be silent. */
  async #send(one: Prepared): Promise<Job> {
    const add = () => this.#host.add(one.item as Item)
    return await (one.adding === null ? this.#host.answering.call(add, 0, job => this.#come(one, job)) : add())
  }

  async #sendAll(items: readonly Item[], all: readonly (Prepared | null)[]): Promise<Job[]> {
    const add = () => this.#host.addBulk(items)
    const come = async (jobs: readonly Job[]) => {
      await Promise.all(all.map((one, k) => (one?.adding === null ? this.#come(one, jobs[k] as Job) : null)))
    }
    const apart = all.every(one => one?.adding === null)
    const jobs = await (apart ? this.#host.answering.call(add, all.length, come) : add())
    await come(jobs)
    return jobs
  }

  /** A job whose lock was taken before has come into the queue. Never rejects. */
  async #come({ trigger, answer }: Prepared, job: Job | null): Promise<void> {
    if (job === null || job.id !== trigger.jobId) return
    const { solo, lives, singleton } = this.#host
    await removeIfDisplaced({ locks: solo.jobs, lives, singleton }, trigger, answer, job)
  }

  #fusedly(trigger: Trigger, strategy: JobStrategy | null): Prepared {
    const { todo, fused, actions } = this.#recipes.of(trigger.definition, strategy)
    const terms = fused + trigger.lock
    const freshId = trigger.hasOwnId ? trigger.underFreshId().jobId : ''
    const adding: Adding = {
      terms,
      todo,
      meta: trigger.meta,
      freshId,
      flow: null,
      owner: trigger.owner,
      answer: null,
      sent: false,
    }
    const item = this.#itemOf(trigger, terms, adding)
    return { trigger, strategy, actions, adding, answer: null, item, guaranteed: true, error: null }
  }

  /**
   * Takes the lock, or a place in its queue, by a step of its own.
   *
   * @param beside where it is one of several jobs of a call
   * @param left what it has left before, where it comes back to that
   */
  async #apartly(
    first: Trigger,
    strategy: JobStrategy | null,
    { known, busy, holding, error }: Look,
    beside: Beside | null,
    left: Later['left'] = null,
  ): Promise<Prepared | Later> {
    const { actions, apart } = this.#recipes.of(first.definition, strategy)
    const terms = apart + first.lock
    const base = { trigger: first, strategy, actions, adding: null, answer: null, item: null } as const
    try {
      if (error !== null) throw error
      if (known && !goesOn(strategy)) {
        if (known === 'soon') return new Later(first)
        const parent = strategy === 'reject' ? null : parentOf(first.opts)
        if (parent !== null) await this.checkAbove(first, parent, true)
        const answer = await knownAnswer(this.#host.lives, first)
        const item = strategy === 'reject' ? null : this.#itemOf(first, terms, null)
        return { ...base, answer, item, guaranteed: true, error: null }
      }
      // What follows another job has an id of its own: with that of its caller it could not be told from an earlier trigger.
      const { mode, limit } = first.definition
      const behind = mode !== 'whileExecuting' && (beside?.before ?? 0) > 0
      const full = limit === null || actions.begins || holding + (beside?.before ?? 0) >= limit
      // Where only runs exclude each other it is told by its id alone, and claims nothing yet.
      const claims = mode !== 'whileExecuting' || actions.running !== 'wait'
      const met = left === null && first.hasOwnId && (known !== false || (busy && claims) || (behind && full))
      const fresh = met ? first.underFreshId() : first
      // A function decides first, by what is met.
      const told =
        strategy !== null && strategy !== 'reject' && first.hasParent
          ? await placeForParent(this.#placing(), fresh, strategy, actions, beside)
          : await this.#apart.trigger(fresh, strategy ?? 'join', actions, beside, left)
      if (told instanceof Later) return told
      const { trigger, answer } = told
      const { course } = answer
      const inLine = course === 'queued' ? waitingInLine(terms, answer.asks === true) : terms
      const item = course === 'granted' || course === 'queued' ? this.#itemOf(trigger, inLine, null) : null
      return { trigger, strategy, actions, adding: null, answer, item, guaranteed: true, error: null }
    } catch (error) {
      const down = error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE'
      if (!down || this.#host.onBackendFault === 'fail') {
        return { ...base, guaranteed: true, error: asSoloistError(error, true) }
      }
      this.#host.singleton.emit('fault', { during: 'trigger', error, id: first.jobId })
      return { ...base, item: this.#itemOf(first, terms, null), guaranteed: false, error: null }
    }
  }

  async #conclude(item: Item, one: Prepared, job: Job | null): Promise<A> {
    const { strategy, guaranteed, trigger, adding } = one
    const answer = one.answer ?? adding?.answer ?? null
    if (answer === null) return this.#answer(item, trigger, job, started(job?.id ?? trigger.jobId, guaranteed))
    if (one.adding === null && job !== null && job.id !== trigger.jobId && answer.course !== 'known') {
      // BullMQ's own deduplication turned it away.
      await this.afterFailure.giveUp(trigger)
      return this.#answer(item, trigger, job, { status: 'duplicate', id: job.id as string, guaranteed })
    }
    if (strategy === null && (answer.course === 'met' || answer.course === 'known')) {
      return await this.#decided(item, trigger, answer)
    }
    let conclusion: Conclusion
    try {
      conclusion = conclude(trigger, strategy ?? 'join', answer)
    } catch (error) {
      this.#tellStrangers(trigger, answer)
      this.#host.singleton.count(trigger.name, 'duplicate')
      throw error
    }
    const { outcome, of } = conclusion
    this.#tellStrangers(trigger, answer)
    if (of === null) return this.#answer(item, trigger, job, outcome)
    if (of === '') return this.#answer(item, trigger, null, outcome)
    const parsed = parseOwner(of)
    const live = parsed === null ? null : await this.#found(parsed, trigger)
    return this.#answer(item, trigger, live, outcome)
  }

  /** The job that stands for one that was not added. That it does is so, whether or not it can be read. */
  async #found(owner: Owner, { jobId: id }: Trigger): Promise<Job | null> {
    try {
      return await this.#host.lives.find(owner)
    } catch (error) {
      this.#host.singleton.emit('fault', { during: 'add', error, id })
      return null
    }
  }

  /** What met a live job is decided by the function that its definition has for that. */
  async #decided(item: Item, trigger: Trigger, answer: Answer): Promise<A> {
    const { strategy, name } = trigger.definition
    const { outcome } = conclude(trigger, 'join', answer)
    if (typeof strategy !== 'function') throw invalid('no strategy')
    const { id, state = 'queued', ageMs = null } = outcome
    const met = { name, id, state, ageMs, data: trigger.data }
    let chosen: unknown
    try {
      chosen = await strategy(met)
    } catch (cause) {
      throw new SoloistError('INVALID_ARGUMENT', 'onDuplicate threw', { cause })
    }
    checkStrategy('what onDuplicate returned', chosen)
    return await this.#add(item, new Trigger(trigger.definition, trigger.queue, item), chosen as JobStrategy)
  }

  /** Counts what became of a trigger, and answers it. */
  #answer(item: Item, trigger: Trigger, job: Job | null, outcome: SingletonOutcome): A {
    this.#host.singleton.count(trigger.name, outcome.status)
    return this.#host.answer(item, job, outcome)
  }

  #tellStrangers(trigger: Trigger, { running, pending }: Answer): void {
    for (const run of [running, pending]) {
      if (run?.strange !== true) continue
      const { name, lock } = trigger
      const id = parseOwner(run.owner)?.jobId ?? run.owner
      this.#host.onStranger(lock)
      this.#host.singleton.emit('lapsed', { name, id, lock, action: 'runs' })
    }
  }

  /** Waits for a while till the queue is connected and its Redis answers. @returns whether lock and job are one step */
  async #ready(): Promise<boolean> {
    const { answering, ask } = this.#host
    if (await this.#connecting.connected()) return true
    if (!answering.isReady) await answering.ready(ask)
    return false
  }

  #itemOf({ name, data, opts, jobId }: Trigger, terms: string, adding: Adding | null): Item {
    const added: Record<string | symbol, unknown> = { ...opts, jobId, singleton: terms }
    added[ADDING] = adding ?? UNLOCKED
    return { name, data, opts: added as JobsOptions }
  }
}

/** BullMQ leaves out a job that cannot be sent, and gives the ids of the jobs behind it to the wrong ones. */
function checkBeside(items: readonly Item[], triggers: readonly (Trigger | null)[]): void {
  if (triggers.every(trigger => trigger === null)) return
  for (const [i, { opts }] of items.entries()) if (triggers[i] === null) checkValues(opts ?? {})
}

/** Whether a job whose id is known is added under another one. */
function goesOn(strategy: JobStrategy | null): boolean {
  return strategy === 'rerun' || strategy === 'replace' || strategy === 'delay' || strategy === null
}

/** `null`: it is decided when a live job is met. */
function fixedStrategy({ strategy }: Definition): JobStrategy | null {
  return typeof strategy === 'function' ? null : strategy
}
