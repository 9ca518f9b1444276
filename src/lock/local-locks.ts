import type { Timer } from '../internal/clock.js'
import type { Flight, Lane, PendingStep } from './calls/steps.js'

/** The map of locks is a new one after so many locks were made for each that it has, and so many at least. */
const MADE_FOR_EACH = 4
const MADE_AT_LEAST = 512

/** What stands for one claim in this client: a call that waits, a lease, or what is left of one. */
export interface Standing {
  readonly owner: string
}

/** A claim that was left to run out, or that was handed on. */
export class Expiring implements Standing {
  readonly owner: string
  readonly timer: Timer

  constructor(owner: string, timer: Timer) {
    this.owner = owner
    this.timer = timer
  }
}

/** One lock as this client knows it: who stands for claims on it, and its steps that are on their way. */
export class LocalLock implements Lane {
  readonly name: string
  flight: Flight | null = null
  parked: PendingStep[] | null = null
  steps = 0
  waiters = 0
  /** The grant with the highest fence that this client was told of, and when; `null`: none. */
  told: { readonly owner: string; readonly fence: number; readonly atMs: number } | null = null
  readonly #locks: LocalLocks
  /** Nearly every lock has one claim here. */
  #only: Standing | null = null
  /** By owner, when there are more. */
  #all: Map<string, Standing> | null = null

  constructor(name: string, locks: LocalLocks) {
    this.name = name
    this.#locks = locks
  }

  find(owner: string): Standing | undefined {
    if (this.#all !== null) return this.#all.get(owner)
    return this.#only?.owner === owner ? this.#only : undefined
  }

  /** Stands for its owner's claim from now on, instead of what did before. */
  put(standing: Standing): void {
    if (this.#all !== null) this.#all.set(standing.owner, standing)
    else if (this.#only === null || this.#only.owner === standing.owner) this.#only = standing
    else {
      this.#all = new Map([
        [this.#only.owner, this.#only],
        [standing.owner, standing],
      ])
      this.#only = null
    }
  }

  /** Nothing stands for this claim any more, unless something else does by now. */
  remove(standing: Standing): void {
    if (this.find(standing.owner) !== standing) return
    if (this.#all === null) this.#only = null
    else {
      this.#all.delete(standing.owner)
      if (this.#all.size === 0) this.#all = null
    }
    this.#forgetIfIdle()
  }

  standing(): Iterable<Standing> {
    return this.#all?.values() ?? (this.#only === null ? [] : [this.#only])
  }

  /** This client was told of a grant. */
  granted(owner: string, fence: number, atMs: number): void {
    if (this.told === null || fence > this.told.fence) this.told = { owner, fence, atMs }
  }

  idle(): void {
    this.#forgetIfIdle()
  }

  #forgetIfIdle(): void {
    if (this.steps === 0 && this.#only === null && this.#all === null) this.#locks.forget(this.name)
  }
}

/** Every lock that one client has to do with at this moment. */
export class LocalLocks {
  #locks = new Map<string, LocalLock>()
  /** How many were made since the map is a new one. */
  #made = 0

  /** The lock of this name, made when it is not known. */
  at(name: string): LocalLock {
    let lock = this.#locks.get(name)
    if (lock === undefined) {
      lock = new LocalLock(name, this)
      // Where locks come and go a map makes itself new tables, and each that it gave up points to the next: once one is old,
      // all that come after it outlive many garbage collections. A new map begins without them.
      if (this.#made >= MADE_FOR_EACH * this.#locks.size + MADE_AT_LEAST) {
        this.#locks = new Map(this.#locks)
        this.#made = 0
      }
      this.#made += 1
      this.#locks.set(name, lock)
    }
    return lock
  }

  /** Nothing is known of the lock any more. */
  forget(name: string): void {
    this.#locks.delete(name)
  }

  find(name: string, owner: string): Standing | undefined {
    return this.#locks.get(name)?.find(owner)
  }

  /** Everything that stands for a claim, as of now. */
  standing(): readonly Standing[] {
    const all: Standing[] = []
    for (const lock of this.#locks.values()) for (const standing of lock.standing()) all.push(standing)
    return all
  }
}
