import { EventEmitter } from 'node:events'
import type { LockState } from '../backend.js'
import { SoloistError } from '../errors.js'
import { onAbort } from '../internal/abort.js'
import { checkMs, checkOptionNames, checkOptions, checkSignal, checkText, type OptionNames } from '../internal/check.js'
import { soon } from '../internal/real-time.js'
import { returnable } from '../internal/returnable.js'
import { outsideBlocks } from '../lock/holding/blocks.js'
import type { Locker } from '../lock/locker.js'
import { exclusive } from '../lock/request.js'
import { aborted } from '../lock/waiting/patience.js'
import { type LeaderLocks, leaderLocks } from './names.js'
import { HeldTerm, type Term } from './term.js'

/** The length of a term's lease when the caller names none. */
const DEFAULT_TTL_MS = 10_000
/** After a candidature that the store failed, the next one follows within this long, and not before half of it. */
const RETRY_MS = 1_000
/** While nobody leads, who observes looks this often. */
const LOOK_MS = 500
/** The shortest time between two questions after a leader. */
const SHORTEST_LOOK_MS = 100
/** How often a leader is asked to resign that has not given way yet. */
const ASKS = 24
/** What lies between, at first and at most: about a second in all. */
const ASK_AGAIN_MS = 5
const LONGEST_ASK_AGAIN_MS = 50

/** How a candidate stands. Every field is optional. */
export interface LeaderOptions {
  /**
   * How long after the leader's death another one is elected, in milliseconds; default 10,000, at most 24 days. The term
   * is renewed at a third of this.
   */
  readonly ttlMs?: number | undefined
  /** What others are shown of this candidate while it leads, such as its address: up to 1 KiB; default nothing. */
  readonly value?: string | undefined
}

/** How one call waits. */
export interface CampaignOptions {
  /** Ends the wait with `ABORTED`; a term that was won is not affected. */
  readonly signal?: AbortSignal | undefined
}

/** The leader, as everybody sees it. Times are those of the store's clock. */
export interface LeaderState {
  readonly owner: string
  readonly fence: number
  readonly value: string | null
  readonly electedAt: Date
  /** When the term ends unless it is renewed. */
  readonly expiresAt: Date
}

/** The events of a {@link Leader}. */
export interface LeaderEvents {
  /** This candidate leads. */
  elected: [Term]
  /** A term of this candidate is over. `reason`: how it was lost; `null` when it resigned, by itself or on request. */
  lost: [{ readonly term: Term; readonly reason: SoloistError | null }]
}

const OPTION_NAMES: OptionNames<LeaderOptions> = { ttlMs: true, value: true }
const SIGNAL_NAMES: OptionNames<CampaignOptions> = { signal: true }

/** Somebody waits for a term of this candidate. */
interface Caller {
  resolve(term: Term): void
  reject(error: unknown): void
}

/**
 * One candidate for a leadership, and a view of who leads. Made by `solo.leader`; it does nothing before it is asked to.
 *
 * Emits `elected` and `lost` ({@link LeaderEvents}).
 */
export class Leader extends EventEmitter<LeaderEvents> implements AsyncDisposable {
  readonly name: string
  readonly #locker: Locker
  readonly #locks: LeaderLocks
  readonly #ttlMs: number
  readonly #value: string | null
  #term: HeldTerm | null = null
  /** Withdraws the present candidature; `null`: this is no candidate. */
  #standing: AbortController | null = null
  readonly #callers = new Set<Caller>()

  constructor(locker: Locker, name: string, options: LeaderOptions = {}) {
    const locks = leaderLocks(name)
    checkOptions(options)
    checkOptionNames(options, OPTION_NAMES)
    const { ttlMs, value } = options
    super()
    this.name = name
    this.#locker = locker
    this.#locks = locks
    this.#ttlMs = ttlMs === undefined ? DEFAULT_TTL_MS : checkMs('ttlMs', ttlMs, 1)
    this.#value = value === undefined ? null : checkText('value', value)
  }

  /** Whether this candidate leads at this moment, judged by the clock: also right after the event loop was blocked. */
  get isLeader(): boolean {
    return this.#term?.isValid ?? false
  }

  /** The term of this candidate, while it leads. */
  get term(): Term | null {
    return this.isLeader ? this.#term : null
  }

  /**
   * Stands as a candidate until `resign()`: candidates lead in the order they came. A term that is lost, or that somebody
   * asked to resign, is followed by a new candidature at the end of the queue.
   *
   * Held after abort or rejection: nothing, and this is no candidate any more; unless another call waits for a term, which
   * then goes on standing. A store that does not answer does not end the wait.
   *
   * @returns the present term, or the next one
   * @throws SoloistError `ABORTED` when the signal fired or `resign()` was called; `INVALID_ARGUMENT`; `CLOSED`
   */
  async campaign(options: CampaignOptions = {}): Promise<Term> {
    const signal = checkedSignal(options)
    if (signal?.aborted) throw aborted(signal)
    if (this.isLeader) return this.#term as Term
    return await new Promise<Term>((resolve, reject) => {
      const caller: Caller = {
        resolve: term => this.#settled(caller, stop, () => resolve(term)),
        reject: error => this.#settled(caller, stop, () => reject(error)),
      }
      this.#callers.add(caller)
      let stop = () => {}
      if (signal !== null) {
        stop = onAbort(signal, () => {
          caller.reject(aborted(signal))
          if (this.#callers.size === 0 && this.#term === null) this.#withdraw()
        })
      }
      this.#stand()
    })
  }

  /**
   * Ends the candidature, and the term if there is one: its signal fires, and the lock is handed to the next candidate in
   * one message.
   *
   * Held after abort or rejection: the term is over here in any case; what the store holds of it runs out after `ttlMs`.
   *
   * @throws SoloistError `BACKEND_UNAVAILABLE` when there was no answer
   */
  async resign(): Promise<void> {
    const term = this.#term
    this.#withdraw()
    const reason = new SoloistError('ABORTED', `this candidate for ${JSON.stringify(this.name)} resigned`)
    for (const caller of [...this.#callers]) caller.reject(reason)
    await term?.resign('resigned')
  }

  /**
   * Asks whoever leads, in this process or any other, to resign. It does so as soon as it hears of it, hands over to the
   * next candidate, and stands again behind all others. Resolves when it has, or after about a second: the leader may be
   * stopped, or its event loop blocked.
   *
   * Held after abort or rejection: what was held before; the leader may have been asked.
   *
   * @returns whether there was a leader that was told, or gave way meanwhile
   * @throws SoloistError `BACKEND_UNAVAILABLE` or `CLOSED`
   */
  async requestResign(): Promise<boolean> {
    const asked = await this.current()
    if (asked === null) return false
    const { owner } = asked
    const { term, stop } = this.#locks
    const over = new AbortController()
    const heard = this.#locker.watching.hear(term, owner)
    // Where the store is away, the questions below say so.
    heard.ending.then(
      () => over.abort(),
      () => over.abort(),
    )
    try {
      let told = false
      for (let asks = 0; asks < ASKS; asks += 1) {
        // A leader holds `stop` a little later than its term. One that did not hear that it was granted takes it once more,
        // and has not heard then that somebody released it. Or somebody else has asked.
        told = (await this.#locker.release({ name: stop, owner })) || told
        await this.#pause(Math.min(ASK_AGAIN_MS * 2 ** asks, LONGEST_ASK_AGAIN_MS), over.signal)
        if ((await this.current())?.owner !== owner) return true
      }
      return told
    } finally {
      heard.leave()
    }
  }

  /**
   * Who leads now; `null`: nobody.
   *
   * Held after abort or rejection: what was held before; it only looks.
   */
  async current(): Promise<LeaderState | null> {
    return stateOf(await this.#locker.inspect(this.#locks.term))
  }

  /**
   * Every term from now on, the present one first; `null` whenever nobody leads. A term that was short may be left out.
   * A change by `resign()` is told at once, one by a leader's death within `ttlMs` and a beat of the store, 4 seconds at
   * most. It ends when the loop is left, and `return()` ends it at once, also while it waits for the next term.
   *
   * Held after abort or rejection: what was held before; it only looks.
   *
   * @throws SoloistError `ABORTED` when the signal fired; `BACKEND_UNAVAILABLE` after an outage of about 30 seconds;
   *   `CLOSED`
   */
  observe(options: CampaignOptions = {}): AsyncGenerator<LeaderState | null, void, undefined> {
    return returnable(returned => this.#observe(options, returned))
  }

  /** As `resign()`, but reports a failure as a `fault` event. */
  async [Symbol.asyncDispose](): Promise<void> {
    const term = this.#term
    try {
      await this.resign()
    } catch (error) {
      if (term !== null) this.#locker.onReleaseFault(term.lease, error)
    }
  }

  async *#observe(
    options: CampaignOptions,
    returned: AbortController,
  ): AsyncGenerator<LeaderState | null, void, undefined> {
    const signal = checkedSignal(options)
    let last: LeaderState | null | undefined
    while (!returned.signal.aborted) {
      if (signal?.aborted) throw aborted(signal)
      const state = await this.#locker.inspect(this.#locks.term)
      const leader = stateOf(state)
      if (last === undefined || leader?.owner !== last?.owner || leader?.fence !== last?.fence) {
        last = leader
        yield leader
        continue
      }
      const ended = new AbortController()
      const stops = [returned.signal, ...(signal === null ? [] : [signal])].map(each =>
        onAbort(each, () => ended.abort()),
      )
      try {
        await this.#change(state, leader, ended.signal)
      } catch (error) {
        if (!ended.signal.aborted) throw error
      } finally {
        for (const stop of stops) stop()
      }
    }
  }

  /** Resolves when there may be another leader. */
  async #change(state: LockState | null, leader: LeaderState | null, signal: AbortSignal | null): Promise<void> {
    if (state === null || leader === null) return await this.#pause(LOOK_MS, signal)
    const leftMs = Math.max(leader.expiresAt.getTime() - state.atMs, SHORTEST_LOOK_MS)
    await this.#locker.watching.until(this.#locks.term, leader.owner, leftMs, signal)
  }

  #settled(caller: Caller, stop: () => void, settle: () => void): void {
    if (!this.#callers.delete(caller)) return
    stop()
    settle()
  }

  #withdraw(): void {
    const standing = this.#standing
    this.#standing = null
    standing?.abort()
  }

  #stand(): void {
    if (this.#standing !== null) return
    const standing = new AbortController()
    this.#standing = standing
    // A candidature belongs to no block that it was begun in.
    outsideBlocks(() => this.#campaign(standing)).catch((error: unknown) => {
      if (this.#standing !== standing) return
      this.#standing = null
      for (const caller of [...this.#callers]) caller.reject(error)
    })
  }

  async #campaign(standing: AbortController): Promise<void> {
    const { signal } = standing
    while (this.#standing === standing) {
      const term = await this.#elected(signal)
      if (term === null) continue
      if (this.#standing !== standing) return await term[Symbol.asyncDispose]()
      if (!term.isValid) {
        // It was over before anybody was told of it.
        const reason = await term.over
        if (reason?.code === 'CLOSED') throw reason
        continue
      }
      this.#term = term
      this.#tell('elected', term)
      for (const caller of [...this.#callers]) caller.resolve(term)
      const reason = await term.over
      this.#term = null
      this.#tell('lost', { term, reason })
      if (reason?.code === 'CLOSED') throw reason
    }
  }

  /** Waits for a term; `null`: the store failed, and it is to be tried again. */
  async #elected(signal: AbortSignal): Promise<HeldTerm | null> {
    const { term, stop } = this.#locks
    const owner = this.#locker.newOwner()
    const how = { ttlMs: this.#ttlMs, waitMs: Infinity, holdForMs: 0, meta: this.#value, noted: true, signal, owner }
    try {
      return new HeldTerm(this.#locker, this.name, stop, await this.#locker.acquire({ ...exclusive(term), ...how }))
    } catch (error) {
      if (!(error instanceof SoloistError) || error.code !== 'BACKEND_UNAVAILABLE') throw error
      this.#locker.news.fault({ name: term, owner }, 'exclusive', 'wait', error)
      await this.#pause(RETRY_MS * (0.5 + this.#locker.random() / 2), signal)
      return null
    }
  }

  /** Resolves after so long, or sooner when the signal fires. @throws SoloistError `CLOSED` */
  #pause(delayMs: number, signal: AbortSignal | null): Promise<void> {
    return this.#locker.pause(delayMs, signal)
  }

  #tell<E extends keyof LeaderEvents>(event: E, detail: LeaderEvents[E][0]): void {
    // A listener that throws is an uncaught exception of the application, and no end of the candidature.
    const emitter = this as EventEmitter
    soon(() => outsideBlocks(() => emitter.emit(event, detail)))
  }
}

function checkedSignal(options: CampaignOptions): AbortSignal | null {
  checkOptions(options)
  checkOptionNames(options, SIGNAL_NAMES)
  return options.signal === undefined ? null : checkSignal(options.signal)
}

function stateOf(state: LockState | null): LeaderState | null {
  const [holder] = state?.holders ?? []
  if (holder === undefined) return null
  const { owner, fence, meta, acquiredAtMs, expiresAtMs } = holder
  return {
    owner,
    fence,
    value: meta,
    electedAt: new Date(acquiredAtMs ?? 0),
    expiresAt: new Date(expiresAtMs ?? 8.64e15),
  }
}
