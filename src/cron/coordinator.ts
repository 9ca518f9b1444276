import { invalidArgument, SoloistError } from '../errors.js'
import { lockerOf, type Soloist } from '../soloist.js'
import { changeEntry } from './entry.js'
import { checkCronName, checkScheduledAt } from './names.js'
import { checkKeep, type TickOptions } from './options.js'
import { claimTick, TickHold } from './tick.js'

/** What node-cron asks whether this instance is to run a tick: its `RunCoordinator`. */
export interface RunCoordinator {
  /**
   * Whether this instance is to run the tick: of all that ask for one key, one is told so, also of those that ask after
   * the run has ended.
   *
   * Held after abort or rejection: nothing. node-cron then does not run the task, and tells `coordinator-error`.
   *
   * @param key the task's name and the scheduled time, as node-cron makes it
   * @param ttlMs node-cron's `distributedLease`. The tick is kept for `keepForMs` at least, however short this is
   * @throws SoloistError `INVALID_ARGUMENT` for a key without a time, `CLOCKS_DIFFER`, `BACKEND_UNAVAILABLE`, `CLOSED`
   */
  shouldRun(key: string, ttlMs: number): Promise<boolean>
  /**
   * The run has ended. The tick is kept.
   *
   * Held after abort or rejection: the tick, for `keepForMs`.
   */
  onComplete(key: string): Promise<void>
}

/** How {@link coordinator} keeps ticks. */
export type CoordinatorOptions = Pick<TickOptions, 'keepForMs'>

/**
 * A coordinator for node-cron: `cron.setRunCoordinator(coordinator(solo))`, and `distributed: true` with a `name` for each
 * task. Each tick is run by one instance. A tick whose process died is not run again.
 *
 * @throws SoloistError `INVALID_ARGUMENT`
 */
export function coordinator(solo: Soloist, options: CoordinatorOptions = {}): RunCoordinator {
  const keepForMs = checkKeep(options)
  const locker = lockerOf(solo)
  const running = new Map<string, { readonly hold: TickHold; readonly name: string; readonly sinceMs: number }>()
  return {
    async shouldRun(key, ttlMs) {
      const { name, scheduledAtMs } = parseKey(key)
      const keep = Math.max(keepForMs, Number.isFinite(ttlMs) ? Math.ceil(ttlMs) : 0)
      const tick = { name, scheduledAtMs, keepForMs: keep, ttlMs: keep, recovers: false, owner: locker.newOwner() }
      const claimed = await claimTick(locker, tick, null)
      if (claimed instanceof TickHold) {
        running.set(key, { hold: claimed, name, sinceMs: locker.clock.monotonicMs() })
        return true
      }
      if (claimed.status === 'elsewhere') return false
      const message = `by the store's clock the tick ${key} is ${Math.abs(claimed.offMs)} ms too ${claimed.why}`
      throw new SoloistError('CLOCKS_DIFFER', message)
    },
    async onComplete(key) {
      const run = running.get(key)
      if (run === undefined) return
      running.delete(key)
      const { hold, name, sinceMs } = run
      const { lease } = hold
      hold.mark('done')
      const took = Math.round(locker.clock.monotonicMs() - sinceMs)
      const { scheduledAtMs: tick } = parseKey(key)
      const last = { tick, by: lease.owner, started: Math.floor(hold.startedMs), took, result: 'done' } as const
      await Promise.all([
        hold.end(),
        changeEntry(locker, name, entry =>
          entry?.last !== undefined && entry.last.tick > tick
            ? null
            : { ...entry, since: entry?.since ?? last.started, last },
        ),
      ])
    },
  }
}

/** The task's name and the scheduled time. @throws SoloistError `INVALID_ARGUMENT` */
function parseKey(key: unknown): { readonly name: string; readonly scheduledAtMs: number } {
  const [, name, time] = /^(.+):(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)$/s.exec(String(key)) ?? []
  if (name === undefined || time === undefined) {
    throw invalidArgument(
      'a key of node-cron must be a name, a colon and a time, as "nightly:2026-01-31T02:00:00.000Z"',
    )
  }
  return { name: checkCronName(name), scheduledAtMs: checkScheduledAt(new Date(time)) }
}
