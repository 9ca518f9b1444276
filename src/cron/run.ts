import { SoloistError } from '../errors.js'
import { onAbort } from '../internal/abort.js'
import type { HeldLease } from '../lock/holding/lease.js'
import type { Locker } from '../lock/locker.js'
import { changeEntry, type Entry, messageOf } from './entry.js'
import type { TickOutcome, TickResult } from './outcome.js'
import type { TickHold } from './tick.js'

/** What the work of a tick is given. */
export interface TickRun {
  /** The name of the cron job. */
  readonly name: string
  /** When the tick was scheduled: every instance gets the same. */
  readonly scheduledAt: Date
  /** Greater than that of every earlier run of this tick. */
  readonly fence: number
  /** Aborts when the lease is lost, the client is closed, or the run took longer than `maxRunMs`. */
  readonly signal: AbortSignal
  /**
   * Whether it is run late: since no instance was up when it was due, or, with `recover`, since none was up when the process
   * died that ran it.
   */
  readonly caughtUp: boolean
}

/** The function that is run once per tick. */
export type TickWork<T> = (run: TickRun) => T | Promise<T>

/** One run, and what is to be noted of it. */
export interface RunOrder {
  readonly name: string
  readonly scheduledAtMs: number
  readonly caughtUp: boolean
  /** `null`: no bound. */
  readonly maxRunMs: number | null
  /** How long a run that does not end is waited for after its signal fired, in milliseconds. */
  readonly ttlMs: number
  /** What else is noted beside the tick. */
  readonly plan: () => Pick<Entry, 'pattern' | 'timezone' | 'next'>
  /** Whether it is noted already that the run has begun. */
  readonly noted: boolean
}

/** How the work ended, if it did. */
type Settled<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: unknown; readonly runsOn: boolean }

/** Runs a tick under its leases, notes it, and ends them. Never rejects. */
export async function runTick<T>(
  locker: Locker,
  hold: TickHold,
  turn: HeldLease | null,
  order: RunOrder,
  work: TickWork<T>,
): Promise<TickOutcome<T>> {
  const leases = turn === null ? [hold.lease] : [hold.lease, turn]
  return await locker.blocks.run(leases, async () => {
    const beganMs = locker.clock.monotonicMs()
    const { fence } = hold.lease
    const begun = order.noted ? Promise.resolve() : noteOrTell(locker, hold, order, {})
    const settled = await settle(locker, leases, hold, order, work)
    const tookMs = Math.round(locker.clock.monotonicMs() - beganMs)
    const result = settled.ok ? 'ok' : 'failed'
    const error = lossOf(leases)
    if (error !== null) {
      // Somebody else may have the tick by now: what is noted of it is theirs. Where it is the turn that was lost, it is ours.
      if (hold.lease.valid) hold.mark(result)
      await Promise.all([begun, giveUp(locker, turn, false, order.ttlMs), giveUp(locker, hold.lease, false, 0)])
      return { status: 'lost', error, fence, tookMs }
    }
    // A run that its own client's end has stopped did not fail: it was interrupted.
    if (settled.ok || hold.lease.valid) hold.mark(result)
    const message = settled.ok ? {} : { error: messageOf(settled.error) }
    const noted = begun.then(() => noteOrTell(locker, hold, order, { took: tookMs, result, ...message }))
    await Promise.all([noted, giveUp(locker, turn, !settled.ok && settled.runsOn, order.ttlMs), end(locker, hold)])
    if (settled.ok) return { status: 'ran', value: settled.value, fence, tookMs }
    return { status: 'failed', error: settled.error, fence, tookMs }
  })
}

/** What is noted of a tick. */
export interface Note {
  readonly took?: number
  readonly result?: TickResult
  readonly error?: string
}

/** Notes a tick, unless a later one is noted already. @throws SoloistError */
export async function note(locker: Locker, hold: TickHold, order: RunOrder, noted: Note): Promise<void> {
  const { name, scheduledAtMs, plan } = order
  const { owner } = hold.lease
  await changeEntry(locker, name, entry => {
    if (entry?.last !== undefined && entry.last.tick > scheduledAtMs) return null
    const last = { tick: scheduledAtMs, by: owner, started: Math.floor(hold.startedMs), ...noted }
    return { ...entry, since: entry?.since ?? last.started, ...plan(), last }
  })
}

async function noteOrTell(locker: Locker, hold: TickHold, order: RunOrder, noted: Note): Promise<void> {
  try {
    await note(locker, hold, order, noted)
  } catch (error) {
    // The run counts all the same: what is noted is for who looks.
    if (!(error instanceof SoloistError && error.code === 'CLOSED')) locker.news.storeFault(error)
  }
}

/** Runs the work until it ends, or for `ttlMs` after it took too long. */
async function settle<T>(
  locker: Locker,
  leases: readonly HeldLease[],
  hold: TickHold,
  order: RunOrder,
  work: TickWork<T>,
): Promise<Settled<T>> {
  const { name, scheduledAtMs, caughtUp, maxRunMs, ttlMs } = order
  const { clock } = locker
  const controller = new AbortController()
  const stops = leases.map(({ signal }) => onAbort(signal, () => controller.abort(signal.reason)))
  const run: TickRun = {
    name,
    scheduledAt: new Date(scheduledAtMs),
    fence: hold.lease.fence,
    signal: controller.signal,
    caughtUp,
  }
  let late: SoloistError | null = null
  const ended = (async () => await work(run))().then<Settled<T>, Settled<T>>(
    value => (late === null ? { ok: true, value } : { ok: false, error: late, runsOn: false }),
    (error: unknown) => ({ ok: false, error: late ?? error, runsOn: false }),
  )
  const tooLong = new Promise<Settled<T>>(resolve => {
    if (maxRunMs === null) return
    let timer = clock.setTimer(maxRunMs, () => {
      const reason = new SoloistError(
        'RUN_TIMEOUT',
        `the run of ${JSON.stringify(name)} took longer than ${maxRunMs} ms`,
      )
      late = reason
      controller.abort(reason)
      timer = clock.setTimer(ttlMs, () => resolve({ ok: false, error: reason, runsOn: true }))
    })
    stops.push(() => timer.cancel())
  })
  const settled = await Promise.race([ended, tooLong])
  for (const stop of stops) stop()
  return settled
}

/** Why the run was not alone any more; `null`: it was, or its client is being closed and still holds it. */
function lossOf(leases: readonly HeldLease[]): SoloistError | null {
  for (const lease of leases) {
    if (lease.valid) continue
    const { reason } = lease.signal
    if (reason instanceof SoloistError && reason.code !== 'CLOSED') return reason
  }
  return null
}

/** Ends a lease. That of a run which goes on although it should not is left to run out. */
async function giveUp(locker: Locker, lease: HeldLease | null, runsOn: boolean, ttlMs: number): Promise<void> {
  if (lease === null) return
  if (runsOn) lease.holdFor(lease.heldMs + ttlMs)
  try {
    await lease.release()
  } catch (error) {
    locker.onReleaseFault(lease, error)
  }
}

async function end(locker: Locker, hold: TickHold): Promise<void> {
  try {
    await hold.end()
  } catch (error) {
    // It runs out by itself.
    locker.onReleaseFault(hold.lease, error)
  }
}
