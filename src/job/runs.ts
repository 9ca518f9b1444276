import type { JobStrategy } from '../internal/job-modes.js'
import type { HeldLease } from '../lock/holding/lease.js'
import type { Locker } from '../lock/locker.js'
import type { JobLocks } from './locks.js'
import type { JobDefinition } from './options.js'
import type { Hold, Place } from './places.js'
import { type Settled, settle, settledFrom, takenOverBy, unavailable, unwrap } from './result.js'
import { execute, type RunEnd } from './run.js'
import { type Entered, outcomeOf, type Reenter, type Trigger } from './trigger.js'

/**
 * A run of this process, executing or about to, that other triggers of this process join without a call to the backend.
 */
interface Local<R> {
  readonly id: string
  readonly state: 'queued' | 'running'
  /** While it is valid, no other job of this key can be the live one. */
  readonly lease: HeldLease
  readonly settled: Promise<Settled<R>>
}

/** A run that waits for its turn. */
export interface Waiting<A> {
  readonly trigger: Trigger<A>
  readonly id: string
  readonly args: A
  readonly place: Place
  /** The slot of the one pending run; `null` for one of several that wait. */
  readonly slot: HeldLease | null
  /** What to do if the run that takes this one over dies. */
  readonly strategy: JobStrategy
}

/** The runs of one job that this process executes, and those of other processes that its triggers rely on. */
export class Runs<A, R> {
  readonly #locker: Locker
  readonly #jobs: JobLocks
  readonly #definition: JobDefinition<A, R>
  readonly #reenter: Reenter<A, R>
  /** By key. */
  readonly #local = new Map<string, Local<R>>()
  /** By id. */
  readonly #executing = new Map<string, Promise<RunEnd<R>>>()
  /** By the id of the run that is followed, and the strategy by which the trigger starts anew if that run dies. */
  readonly #covering = new Map<string, Promise<Settled<R>>>()

  constructor(locker: Locker, jobs: JobLocks, definition: JobDefinition<A, R>, reenter: Reenter<A, R>) {
    this.#locker = locker
    this.#jobs = jobs
    this.#definition = definition
    this.#reenter = reenter
  }

  /** Executes a run. */
  async run(trigger: Trigger<A>, id: string, args: A, hold: Hold): Promise<Settled<R>> {
    const { names, places } = trigger
    const stop = this.#definition.stops ? names.stop : null
    const end = execute(this.#locker, this.#definition, { id, args, hold, stop })
    this.#executing.set(id, end)
    const settled = end.then(({ settled }) => settled)
    // Elsewhere a run that executes is no duplicate, or one only for its period.
    if (!places.periodic && !places.gated)
      this.#offer(trigger.key, { id, state: 'running', lease: hold.lease, settled })
    const ended = await end
    this.#executing.delete(id)
    const { name: job } = this.#definition
    if (ended.lapsed) this.#jobs.count(job, 'lapsed')
    if (!ended.settled.ok) {
      const { error } = ended.settled
      this.#locker.news.tell('jobFailed', { job, key: trigger.key, id, error })
    }
    return ended.settled
  }

  /** Waits for a run's turn, and runs it, unless a newer one takes it over. */
  async standBy(waiting: Waiting<A>): Promise<Settled<R>> {
    const { trigger, slot } = waiting
    const settled = settle(this.#standBy(waiting))
    if (slot !== null && trigger.places.gated) {
      this.#offer(trigger.key, { id: waiting.id, state: 'queued', lease: slot, settled })
    }
    return await settled
  }

  /** A run of this process that a trigger with this key joins now. */
  joinable(key: string): Entered<R> | null {
    const local = this.#local.get(key)
    if (local === undefined || !local.lease.valid) return null
    const { id, state, lease, settled } = local
    const met = { id, state, ageMs: Math.round(lease.heldMs), dead: false } as const
    return { outcome: outcomeOf('duplicate', id, met), settled, waits: true }
  }

  /** How the run `id` ends, wherever it is. If it dies the trigger starts anew, by `strategy`. */
  cover(trigger: Trigger<A>, id: string, strategy: JobStrategy): Promise<Settled<R>> {
    const key = `${strategy} ${id}`
    let end = this.#covering.get(key)
    if (end === undefined) {
      end = settle(this.#cover(trigger, id, strategy)).finally(() => this.#covering.delete(key))
      this.#covering.set(key, end)
    }
    return end
  }

  async #standBy(waiting: Waiting<A>): Promise<R> {
    const { trigger, id, args, place, strategy } = waiting
    let turn: Hold | string
    try {
      turn = await this.#turn(waiting)
    } catch (error) {
      place.leave()
      throw error
    }
    if (typeof turn !== 'string') return unwrap(await this.run(trigger, id, args, turn))
    place.leave()
    return unwrap(await this.cover({ ...trigger, args }, turn, strategy))
  }

  /** What the run needs, once it is its turn, or the id of the run that took it over. */
  async #turn({ place, slot }: Waiting<A>): Promise<Hold | string> {
    if (slot === null) return await place.held
    try {
      const first = await Promise.race([place.held, this.#takenOver(slot)])
      if (typeof first === 'string') return first
      // Whoever changed what this run is to do has done so before this release, or finds the slot free.
      if (await slot.releaseWith(null)) return first
      return (await this.#whoTook(slot)) ?? first
    } finally {
      await slot[Symbol.asyncDispose]()
    }
  }

  /** The id of the run that takes over this slot; never settles if none does. */
  async #takenOver(slot: HeldLease): Promise<string> {
    const ending = await this.#locker.watching.until(slot.name, slot.owner)
    const by = ending.status === 'result' ? takenOverBy(ending.text) : null
    return by ?? (await new Promise<never>(() => {}))
  }

  async #whoTook(slot: HeldLease): Promise<string | null> {
    const reply = await this.#locker.watching.look(slot.name, slot.owner)
    return reply.status === 'result' ? takenOverBy(reply.text) : null
  }

  async #cover(trigger: Trigger<A>, id: string, strategy: JobStrategy): Promise<R> {
    const end = await this.#follow(trigger, id)
    if (end !== null) return unwrap(end)
    if (trigger.lives === 0) throw unavailable(id, 'it vanished with its process, as those before it did')
    const again = await this.#reenter({ ...trigger, lives: trigger.lives - 1 }, strategy)
    if (again.outcome.status !== 'duplicate') this.#jobs.count(this.#definition.name, 'recovered')
    return unwrap(await again.settled)
  }

  /** How a run ended, or the one that took it over; `null` when it vanished. */
  async #follow({ places }: Trigger<A>, id: string): Promise<Settled<R> | null> {
    const { watching } = this.#locker
    const { ttlMs } = this.#definition
    let current = id
    for (;;) {
      const here = this.#executing.get(current)
      if (here !== undefined) {
        const { settled, lapsed } = await here
        return lapsed ? null : settled
      }
      const run = await watching.until(places.live.name, current, ttlMs)
      if (run.status === 'result') return settledFrom(run.text, current)
      const pending = await watching.until(places.slot, current, ttlMs)
      const next = pending.status === 'result' ? takenOverBy(pending.text) : null
      if (next !== null) {
        current = next
        continue
      }
      // Between the two calls it may have given up the slot and begun to run.
      const later = await watching.until(places.live.name, current, ttlMs)
      return later.status === 'result' ? settledFrom(later.text, current) : null
    }
  }

  #offer(key: string, local: Local<R>): void {
    this.#local.set(key, local)
    const withdraw = () => {
      if (this.#local.get(key) === local) this.#local.delete(key)
    }
    local.settled.then(withdraw)
  }
}
