import type { LockState } from '../backend.js'
import type { Locker } from '../lock/locker.js'
import { exclusive } from '../lock/request.js'
import { cronLocks, ENTRY_PREFIX } from './names.js'
import type { TickResult } from './outcome.js'

/** How long what is known of a cron job is kept after it was last noted: 100 days, so that a quarterly job is known. */
const KEPT_MS = 100 * 24 * 60 * 60 * 1000
/** For how long the next change waits when a process died in the middle of one. */
const TURN_MS = 10_000
/** An error is kept with this much of its message. */
const LONGEST_MESSAGE = 300

/** The last tick of a cron job that is known. */
export interface LastTick {
  /** When it was scheduled. */
  readonly scheduledAt: Date
  /** Who ran it: an owner, which starts with `host:pid`. */
  readonly by: string
  /** When it began, by the store's clock. */
  readonly startedAt: Date
  /** How long it took, in milliseconds; `null`: it has not ended, or its process died. */
  readonly tookMs: number | null
  /** How it ended; `null` as for `tookMs`. */
  readonly result: TickResult | null
  /** The message of the error of a run that failed. */
  readonly error: string | null
}

/** What is known of a cron job. */
export interface CronState {
  readonly name: string
  /** `null` where ticks were run without one, as by `oncePerTick`. */
  readonly pattern: string | null
  readonly timezone: string | null
  /** Since when the job is known, by the store's clock. */
  readonly since: Date
  /** `null`: none was run yet. */
  readonly last: LastTick | null
  /** When the next tick is due, as the last one to note something knew it; `null`: not known. */
  readonly next: Date | null
}

/** The same, as it is stored. Times are epoch milliseconds. */
export interface Entry {
  readonly pattern?: string | undefined
  readonly timezone?: string | undefined
  readonly since: number
  readonly next?: number | undefined
  readonly last?:
    | {
        readonly tick: number
        readonly by: string
        readonly started: number
        readonly took?: number
        readonly result?: TickResult
        readonly error?: string
      }
    | undefined
}

/** What is known of a cron job, and the store's time; `null`: nothing. */
export async function readEntry(locker: Locker, name: string): Promise<{ entry: Entry; atMs: number } | null> {
  const state = await locker.inspect(cronLocks(name).entry)
  return state === null ? null : { entry: entryOf(state), atMs: state.atMs }
}

/**
 * Changes what is known of a cron job. Whoever does so takes a turn: of many at once, each comes after those that came before.
 *
 * @param change `null`: it stays as it is
 * @throws SoloistError `BACKEND_UNAVAILABLE`, `CLOSED`
 */
export async function changeEntry(
  locker: Locker,
  name: string,
  change: (entry: Entry | null) => Entry | null,
): Promise<void> {
  const { entry, note } = cronLocks(name)
  const turn = { ...exclusive(note), ttlMs: TURN_MS, waitMs: Infinity, holdForMs: 0, meta: null, signal: null }
  for (let done = false; !done; ) {
    const lease = await locker.acquire(turn)
    try {
      done = await changed(locker, entry, change)
    } finally {
      await lease[Symbol.asyncDispose]()
    }
  }
}

/** @returns `false`: somebody else has changed it, since this process was held up for longer than its turn */
async function changed(locker: Locker, lock: string, change: (entry: Entry | null) => Entry | null): Promise<boolean> {
  const state = await locker.inspect(lock)
  const next = change(state === null ? null : entryOf(state))
  if (next === null) return true
  const claim = {
    name: lock,
    owner: locker.newOwner(),
    mode: 'exclusive',
    limit: null,
    ttlMs: KEPT_MS,
    meta: JSON.stringify(next),
  } as const
  const answer = await locker.take(claim, state?.holders[0]?.owner ?? null)
  return answer.status === 'granted'
}

/** The message of an error, as it is kept. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.slice(0, LONGEST_MESSAGE).toWellFormed()
}

/** What is known of every cron job, by name. */
export async function allEntries(locker: Locker, prefix: string): Promise<readonly CronState[]> {
  const states: CronState[] = []
  for await (const state of locker.list(`${ENTRY_PREFIX}${prefix}`)) {
    if (state.holders.length > 0) states.push(stateOf(state.name.slice(ENTRY_PREFIX.length), entryOf(state)))
  }
  return states.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function entryOf({ holders, atMs }: LockState): Entry {
  try {
    const data: unknown = JSON.parse(holders[0]?.meta ?? '')
    if (data !== null && typeof data === 'object' && typeof (data as Entry).since === 'number') return data as Entry
  } catch (error) {
    // Written by something else than this module: nothing is known.
    if (!(error instanceof SyntaxError)) throw error
  }
  return { since: atMs }
}

function stateOf(name: string, { pattern, timezone, since, last, next }: Entry): CronState {
  return {
    name,
    pattern: pattern ?? null,
    timezone: timezone ?? null,
    since: new Date(since),
    last:
      last === undefined
        ? null
        : {
            scheduledAt: new Date(last.tick),
            by: last.by,
            startedAt: new Date(last.started),
            tookMs: last.took ?? null,
            result: last.result ?? null,
            error: last.error ?? null,
          },
    next: next === undefined ? null : new Date(next),
  }
}
