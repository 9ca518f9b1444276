import { checkHistory } from 'soloist/conformance'
import { PARENT } from './crew.js'
import { checkable, groupBy, workerHistory } from './history.js'
import { readJournal } from './journal.js'
import { findKept } from './kept.js'

/**
 * @typedef {import('./history.js').Holding} Holding
 * @typedef {import('./kept.js').Kept} Kept
 * @typedef {import('./requests.js').Package} Package
 */

/**
 * What is known of a run before it begins.
 *
 * @typedef {object} Plan
 * @property {string} id
 * @property {string} runFolder
 * @property {Date} startedAt
 * @property {number} startedAtMs the same moment on the monotonic clock of the journals
 * @property {string} backend the kind of store: `sqlite`, `postgres`, `redis`
 * @property {number} ttlMs
 * @property {Package[]} packages
 * @property {string[]} skipped
 * @property {import('./requests.js').Request[]} requests
 */

/**
 * The worker that was killed with a lock in its hands. Its lock stayed taken from `atMs` until `lockFreeAtMs`, when
 * `successor` was granted it.
 *
 * @typedef {object} Kill
 * @property {string} worker
 * @property {number} atMs when the signal was sent
 * @property {string} package
 * @property {number} fence
 * @property {number | null} lockFreeAtMs
 * @property {number | null} lockStayedMs
 * @property {string | null} successor
 * @property {number | null} successorFence
 */

/**
 * A package's result, with who measured it and how long that took; `requests` is how often it was asked for.
 *
 * @typedef {Package & Omit<Kept, 'package'> & { tookMs: number, requests: number }} MeasuredPackage
 */

/** @typedef {ReturnType<typeof readRecord>} RunRecord everything a run did, as it is written to its record */

/**
 * Puts the record of a run together from the journals of its processes.
 *
 * @param {Plan} plan
 * @param {readonly import('./crew.js').Member[]} members
 */
export function readRecord(plan, members) {
  const ofParent = readJournal(plan.runFolder, PARENT)
  const workers = members.map(({ name, pid, replaces }) => {
    /** @param {import('./journal.js').Step} what */
    const ofWorker = what => ofParent.findLast(({ step, worker }) => step === what && worker === name)
    const events = readJournal(plan.runFolder, name)
    const dead = ofWorker('killed')
    // Whoever waits for its lock may notice its death before its parent, which is busy.
    const killed = dead && { ...dead, t: Math.max((ofWorker('kill') ?? dead).t, events.at(-1)?.t ?? 0) }
    const history = workerHistory(events, plan.startedAtMs, killed)
    return { name, pid, replaces, killed: killed !== undefined, ...history }
  })
  const holdings = workers.flatMap(worker => worker.holdings).sort((a, b) => a.fromMs - b.fromMs)
  const waits = workers.flatMap(worker => worker.waits)
  const reuses = workers.flatMap(worker => worker.reuses)
  const packages = measuredPackages(plan, holdings)
  const killSentAt = ofParent.findLast(({ step }) => step === 'kill')?.t
  return {
    run: plan.id,
    startedAt: plan.startedAt.toISOString(),
    backend: plan.backend,
    node: process.version,
    ttlMs: plan.ttlMs,
    totals: {
      packages: plan.packages.length,
      skipped: plan.skipped.length,
      requests: plan.requests.length,
      served: workers.reduce((sum, { served }) => sum + served, 0),
      runs: holdings.filter(({ use }) => use !== 'reused').length,
      unfinished: holdings.filter(({ use, end }) => use === 'unfinished' && end !== 'lost').length,
      lost: holdings.filter(({ use, end }) => use === 'unfinished' && end === 'lost').length,
      reused: reuses.length + holdings.filter(({ use }) => use === 'reused').length,
      waits: waits.length,
      longestWaitMs: waits.reduce((longest, { fromMs, untilMs }) => Math.max(longest, untilMs - fromMs), 0),
      files: packages.reduce((sum, { files }) => sum + files, 0),
      bytes: packages.reduce((sum, { bytes }) => sum + bytes, 0),
      durationMs: Math.max(0, ...holdings.map(({ untilMs }) => untilMs), ...reuses.map(({ atMs }) => atMs)),
    },
    kill: killSentAt === undefined ? null : killOf(holdings, killSentAt - plan.startedAtMs),
    overlaps: checkHistory(checkable(holdings)).violations,
    packages,
    workers: workers.map(({ name, pid, replaces, killed, served }) => ({ name, pid, replaces, killed, served })),
    requests: plan.requests,
    holdings,
    waits,
    reuses,
    skipped: plan.skipped,
  }
}

/**
 * What is wrong with a run; empty when it kept every promise.
 *
 * @param {RunRecord} record
 * @returns {string[]}
 */
export function problemsOf({ totals, kill, overlaps, packages, holdings }) {
  const problems = overlaps.map(({ name, kind, message }) => `${kind} on the lock of ${name}: ${message}`)
  if (totals.served !== totals.requests) problems.push(`${totals.served} of ${totals.requests} requests were served`)
  if (packages.length !== totals.packages) {
    problems.push(`${packages.length} of ${totals.packages} packages have a result`)
  }
  const measurements = holdings.filter(({ use }) => use === 'measured')
  for (const [path, runs] of groupBy(measurements, holding => holding.package)) {
    if (runs.length > 1) problems.push(`${path} was measured ${runs.length} times`)
    const kept = packages.find(result => result.path === path)
    if (kept?.fence !== runs[0]?.fence) problems.push(`the kept result of ${path} is not of the fence that measured it`)
  }
  if (kill === null) problems.push('no worker was killed while it held a lock')
  else if (kill.successor === null) problems.push(`nobody got the lock of ${kill.package} after its holder was killed`)
  return problems
}

/** Heaviest first. @param {Plan} plan @param {readonly Holding[]} holdings @returns {MeasuredPackage[]} */
function measuredPackages({ runFolder, packages, requests }, holdings) {
  const asked = groupBy(requests, request => request.package)
  return packages
    .flatMap(about => {
      const kept = findKept(runFolder, about.path)
      if (kept === null) return []
      const { files, bytes, sha256, worker, fence } = kept
      const run = holdings.find(holding => holding.package === about.path && holding.use === 'measured')
      const tookMs = run === undefined ? 0 : run.untilMs - run.fromMs
      return [{ ...about, files, bytes, sha256, worker, fence, tookMs, requests: asked.get(about.path)?.length ?? 0 }]
    })
    .sort((a, b) => b.bytes - a.bytes)
}

/** @param {readonly Holding[]} holdings @param {number} atMs @returns {Kill | null} */
function killOf(holdings, atMs) {
  const held = holdings.find(({ end }) => end === 'killed')
  if (held === undefined) return null
  const next = holdings.find(({ package: path, fromMs }) => path === held.package && fromMs >= held.untilMs)
  return {
    worker: held.worker,
    atMs,
    package: held.package,
    fence: held.fence,
    lockFreeAtMs: next?.fromMs ?? null,
    lockStayedMs: next === undefined ? null : next.fromMs - atMs,
    successor: next?.worker ?? null,
    successorFence: next?.fence ?? null,
  }
}
