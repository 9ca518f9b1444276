import { addedAtMs } from '../../adapters/bullmq/lock/owner.js'
import { type Holder, type JobMeta, type LockState, parseJobMeta, type Soloist, type Waiter } from '../../index.js'
import { formatDuration } from '../output/duration.js'
import { bold } from '../output/output.js'
import { type Column, Table } from '../output/table.js'
import { quoted, visible } from '../output/text.js'

/** Every lock in use below the prefix, by name. */
export async function locksBelow(solo: Soloist, prefix: string): Promise<readonly LockState[]> {
  const states: LockState[] = []
  for await (const state of solo.list({ prefix })) states.push(state)
  return states.sort(byName)
}

export function byName(a: LockState, b: LockState): number {
  return a.name < b.name ? -1 : 1
}

const COLUMNS: readonly Column[] = [
  { title: 'NAME', least: 12, cut: 'middle' },
  { title: 'OWNER', least: 14, cut: 'middle' },
  { title: 'MODE' },
  { title: 'AGE', align: 'right' },
  { title: 'EXPIRES IN', align: 'right' },
  { title: 'WAITING', align: 'right' },
  { title: 'META', least: 8 },
]

/** Locks as a table of at most `width` columns, one line per holder. */
export class LocksTable {
  readonly #table: Table

  constructor(width: number) {
    this.#table = new Table(COLUMNS, { width, title: bold })
  }

  lines(states: readonly LockState[]): readonly string[] {
    return this.#table.lines(states.flatMap(rowsOf))
  }
}

function rowsOf(state: LockState): readonly (readonly string[])[] {
  const waiting = String(state.waiting)
  if (state.holders.length === 0) return [[state.name, '-', '-', '-', '-', waiting, '']]
  return state.holders.map(holder => [
    state.name,
    holder.owner,
    modeOf(state, holder),
    ageOf(holder, state.atMs),
    expiryOf(holder, state.atMs),
    waiting,
    metaOf(holder.meta) ?? '',
  ])
}

/** A claim's `meta` for people: of a run of a job, where it runs and for whom. */
export function metaOf(meta: string | null): string | null {
  const run = parseJobMeta(meta)
  if (run === null) return meta
  return [runBy(run), ...(run.description === undefined ? [] : [run.description])].join(' ')
}

/** Which process runs it, or is to. */
export function runBy({ host, pid }: Pick<JobMeta, 'host' | 'pid'>): string {
  return `${host}:${pid}`
}

/** `exclusive`, `shared`, or with a limit how much of it is taken: `shared 2/4`. */
export function modeOf(state: LockState, holder: Holder): string {
  return holder.limit === null ? holder.mode : `shared ${state.holding}/${holder.limit}`
}

/**
 * Since when the holder has had the lock, in epoch milliseconds; `null` where nobody noted it. A job that was added in one
 * step with its lock tells by its id.
 */
export function heldSinceMs({ acquiredAtMs, owner }: Holder): number | null {
  return acquiredAtMs ?? addedAtMs(owner)
}

/** How long the holder has had the lock. */
export function ageOf(holder: Holder, atMs: number): string {
  const sinceMs = heldSinceMs(holder)
  return sinceMs === null ? 'unknown' : formatDuration(Math.max(atMs - sinceMs, 0))
}

/** How long the holder has left unless it renews. */
export function expiryOf(holder: Holder, atMs: number): string {
  return holder.expiresAtMs === null ? 'never' : formatDuration(holder.expiresAtMs - atMs)
}

/** A point in time, to the second. */
export function momentOf(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** Who holds a lock, and since when: `host:4711:… since 2026-05-04T10:00:00Z (3m12s ago, 'nightly build')`. */
export function holderPhrase(holder: Holder, atMs: number): string {
  const owner = visible(holder.owner)
  const text = metaOf(holder.meta)
  const meta = text === null ? [] : [quoted(text)]
  const sinceMs = heldSinceMs(holder)
  if (sinceMs === null) return [`${owner}, since when is not noted`, ...meta].join(', ')
  const details = [`${ageOf(holder, atMs)} ago`, ...meta].join(', ')
  return `${owner} since ${momentOf(sinceMs)} (${details})`
}

interface LockJson extends LockState {
  readonly limit: number | null
}

/** The lock as `--json` shows it: the same members whatever the store. Its `limit` is that of the first claim with one. */
export function lockJson(state: LockState): LockJson {
  const { name, holding, holders, pending, waiting, waiters, atMs } = state
  return {
    name,
    holding,
    holders: holders.map(holderJson),
    pending,
    waiting,
    waiters: waiters.map(waiterJson),
    limit: [...holders, ...waiters].find(({ limit }) => limit !== null)?.limit ?? null,
    atMs,
  }
}

export function holderJson(holder: Holder): Holder {
  const { owner, mode, limit, fence, expiresAtMs, meta } = holder
  return { owner, mode, limit, fence, acquiredAtMs: heldSinceMs(holder), expiresAtMs, meta }
}

function waiterJson({ owner, mode, limit, waitingSinceMs, meta, durable }: Waiter): Waiter {
  return { owner, mode, limit, waitingSinceMs, meta, durable }
}
