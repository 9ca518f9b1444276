import { type Claimed, type History, read, type Told } from './claims.js'
import { checkFences } from './fences.js'
import { checkIntervals } from './intervals.js'
import { checkJob } from './life-cycle.js'
import type { HistoryRecord } from './records.js'
import type { HistoryCounts, Violation } from './report.js'
import { findOrder } from './search.js'
import { checkOrder, checkWakeUps } from './waiting.js'

/** What else a history is judged by. */
export interface HistoryOptions {
  /**
   * For how long a lock that nobody can hold may stay free while a claim waits, in milliseconds. Absent: it is not judged,
   * since it needs `queued`, `returned` and `ttlMs` in the history.
   */
  readonly wakeUpMs?: number | undefined
  /** How many states the search for an order may look at without getting further, for each lock; default 200,000. */
  readonly budget?: number | undefined
  /** What has to have happened, so that the history shows something; default: nothing. */
  readonly atLeast?:
    | { readonly granted?: number; readonly contended?: number; readonly faults?: number; readonly runs?: number }
    | undefined
}

/** The parts of a history that is too long to be held at once. Each has all of its locks and jobs, and no part of others. */
export interface HistoryParts {
  /** Records that concern all of them: `clock`, `fault` and `ended`. */
  readonly common: readonly HistoryRecord[]
  /** Each reads its records anew whenever it is called. */
  readonly parts: Iterable<() => Iterable<HistoryRecord>>
}

export interface HistoryReport {
  /** Empty: nothing is wrong with the history. */
  readonly violations: readonly Violation[]
  readonly counts: HistoryCounts
}

const BUDGET = 200_000

/**
 * Judges what several clients recorded about their locks.
 *
 * A grant is valid from its `granted` record to its end. Both are on the safe side (after the reply, before the
 * release), so that whatever overlaps here was really held together. Per lock: exclusive grants are alone, shared ones
 * stay within their limit, and fences rise strictly wherever the order of two grants is certain: the first was
 * answered before the second was asked for, or they exclude each other. Who was told that it waits is granted before who
 * came later. Last, some order of all that was asked must explain all that was answered, where what was not answered may
 * have taken effect at any later time.
 *
 * Of jobs: runs stay within their limit while they are valid, later ones have higher fences, each trigger was told of a run
 * that covers it or of none, and merged arguments are in that run, once and in order.
 *
 * Every fault in the history must have had an effect. What a fault may lose is excused, and counted.
 *
 * @param history records, or their JSON, one per line, or what reads the records anew each time it is called. Those of one
 *   claim, trigger or run must be in order; they may be mixed, so the logs of several processes can just be joined. But the
 *   start of a run comes before what is told of it.
 */
export function checkHistory(history: History, options: HistoryOptions = {}): HistoryReport {
  const { violations, counts } = judged(history, options)
  return concluded(violations, counts, options)
}

/**
 * As {@link checkHistory}, of a history that is judged part by part: only what one part holds is in memory at once.
 *
 * @param history its parts, by locks and jobs
 */
export function checkHistoryParts({ common, parts }: HistoryParts, options: HistoryOptions = {}): HistoryReport {
  let { violations, counts }: HistoryReport = judged(common, options)
  for (const part of parts) {
    const more = judged(() => joined(common, part()), options, common)
    violations = [...violations, ...more.violations]
    counts = sumOf(counts, more.counts)
  }
  return concluded(violations, counts, options)
}

function* joined(common: readonly HistoryRecord[], part: Iterable<HistoryRecord>): Generator<HistoryRecord> {
  yield* common
  yield* part
}

/** @param before what was judged and counted before */
function judged(
  history: History,
  { wakeUpMs, budget = BUDGET }: HistoryOptions,
  before: readonly HistoryRecord[] = [],
): HistoryReport {
  const violations: Violation[] = []
  const report = (kind: Violation['kind'], name: string, message: string) => violations.push({ kind, name, message })
  const told = read(history, report)
  let mostTogether = 0
  let excused = 0
  for (const [name, claims] of told.claims) {
    const grants = claims.flatMap(({ grant }) => grant ?? [])
    const compared = checkIntervals(name, grants, told, report)
    mostTogether = Math.max(mostTogether, compared.most)
    excused += compared.excused
    const fallen = checkFences(name, grants, told, report)
    excused += fallen.size
    checkOrder(name, claims, told, report)
    if (wakeUpMs !== undefined) checkWakeUps(name, claims, told, wakeUpMs, report)
    // A history that is known to be wrong has no order.
    if (violations.some(violation => violation.name === name)) continue
    // What was granted beside the others, by a datastore that did not know of them, has no place in their order.
    const ordered = claims.map(claim => (claim.grant && fallen.has(claim.grant) ? { ...claim, grant: null } : claim))
    const found = findOrder(ordered, told, budget)
    if (found.status === 'impossible') report('impossible', name, `no order of the steps explains ${found.at}`)
    if (found.status === 'unknown') report('unknown', name, `no order was found among ${found.states} states`)
  }
  for (const [name, job] of told.jobs) excused += checkJob(name, job, told, report)
  const faults = before.length > 0 ? [] : told.faults
  for (const { kind, hits, atMs } of faults) {
    if (!(hits > 0)) report('harmless', '', `the fault ${kind} at ${Math.round(atMs)} did nothing`)
  }
  return { violations, counts: countsOf(told, faults, mostTogether, excused) }
}

/** Whether enough has happened. */
function concluded(
  found: readonly Violation[],
  counts: HistoryCounts,
  { atLeast = {} }: HistoryOptions,
): HistoryReport {
  const violations = [...found]
  const made = Object.values(counts.faults).reduce((sum, count) => sum + count, 0)
  const happened = { granted: counts.granted, contended: counts.contended, faults: made, runs: counts.runs }
  for (const [what, least] of Object.entries(atLeast)) {
    const count = happened[what as keyof typeof happened]
    if (count < least) violations.push({ kind: 'too-little', name: '', message: `${what}: ${count}, and not ${least}` })
  }
  return { violations, counts }
}

function countsOf(
  { claims, jobs, events }: Told,
  faults: Told['faults'],
  mostTogether: number,
  excused: number,
): HistoryCounts {
  const all: Claimed[] = [...claims.values()].flat()
  const byKind: Record<string, number> = {}
  for (const { kind } of faults) byKind[kind] = (byKind[kind] ?? 0) + 1
  const count = (event: HistoryRecord['event']) => events[event] ?? 0
  return {
    locks: [...claims].filter(([, some]) => some.some(({ grant }) => grant !== null)).length,
    invoked: count('invoke'),
    queued: all.filter(({ queuedMs }) => queuedMs !== null).length,
    granted: count('granted'),
    contended: all.filter(({ queuedMs, grant }) => queuedMs !== null && grant !== null).length,
    refused: count('refused'),
    released: count('released'),
    lost: count('lost'),
    unfinished: all.filter(({ grant }) => grant !== null && grant.releasedMs === null && !grant.lost).length,
    mostTogether,
    excused,
    ...countsOfJobs(jobs),
    faults: byKind,
  }
}

function countsOfJobs(
  jobs: Told['jobs'],
): Pick<HistoryCounts, 'triggers' | 'accepted' | 'covered' | 'told' | 'runs' | 'finished'> {
  const told: Record<string, number> = {}
  let [triggers, accepted, covered, runs, finished] = [0, 0, 0, 0, 0]
  for (const job of jobs.values()) {
    triggers += job.triggers.size
    runs += job.runs.size
    for (const run of job.runs.values()) if (run.finished === 'valid') finished += 1
    for (const { acceptedMs, run, code } of job.triggers.values()) {
      if (acceptedMs === Infinity) continue
      accepted += 1
      if (typeof run === 'string') covered += 1
      if (run === null) told[String(code)] = (told[String(code)] ?? 0) + 1
    }
  }
  return { triggers, accepted, covered, told, runs, finished }
}

/** What two parts hold together. */
function sumOf(one: HistoryCounts, other: HistoryCounts): HistoryCounts {
  const sum: Record<string, unknown> = {}
  for (const [what, count] of Object.entries(one)) {
    const more: unknown = other[what as keyof HistoryCounts]
    if (typeof count === 'number') sum[what] = count + (more as number)
    else sum[what] = addUp(count, more as Readonly<Record<string, number>>)
  }
  return { ...(sum as unknown as HistoryCounts), mostTogether: Math.max(one.mostTogether, other.mostTogether) }
}

function addUp(one: Readonly<Record<string, number>>, other: Readonly<Record<string, number>>): Record<string, number> {
  const sum = { ...one }
  for (const [kind, count] of Object.entries(other)) sum[kind] = (sum[kind] ?? 0) + count
  return sum
}
