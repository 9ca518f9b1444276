import { parseOwner } from '../../adapters/bullmq/lock/owner.js'
import {
  type Holder,
  type JobLockPart,
  type JobMeta,
  jobLockNames,
  type LockState,
  parseJobLock,
  parseJobMeta,
  type Soloist,
} from '../../index.js'
import { PERIOD_META } from '../../internal/job-modes.js'
import { heldSinceMs, holderJson } from '../locks/locks.js'
import { batches } from '../output/batches.js'

/**
 * How far a job is, as its locks tell:
 *
 * | state | means |
 * |---|---|
 * | `queued` | it waits for its start |
 * | `live` | a job of BullMQ, queued or running: its queue knows |
 * | `running` | it holds a lease that is kept renewed |
 * | `next` | it has not begun: it waits behind the live one, as the one follow-up, or for more triggers |
 * | `period` | its period (`untilExpired`) goes on; the locks do not tell whether its run does |
 */
export type LiveState = 'queued' | 'live' | 'running' | 'next' | 'period'

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
  /** Who holds its lock, or of a run that has not begun, waits for it; `null` while nobody does. */
  readonly owner: string | null
  /** Since when it is so far, in epoch milliseconds of the datastore's clock; `null`: not noted. */
  readonly sinceMs: number | null
  /** Which process runs it or is to, and for whom, where that is noted. */
  readonly run: JobMeta | null
  /** How many claims wait for what it holds. */
  readonly waiting: number
  /** How many triggers left their arguments with a run that has not begun. */
  readonly notes: number
  /** The datastore's time when its locks were looked at. */
  readonly atMs: number
}

type Parts = { [part in JobLockPart]?: LockState }

type Group = { readonly job: string; readonly key: string; readonly parts: Parts }
/** What a listing shows; a run's `stop` lock goes with its run and says nothing about it. */
const PARTS = ['trigger', 'run', 'next'] as const
/** How many jobs are asked about at once. */
const ASKED_AT_ONCE = 50

/** The live jobs of all locks of `source`, by name and key. */
export async function liveJobs(source: AsyncIterable<LockState> | Iterable<LockState>): Promise<readonly LiveJob[]> {
  const states: LockState[] = []
  for await (const state of source) states.push(state)
  return grouped(states).flatMap(group => jobsOf(group, group.parts))
}

/**
 * The live jobs of the locks of `source` in batches, each by name and key. Where `source` is long, the locks of one job
 * come in different batches: each lock stands for who holds it, and what its job is doing beside is looked up.
 */
export async function* liveJobBatches(
  solo: Soloist,
  source: AsyncIterable<LockState>,
): AsyncGenerator<readonly LiveJob[], void, undefined> {
  for await (const { items, all } of batches(source)) {
    const groups = grouped(items)
    const live: LiveJob[] = []
    for (let i = 0; i < groups.length; i += ASKED_AT_ONCE) {
      const some = groups.slice(i, i + ASKED_AT_ONCE)
      const known = all ? some : await Promise.all(some.map(group => withMissing(solo, group)))
      known.forEach((group, k) => {
        live.push(...jobsOf(group, (some[k] as Group).parts))
      })
    }
    yield live
  }
}

function grouped(states: readonly LockState[]): readonly Group[] {
  const groups = new Map<string, Group>()
  for (const state of states) {
    const parsed = parseJobLock(state.name)
    if (parsed === null || parsed.part === 'stop') continue
    const { job, key, part } = parsed
    const id = `${job}:${key}`
    const group = groups.get(id) ?? { job, key, parts: {} }
    groups.set(id, group)
    group.parts[part] = state
  }
  return [...groups.values()].sort((a, b) => order(a.job, b.job) || order(a.key, b.key))
}

function order(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

/** The group with the locks that say something about those in it. */
async function withMissing(solo: Soloist, group: Group): Promise<Group> {
  const { trigger, run } = group.parts
  const present = PARTS.flatMap(part => group.parts[part] ?? [])
  const anyFree = present.some(({ holders }) => holders.length === 0)
  const missing = PARTS.filter(part => {
    if (group.parts[part] !== undefined) return false
    if (anyFree) return true
    return part === 'trigger' ? run !== undefined : part === 'run' && (trigger?.holders.some(mayRun) ?? false)
  })
  const names = jobLockNames(group.job, group.key)
  const parts: Parts = { ...group.parts }
  for (const part of missing) {
    const state = await solo.jobs.inspect(names[part])
    if (state !== null) parts[part] = state
  }
  return { ...group, parts }
}

/** Whether a run lock can change how far the holder of this trigger lock is: jobs of BullMQ have none. */
function mayRun({ owner, meta }: Holder): boolean {
  return !isPeriod(meta) && parseOwner(owner) === null
}

function isPeriod(meta: string | null): boolean {
  return meta === PERIOD_META || parseJobMeta(meta)?.period === true
}

/** The live jobs of one name and key that hold one of the locks `shown`. */
function jobsOf({ job, key, parts: { trigger, run, next } }: Group, shown: Parts): readonly LiveJob[] {
  const jobs: LiveJob[] = []
  const pending = trigger?.pending ?? null
  const add = (state: LiveState, holds: readonly JobHold[], ...looked: readonly (LockState | undefined)[]) => {
    const holder = holds[0]?.holder
    const owner = holder?.owner ?? null
    const notes = owner !== null && owner === pending?.owner ? pending.notes : 0
    const sinceMs = holder === undefined ? null : heldSinceMs(holder)
    const run = parseJobMeta(holder?.meta ?? null)
    jobs.push({ job, key, state, holds, owner, sinceMs, run, notes, ...counted(looked) })
  }
  const runs = new Set(run?.holders)
  for (const holder of trigger?.holders ?? []) {
    const same = [...runs].find(({ owner }) => owner === holder.owner)
    if (same !== undefined) runs.delete(same)
    if (shown.trigger === undefined) continue
    const hold = { name: (trigger as LockState).name, holder }
    // A job of BullMQ that has its lock and has not begun is queued.
    const first = parseOwner(holder.owner) === null ? 'next' : 'queued'
    if (holder.owner === pending?.owner && same === undefined) add(first, [hold], trigger)
    else if (same === undefined) add(stateOf(holder, run), [hold], trigger)
    else add('running', [{ name: (run as LockState).name, holder: same }, hold], trigger, run)
  }
  if (shown.run !== undefined) {
    for (const holder of runs) add('running', [{ name: shown.run.name, holder }], run)
  }
  const waits = pending && trigger?.waiters.find(({ owner }) => owner === pending.owner)
  if (waits && trigger !== undefined && shown.trigger !== undefined) {
    const { owner, waitingSinceMs: sinceMs, meta } = waits
    const { notes } = pending
    jobs.push({
      job,
      key,
      state: 'next',
      holds: [],
      owner,
      sinceMs,
      run: parseJobMeta(meta),
      notes,
      waiting: 0,
      atMs: trigger.atMs,
    })
  }
  for (const holder of shown.next?.holders ?? []) add('next', [{ name: (next as LockState).name, holder }], next)
  const present = [trigger, run, next].filter(state => state !== undefined)
  const [first] = present
  // A lock that is free this moment while claims wait for it.
  const isFree = present.every(({ holders }) => holders.length === 0)
  if (isFree && !waits && first !== undefined && Object.values(shown).includes(first)) add('queued', [], ...present)
  return jobs
}

/** How far the holder of a trigger lock is that holds no run lock. */
function stateOf({ owner, expiresAtMs, meta }: Holder, run: LockState | undefined): LiveState {
  const job = parseOwner(owner)
  if (job?.period === true || isPeriod(meta)) return 'period'
  // Its queue knows whether it has been taken up.
  if (job !== null) return 'live'
  if (expiresAtMs === null) return 'queued'
  return run?.waiters.some(waiter => waiter.owner === owner) ? 'queued' : 'running'
}

function counted(states: readonly (LockState | undefined)[]): { readonly waiting: number; readonly atMs: number } {
  const seen = states.filter(state => state !== undefined)
  return {
    waiting: seen.reduce((sum, { waiting }) => sum + waiting, 0),
    atMs: Math.max(0, ...seen.map(({ atMs }) => atMs)),
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
  /** Where it runs, or is to; `null`: not noted. */
  readonly host: string | null
  readonly pid: number | null
  readonly description: string | null
  readonly waiting: number
  readonly notes: number
  readonly locks: readonly JobHoldJson[]
  readonly atMs: number
}

export type JobHoldJson = { readonly name: string } & Holder

export function liveJobJson(live: LiveJob): LiveJobJson {
  const { job, key, state, holds, owner, run, waiting, notes, atMs } = live
  const { expiresAtMs = null } = holds[0]?.holder ?? {}
  const { host = null, pid = null, description = null } = run ?? {}
  const locks = holds.map(holdJson)
  const times = { acquiredAtMs: live.sinceMs, expiresAtMs }
  return { job, key, state, owner, ...times, host, pid, description, waiting, notes, locks, atMs }
}

export function holdJson({ name, holder }: JobHold): JobHoldJson {
  return { name, ...holderJson(holder) }
}
