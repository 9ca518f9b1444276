import { type Claimed, read, type Told } from './claims.js'
import { checkFences } from './fences.js'
import { checkIntervals } from './intervals.js'
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
  /** How many states the search for an order may look at, for each lock; default 200,000. */
  readonly budget?: number | undefined
  /** What has to have happened, so that the history shows something; default: nothing. */
  readonly atLeast?: { readonly granted?: number; readonly contended?: number; readonly faults?: number } | undefined
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
 * Every fault in the history must have had an effect. What a fault may lose is excused, and counted.
 *
 * @param history records, or their JSON, one per line. Those of one claim must be in order; claims may be mixed, so the
 *   logs of several processes can just be joined.
 */
export function checkHistory(
  history: string | Iterable<HistoryRecord>,
  { wakeUpMs, budget = BUDGET, atLeast = {} }: HistoryOptions = {},
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
    checkFences(name, grants, report)
    checkOrder(name, claims, told, report)
    if (wakeUpMs !== undefined) checkWakeUps(name, claims, told, wakeUpMs, report)
    // A history that is known to be wrong has no order.
    if (violations.some(violation => violation.name === name)) continue
    const found = findOrder(claims, told, budget)
    if (found.status === 'impossible') report('impossible', name, `no order of the steps explains ${found.at}`)
    if (found.status === 'unknown') report('unknown', name, `no order was found among ${found.states} states`)
  }
  for (const { kind, hits, atMs } of told.faults) {
    if (!(hits > 0)) report('harmless', '', `the fault ${kind} at ${Math.round(atMs)} did nothing`)
  }
  const counts = countsOf(told, mostTogether, excused)
  const made = Object.values(counts.faults).reduce((sum, count) => sum + count, 0)
  const happened = { granted: counts.granted, contended: counts.contended, faults: made }
  for (const [what, least] of Object.entries(atLeast)) {
    const count = happened[what as keyof typeof happened]
    if (count < least) report('too-little', '', `${what}: ${count}, and not ${least}`)
  }
  return { violations, counts }
}

function countsOf({ claims, events, faults }: Told, mostTogether: number, excused: number): HistoryCounts {
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
    faults: byKind,
  }
}
