import type { Told } from './claims.js'
import { sortedBy } from './intervals.js'
import type { JobHistory, Ran, Triggered } from './jobs.js'
import type { Report } from './report.js'

/**
 * Whether one job kept its promises: its runs stay within their limit while they are valid, later ones have higher fences, each
 * trigger was told of a run that covers it or of none, and merged arguments are in that run, once and in order.
 *
 * @returns how many overlaps a recorded loss of the datastore explains
 */
export function checkJob(name: string, job: JobHistory, told: Told, report: Report): number {
  const runs = sortedBy([...job.runs.values()], ({ fromMs }) => fromMs)
  const excused = checkRuns(name, runs, told, report)
  const successors = successorsOf(runs)
  for (const trigger of job.triggers.values()) {
    const { id, process, run: covering, acceptedMs } = trigger
    if (covering === undefined) {
      // What its process knew is gone with it.
      if (process === null || !told.ended.has(process))
        report('unsettled', name, `${id} was never told what became of it`)
      continue
    }
    if (covering === null) continue
    if (acceptedMs === Infinity) trigger.acceptedMs = told.lastMs
    const problem = problemOf(trigger, job.runs.get(covering), successors)
    if (problem !== null) report('uncovered', name, `${id} was told of ${covering}, ${problem}`)
    const times = job.runs.get(covering)?.triggers.filter(one => one === id).length
    if (trigger.merges && times !== undefined && times !== 1) {
      report('arguments', name, `the arguments of ${id} are ${times} times in ${covering}`)
    }
  }
  for (const run of runs) checkArguments(name, run, job, told, report)
  return excused
}

function checkRuns(name: string, runs: readonly Ran[], { ended, faults }: Told, report: Report): number {
  const losses = faults.filter(({ loses }) => loses === true)
  const forgot = (one: Ran, other: Ran) =>
    losses.some(({ atMs, untilMs }) => atMs <= other.fromMs && untilMs >= one.fromMs)
  let valid: Ran[] = []
  let highest: Ran | null = null
  let excused = 0
  for (const run of runs) {
    const { limit } = run
    const endOf = (one: Ran) => Math.min(one.validMs, ended.get(one.process ?? '') ?? Infinity)
    valid = valid.filter(one => endOf(one) > run.fromMs)
    if (limit !== null && valid.length >= limit) {
      const others = valid.map(({ id }) => id).join(', ')
      if (valid.some(one => forgot(one, run))) excused += 1
      else report('overlap', name, `${run.id} started at ${run.fromMs}, while ${others} ran`)
    }
    valid.push(run)
    if (limit !== 1) continue
    if (highest !== null && highest.fence >= run.fence && highest.fromMs < run.earliestMs && !forgot(highest, run)) {
      report('fence', name, `${run.id} started with fence ${run.fence}, after ${highest.id} with ${highest.fence}`)
    }
    if (highest === null || run.fence > highest.fence) highest = run
  }
  return excused
}

/** Of each run that was alone, when the next one started at the latest: by then it was over. */
function successorsOf(runs: readonly Ran[]): ReadonlyMap<string, number> {
  const successors = new Map<string, number>()
  const alone = sortedBy(
    runs.filter(({ limit }) => limit === 1),
    ({ fence }) => fence,
  )
  let firstMs = Infinity
  for (const run of [...alone].reverse()) {
    successors.set(run.id, firstMs)
    firstMs = Math.min(firstMs, run.fromMs)
  }
  return successors
}

function problemOf(
  { covers, sentMs }: Triggered,
  run: Ran | undefined,
  successors: ReadonlyMap<string, number>,
): string | null {
  if (run === undefined) return 'which never started'
  if (run.finished === 'no') return 'which never ended'
  if (covers === 'later' && run.fromMs < sentMs) return `which started at ${run.fromMs}, before it came at ${sentMs}`
  const overMs = successors.get(run.id) ?? Infinity
  return covers === 'live' && overMs < sentMs ? `which was over at ${overMs}, before it came at ${sentMs}` : null
}

/** Each trigger's arguments are in a run once; and where nothing went wrong, in the order in which triggers certainly came. */
function checkArguments(name: string, run: Ran, job: JobHistory, { faults }: Told, report: Report): void {
  if (run.triggers.length < 2) return
  const twice = run.triggers.find((id, i) => run.triggers.indexOf(id) < i)
  if (twice !== undefined) report('arguments', name, `the arguments of ${twice} are in ${run.id} twice`)
  const triggers = run.triggers.flatMap(id => job.triggers.get(id) ?? [])
  const firstMs = Math.min(...triggers.map(({ sentMs }) => sentMs))
  // A run that vanished leaves its triggers to start anew, after those that came later.
  if (faults.some(({ atMs, untilMs }) => atMs <= run.fromMs && untilMs >= firstMs)) return
  let answered: Triggered | null = null
  for (const trigger of [...triggers].reverse()) {
    if (answered !== null && answered.acceptedMs < trigger.sentMs) {
      report(
        'arguments',
        name,
        `in ${run.id} ${trigger.id} comes before ${answered.id}, which was accepted before it came`,
      )
      return
    }
    if (answered === null || trigger.acceptedMs < answered.acceptedMs) answered = trigger
  }
}
