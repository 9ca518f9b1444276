import { EventEmitter } from 'node:events'
import { invalidArgument, LockTimeoutError, SoloistError } from '../errors.js'
import { checkNoMore } from '../internal/check.js'
import type { Timer } from '../internal/clock.js'
import { soon } from '../internal/real-time.js'
import { outsideBlocks } from '../lock/holding/blocks.js'
import type { HeldLease } from '../lock/holding/lease.js'
import type { Locker } from '../lock/locker.js'
import { exclusive } from '../lock/request.js'
import { lockerOf, type Soloist } from '../soloist.js'
import { changeEntry, type Entry, readEntry } from './entry.js'
import { type CronLocks, checkCronName, cronLocks } from './names.js'
import { type CheckedCron, type CronOptions, checkCron } from './options.js'
import type { TickOutcome } from './outcome.js'
import { Pattern } from './pattern.js'
import { note, type RunOrder, runTick, type TickWork } from './run.js'
import { claimTick, clockOffsetMs, type Tick, TickHold } from './tick.js'

/** The longest time without a look at the clock, which may be set, or have gone on while the machine slept. */
const LONGEST_SLEEP_MS = 30_000
/** After a question that failed the next one follows within this long, and not before half of it. */
const RETRY_MS = 1_000
/** A clock that is set back by more than this is looked at anew. */
const SET_BACK_MS = 1_000

/** What is told of one tick. */
interface TickEvent {
  readonly name: string
  readonly scheduledAt: Date
}

/** The events of a {@link CronSchedule}. */
export interface CronEvents {
  /** This instance came to a tick, and this became of it. */
  tick: [TickEvent & { readonly caughtUp: boolean; readonly outcome: TickOutcome<unknown> }]
  /** A run of this instance failed, or lost its lease. Without a listener it is a warning of the process. */
  failed: [TickEvent & { readonly error: unknown }]
  /** Ticks from one time until another were due more than `lateMs` ago when this instance came to them. */
  missed: [{ readonly name: string; readonly from: Date; readonly until: Date }]
  /** The store failed; it is asked again until the tick is older than `lateMs`. */
  fault: [{ readonly name: string; readonly scheduledAt: Date | null; readonly error: unknown }]
  /**
   * The store's clock is ahead of this instance's by more than the time between two ticks, or behind when negative. Told
   * once. Without a listener it is a warning of the process.
   */
  clock: [{ readonly name: string; readonly offsetMs: number; readonly intervalMs: number }]
}

/** The names of the jobs that a client runs. */
const scheduled = new WeakMap<Locker, Set<string>>()

/**
 * Runs `handler` at every tick of a pattern, on one of all the instances that call this with the same name.
 *
 * @param pattern as croner reads it: five fields, or six that begin with seconds
 * @throws SoloistError `INVALID_ARGUMENT`, also when this client runs a job of this name already; `BACKEND_UNAVAILABLE`
 *   when croner is not installed; `CLOSED`
 */
export function cron(solo: Soloist, name: string, pattern: string, handler: TickWork<unknown>): CronSchedule
export function cron(
  solo: Soloist,
  name: string,
  pattern: string,
  options: CronOptions,
  handler: TickWork<unknown>,
): CronSchedule
export function cron(
  solo: Soloist,
  name: string,
  pattern: string,
  first: CronOptions | TickWork<unknown>,
  second?: TickWork<unknown>,
): CronSchedule {
  const [options, handler] = typeof first === 'function' ? [{}, first] : [first, second]
  if (typeof first === 'function') checkNoMore('cron takes its options before the function', [second])
  if (typeof handler !== 'function') throw invalidArgument('cron needs a function to run')
  const locker = lockerOf(solo)
  locker.assertTakesWork()
  return new CronSchedule(locker, checkCronName(name), pattern, checkCron(options), handler)
}

/** A cron job, as one instance runs it. Made by {@link cron}. Emits {@link CronEvents}. */
export class CronSchedule extends EventEmitter<CronEvents> implements AsyncDisposable {
  readonly name: string
  readonly pattern: string
  readonly #locker: Locker
  readonly #locks: CronLocks
  readonly #options: CheckedCron
  readonly #handler: TickWork<unknown>
  readonly #times: Pattern
  /** Ends what waits. */
  readonly #stopping = new AbortController()
  readonly #stopListening: () => void
  readonly #underWay = new Set<Promise<void>>()
  /** The next tick that this instance comes to; `null`: there is none any more. */
  #nextMs: number | null
  #lookedMs: number
  #timer: Timer | null = null
  #toldOfClock = false

  /** @internal */
  constructor(locker: Locker, name: string, pattern: string, options: CheckedCron, handler: TickWork<unknown>) {
    const times = new Pattern(pattern, options.timezone)
    const nowMs = locker.clock.wallMs()
    const nextMs = times.next(nowMs)
    if (nextMs === null) throw invalidArgument('this cron pattern has no tick any more')
    super()
    this.name = name
    this.pattern = times.text
    this.#locker = locker
    this.#locks = cronLocks(name)
    this.#options = options
    this.#handler = handler
    this.#times = times
    this.#lookedMs = nowMs
    this.#nextMs = nextMs
    const names = scheduled.get(locker) ?? new Set()
    if (names.has(name)) throw invalidArgument('this client runs a cron job of this name already: stop that one first')
    scheduled.set(locker, names.add(name))
    this.#stopListening = locker.onClose(() => this.#halt())
    // It belongs to no block that it was begun in.
    outsideBlocks(() => {
      this.#track(this.#begin(nowMs))
      this.#arm()
    })
  }

  /** When the next tick is due, by this instance's clock; `null`: it was stopped, or there is none. */
  get next(): Date | null {
    if (this.#stopping.signal.aborted) return null
    const nextMs = this.#times.next(this.#locker.clock.wallMs())
    return nextMs === null ? null : new Date(nextMs)
  }

  /**
   * Comes to no more ticks. Resolves when the runs of this instance have ended; they are not aborted, and ticks that wait
   * for their turn are given up.
   *
   * Held after abort or rejection: it does not reject.
   */
  async stop(): Promise<void> {
    this.#halt()
    await Promise.all(this.#underWay)
  }

  /** As `stop()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #halt(): void {
    this.#timer?.cancel()
    this.#stopListening()
    scheduled.get(this.#locker)?.delete(this.name)
    this.#stopping.abort()
  }

  #arm(): void {
    if (this.#nextMs === null || this.#stopping.signal.aborted) return
    const delayMs = Math.min(this.#nextMs - this.#locker.clock.wallMs(), LONGEST_SLEEP_MS)
    this.#timer = this.#locker.clock.setTimer(delayMs, () => this.#look())
  }

  /** Comes to every tick that is due. */
  #look(): void {
    const nowMs = this.#locker.clock.wallMs()
    // The ticks of the time that comes again are kept by the store, or refused by its clock.
    if (nowMs < this.#lookedMs - SET_BACK_MS) this.#nextMs = this.#times.next(nowMs)
    this.#lookedMs = nowMs
    this.#miss(nowMs)
    while (this.#nextMs !== null && this.#nextMs <= nowMs) {
      const tickMs = this.#nextMs
      this.#nextMs = this.#times.next(tickMs)
      this.#come(tickMs, false)
    }
    this.#arm()
  }

  /** Passes over what is too old, and catches up with the last of it. */
  #miss(nowMs: number): void {
    const untilMs = nowMs - this.#options.lateMs
    if (this.#nextMs === null || this.#nextMs >= untilMs) return
    const from = new Date(this.#nextMs)
    const lastMs = this.#times.latest(untilMs - 1) as number
    this.#nextMs = this.#times.next(lastMs)
    this.#tell('missed', { name: this.name, from, until: new Date(lastMs) })
    // Those that are due and not too old come next, so none of what was missed is the last.
    if (this.#options.catchUp && (this.#nextMs === null || this.#nextMs > nowMs)) this.#come(lastMs, true)
  }

  /** Notes the job, and catches up with what was missed or left before. */
  async #begin(nowMs: number): Promise<void> {
    const { name } = this
    const known = await this.#insist(null, Infinity, async () => {
      const before = (await readEntry(this.#locker, name))?.entry ?? null
      // Of many that start, those behind the first have nothing to change.
      if (this.#planned(before, nowMs) !== null) {
        await changeEntry(this.#locker, name, entry => this.#planned(entry, nowMs))
      }
      const askedMs = this.#locker.clock.wallMs()
      const read = await readEntry(this.#locker, name)
      return read === null
        ? null
        : { ...read, offsetMs: clockOffsetMs(read.atMs, askedMs, this.#locker.clock.wallMs()) }
    })
    if (known === null) return
    const { entry, offsetMs } = known
    const { last } = entry
    const tickMs = this.#times.latest(nowMs)
    this.#compareClock(offsetMs, this.#nextMs)
    // It runs elsewhere, or its process died, perhaps when no other was up.
    if (this.#options.recovers && last !== undefined && last.result === undefined) this.#come(last.tick, true)
    const sinceMs = Math.max(last?.tick ?? 0, entry.since)
    if (this.#options.catchUp && tickMs !== null && tickMs > sinceMs) this.#come(tickMs, true)
  }

  /** What is known of the job, if that is to change. A job with another pattern has missed nothing. */
  #planned(entry: Entry | null, nowMs: number): Entry | null {
    const { timezone } = this.#options
    if (entry !== null && entry.pattern === this.pattern && entry.timezone === timezone) return null
    return { ...entry, since: nowMs, ...this.#plan() }
  }

  #plan(): Pick<Entry, 'pattern' | 'timezone' | 'next'> {
    const next = this.#times.next(this.#locker.clock.wallMs()) ?? undefined
    return { pattern: this.pattern, timezone: this.#options.timezone, next }
  }

  #come(tickMs: number, caughtUp: boolean): void {
    this.#track(this.#runOnce(tickMs, caughtUp))
  }

  #track(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => {
        // What was stopped is nobody's fault.
        if (this.#stopping.signal.aborted || (error instanceof SoloistError && error.code === 'CLOSED')) return
        this.#tell('fault', { name: this.name, scheduledAt: null, error })
      })
      .finally(() => this.#underWay.delete(done))
    this.#underWay.add(done)
  }

  async #runOnce(tickMs: number, caughtUp: boolean): Promise<void> {
    const { jitterMs, lateMs } = this.#options
    const { signal } = this.#stopping
    if (jitterMs > 0) await this.#locker.pause(jitterMs * this.#locker.random(), signal)
    if (signal.aborted) return
    const owner = this.#locker.newOwner()
    const scheduledAt = new Date(tickMs)
    const untilMs = (caughtUp ? this.#locker.clock.wallMs() : tickMs) + lateMs
    const outcome = await this.#insist(scheduledAt, untilMs, () => this.#attempt(tickMs, caughtUp, owner))
    if (outcome === null) return
    const { name } = this
    this.#tell('tick', { name, scheduledAt, caughtUp, outcome })
    if (outcome.status !== 'failed' && outcome.status !== 'lost') return
    const { error } = outcome
    if (this.listenerCount('failed') > 0) this.#tell('failed', { name, scheduledAt, error })
    else this.#warn(`the run of cron job ${JSON.stringify(name)} for ${scheduledAt.toISOString()} failed: ${error}`)
  }

  /** Asks until the store answers, or until that moment; `null`: it was stopped. Tells of the first failure. */
  async #insist<T>(scheduledAt: Date | null, untilMs: number, ask: () => Promise<T>): Promise<T | null> {
    const { signal } = this.#stopping
    for (let told = false; !signal.aborted; ) {
      try {
        return await ask()
      } catch (error) {
        if (signal.aborted) return null
        const passes = error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE'
        if (!passes || this.#locker.clock.wallMs() >= untilMs) throw error
        if (!told) this.#tell('fault', { name: this.name, scheduledAt, error })
        told = true
        await this.#locker.pause(RETRY_MS * (0.5 + this.#locker.random() / 2), signal)
      }
    }
    return null
  }

  async #attempt(tickMs: number, caughtUp: boolean, owner: string): Promise<TickOutcome<unknown>> {
    const { keepForMs, ttlMs, recovers, maxRunMs, catchUp } = this.#options
    // What is caught up may be older than ticks are kept: then what is known of the job tells whether it ran.
    const offMs = caughtUp ? Math.max(this.#locker.clock.wallMs() - tickMs, 0) : 0
    const onClock = (offsetMs: number) => this.#compareClock(offsetMs, tickMs)
    const kept = { scheduledAtMs: tickMs, keepForMs: keepForMs + offMs, ttlMs }
    const tick: Tick = { name: this.name, ...kept, recovers, owner, onClock }
    const hold = await claimTick(this.#locker, tick, this.#stopping.signal)
    if (!(hold instanceof TickHold)) return hold
    const plan = () => this.#plan()
    const order = { name: this.name, scheduledAtMs: tickMs, caughtUp, maxRunMs, ttlMs, plan, noted: catchUp }
    let turn: HeldLease | null | { readonly by: string }
    try {
      const ran = caughtUp ? await this.#ranBefore(tickMs) : null
      if (ran !== null) {
        await hold.giveBack()
        return ran
      }
      turn = await this.#turn(hold, hold.recovered || caughtUp)
      if (turn !== null && 'by' in turn) return await this.#skip(hold, order, turn.by)
      if (catchUp) await this.#noteBegin(hold, order, turn)
    } catch (error) {
      // It is to be had again: by this instance, or by another.
      await hold.giveBack().catch((fault: unknown) => this.#locker.onReleaseFault(hold.lease, fault))
      throw error
    }
    return await runTick(this.#locker, hold, turn, order, this.#handler)
  }

  /** With `catchUp` it is noted before the run that it begins, or an instance that starts later would run it again. */
  async #noteBegin(hold: TickHold, order: RunOrder, turn: HeldLease | null): Promise<void> {
    try {
      await note(this.#locker, hold, order, {})
    } catch (error) {
      await turn?.[Symbol.asyncDispose]()
      throw error
    }
  }

  async #ranBefore(tickMs: number): Promise<TickOutcome<unknown> | null> {
    const last = (await readEntry(this.#locker, this.name))?.entry.last
    if (last === undefined || last.tick < tickMs) return null
    // This instance holds the tick now, so nobody else runs it.
    if (this.#options.recovers && last.tick === tickMs && last.result === undefined) return null
    return { status: 'elsewhere', by: last.by, result: last.result ?? null }
  }

  async #skip(hold: TickHold, order: RunOrder, by: string): Promise<TickOutcome<unknown>> {
    hold.mark('skipped')
    await note(this.#locker, hold, order, { took: 0, result: 'skipped' })
    await hold.end()
    return { status: 'skipped', by }
  }

  /**
   * The right to run beside no other tick; `null` where that needs none; or who has it.
   *
   * @param again whether the tick may have been run by a process that died
   */
  async #turn(hold: TickHold, again: boolean): Promise<HeldLease | null | { readonly by: string }> {
    const { overlap, ttlMs, recovers } = this.#options
    const { run, next } = this.#locks
    if (overlap === 'allow') return null
    const { signal } = this.#stopping
    const how = { ttlMs, waitMs: 0, holdForMs: 0, meta: null, signal }
    let place: HeldLease | null = null
    try {
      if (overlap === 'skip') {
        // The turn of a run that died is over within a ttl, a little before or after its tick.
        return await this.#locker.acquire({
          ...exclusive(run),
          ...how,
          waitMs: recovers && again ? 2 * ttlMs : 0,
        })
      }
      place = await this.#locker.acquire({ ...exclusive(next), ...how })
      const sinceMs = this.#locker.clock.monotonicMs()
      const part = { sinceMs, unless: hold.lease.signal, onQueued: null }
      return await this.#locker.acquire({ ...exclusive(run), ...how, waitMs: Infinity }, part)
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error
      return { by: error.holder ?? '' }
    } finally {
      await place?.[Symbol.asyncDispose]()
    }
  }

  #compareClock(offsetMs: number, tickMs: number | null): void {
    if (this.#toldOfClock || tickMs === null) return
    const nextMs = this.#times.next(tickMs)
    if (nextMs === null || Math.abs(offsetMs) <= nextMs - tickMs) return
    this.#toldOfClock = true
    const detail = { name: this.name, offsetMs: Math.round(offsetMs), intervalMs: nextMs - tickMs }
    if (this.listenerCount('clock') > 0) this.#tell('clock', detail)
    else {
      const what = `differs from the store's by ${detail.offsetMs} ms, which is more than the time between two ticks`
      this.#warn(`the clock of this instance ${what} of cron job ${JSON.stringify(this.name)}`)
    }
  }

  #warn(message: string): void {
    process.emitWarning(message, 'SoloistWarning')
  }

  #tell<E extends keyof CronEvents>(event: E, detail: CronEvents[E][0]): void {
    // A listener that throws is an uncaught exception of the application, and no end of the schedule.
    const emitter = this as EventEmitter
    if (emitter.listenerCount(event) > 0) soon(() => outsideBlocks(() => emitter.emit(event, detail)))
  }
}
