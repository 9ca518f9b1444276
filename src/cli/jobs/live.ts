import { parseOwner, RUN_MARK, SET_MARK, splitMark } from '../../adapters/bullmq/owner.js'
import { type Holder, type JobLockPart, type LockState, parseJobLock, type Soloist } from '../../index.js'
import { PERIOD_META } from '../../internal/job-modes.js'
import { heldSinceMs, holderJson } from '../locks/locks.js'

/**
 * How far a job is, as its locks tell:
 *
 * | state | means |
 * |---|---|
 * | `queued` | it waits for its start |
 * | `running` | it holds a lease that is kept renewed |
 * | `idle` | it has started, and no run of it holds a lease: it waits for its next attempt, or its worker died or ended without a word |
 * | `next` | it waits behind the live one, as the one follow-up |
 * | `period` | its period (`untilExpired`) goes on; the locks do not tell whether its run does |
 */
export type LiveState = 'queued' | 'running' | 'idle' | 'next' | 'period'

/** One lock that a job holds. */
export interface JobHold {
  readonly name: string
  readonly holder: Holder
}

/** One live job: what it holds, and how far it is. */
export interface LiveJob {
  readonly job: string
  readonly key: string
  readonly state: LiveState
  /** The lock that says most first; empty when its lock is free this moment and claims wait for it. */
  readonly holds: readonly JobHold[]
  /** How many claims wait for what it holds. */
  readonly waiting: number
  /** The datastore's time when its locks were looked at. */
  readonly atMs: number
}

type Parts = { [part in JobLockPart]?: LockState }

/** The live jobs whose names start with `prefix`, by name and key. */
export async function liveJobs(solo: Soloist, prefix: string): Promise<readonly LiveJob[]> {
  const groups = new Map<string, { readonly job: string; readonly key: string; readonly parts: Parts }>()
  for await (const state of solo.jobs.list(prefix)) {
    const parsed = parseJobLock(state.name)
    if (parsed === null) continue
    const { job, key, part } = parsed
    const id = `${job}:${key}`
    const group = groups.get(id) ?? { job, key, parts: {} }
    groups.set(id, group)
    group.parts[part] = state
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.flatMap(([, { job, key, parts }]) => jobsOf(parts).map(live => ({ job, key, ...live })))
}

/** The live jobs of one name and key. A run's `stop` lock goes with its run and says nothing about it. */
function jobsOf({ trigger, run, next }: Parts): readonly Omit<LiveJob, 'job' | 'key'>[] {
  const jobs: Omit<LiveJob, 'job' | 'key'>[] = []
  const runs = new Set(run?.holders)
  for (const holder of trigger?.holders ?? []) {
    const same = [...runs].find(({ owner }) => jobOf(owner) === jobOf(holder.owner))
    const hold = { name: (trigger as LockState).name, holder }
    if (same === undefined) {
      jobs.push({ state: stateOf(holder, run), holds: [hold], ...counted(trigger) })
    } else {
      runs.delete(same)
      const holds = [{ name: (run as LockState).name, holder: same }, hold]
      jobs.push({ state: 'running', holds, ...counted(trigger, run) })
    }
  }
  for (const holder of runs) {
    jobs.push({ state: 'running', holds: [{ name: (run as LockState).name, holder }], ...counted(run) })
  }
  for (const holder of next?.holders ?? []) {
    jobs.push({ state: 'next', holds: [{ name: (next as LockState).name, holder }], ...counted(next) })
  }
  if (jobs.length > 0) return jobs
  const free = [trigger, run, next].filter(state => state !== undefined && state.waiting > 0)
  return free.length === 0 ? [] : [{ state: 'queued', holds: [], ...counted(...free) }]
}

/** How far the holder of a trigger lock is that holds no run lock. */
function stateOf({ owner, expiresAtMs, meta }: Holder, run: LockState | undefined): LiveState {
  const { mark } = splitMark(owner)
  if (mark === RUN_MARK) return 'idle'
  if (mark === SET_MARK || meta === PERIOD_META) return 'period'
  if (expiresAtMs === null) return 'queued'
  // Of a BullMQ job only its runs have leases.
  if (parseOwner(owner) !== null) return 'period'
  return run?.waiters.some(waiter => waiter.owner === owner) ? 'queued' : 'running'
}

/** What is the same in all that one job holds. */
function jobOf(owner: string): string {
  return splitMark(owner).unmarked
}

function counted(...states: readonly (LockState | undefined)[]): { readonly waiting: number; readonly atMs: number } {
  const seen = states.filter(state => state !== undefined)
  return {
    waiting: seen.reduce((sum, { waiting }) => sum + waiting, 0),
    atMs: Math.max(...seen.map(({ atMs }) => atMs)),
  }
}

/** As `--json` shows it. */
export interface LiveJobJson {
  readonly job: string
  readonly key: string
  readonly state: LiveState
  readonly owner: string | null
  readonly acquiredAtMs: number | null
  readonly expiresAtMs: number | null
  readonly waiting: number
  readonly locks: readonly JobHoldJson[]
  readonly atMs: number
}

export type JobHoldJson = { readonly name: string } & Holder

export function liveJobJson({ job, key, state, holds, waiting, atMs }: LiveJob): LiveJobJson {
  const holder = holds[0]?.holder
  const { owner = null, expiresAtMs = null } = holder ?? {}
  const acquiredAtMs = holder === undefined ? null : heldSinceMs(holder)
  return { job, key, state, owner, acquiredAtMs, expiresAtMs, waiting, locks: holds.map(holdJson), atMs }
}

export function holdJson({ name, holder }: JobHold): JobHoldJson {
  return { name, ...holderJson(holder) }
}
