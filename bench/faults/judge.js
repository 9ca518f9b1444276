// What went wrong, by what the processes saw. All times are of one clock.

/** A call that settles longer than this after its deadline is late: so much is allowed for a busy machine. */
const LATE_MS = 500
/** One that has not settled so long after its deadline, and whose process still lives, hangs. */
const HANGS_MS = 8_000
/** Two things less than this apart are taken for one after the other. */
const APART_MS = 1

/**
 * @typedef {object} Verdict
 * @property {number} grants
 * @property {number} overlaps pairs of holders of whom the earlier one acted, with its library's word, after the later one was granted
 * @property {number} late calls that settled too late
 * @property {number} hangs calls that never did
 * @property {number} refused calls that were rejected, for whatever reason
 * @property {number} crashes
 * @property {readonly string[]} reasons of crashes
 */

/** @param {readonly any[]} history @param {{ waitMs: number }} terms @returns {Verdict} */
export function judgeLocks(history, { waitMs }) {
  /** @type {Map<string, any>} */
  const calls = new Map()
  /** @type {Map<string, number>} */
  const ends = new Map()
  const troubled = disturbed(history)
  for (const record of history) {
    const { event, id, atMs } = record
    if (event === 'exit' || event === 'over') ends.set(record.process ?? '', atMs)
    if (event === 'call') calls.set(id, { ...record, calledMs: atMs, grantedMs: null, actedMs: null, settledMs: null })
    const call = calls.get(id)
    if (event === 'granted') Object.assign(call, { grantedMs: atMs, actedMs: atMs })
    if (event === 'act') call.actedMs = atMs
    if (event === 'settled') Object.assign(call, { settledMs: atMs, ok: record.ok })
  }
  const all = [...calls.values()]
  const overMs = ends.get('') ?? 0
  let [late, hangs] = [0, 0]
  for (const call of all) {
    const process = String(call.id).split('/')[0]
    const endMs = call.grantedMs ?? call.settledMs
    const untilMs = endMs ?? Math.min(ends.get(String(process)) ?? overMs, overMs)
    // A process that was stopped or killed answers for nothing meanwhile.
    const stoppedMs = troubled(String(process), call.calledMs, untilMs)
    const lateMs = untilMs - call.calledMs - stoppedMs - waitMs
    if (endMs === null && lateMs > HANGS_MS) hangs += 1
    else if (endMs !== null && lateMs > LATE_MS) late += 1
  }
  return {
    grants: all.filter(({ grantedMs }) => grantedMs !== null).length,
    overlaps: overlapsOf(all.filter(({ grantedMs }) => grantedMs !== null)),
    late,
    hangs,
    refused: all.filter(({ ok, grantedMs }) => ok === false && grantedMs === null).length,
    ...crashesOf(history),
  }
}

/** @param {readonly { lock: string, grantedMs: number, actedMs: number }[]} held */
export function overlapsOf(held) {
  let overlaps = 0
  for (const lock of new Set(held.map(one => one.lock))) {
    const row = held.filter(one => one.lock === lock).sort((a, b) => a.grantedMs - b.grantedMs)
    row.forEach((earlier, i) => {
      for (const later of row.slice(i + 1)) if (earlier.actedMs > later.grantedMs + APART_MS) overlaps += 1
    })
  }
  return overlaps
}

/** @param {readonly any[]} history */
export function crashesOf(history) {
  const crashed = history.filter(({ event, code, signal }) => event === 'exit' && signal !== 'SIGKILL' && code !== 0)
  const reasons = history
    .filter(({ event }) => event === 'crash')
    .map(({ message }) => String(message).split('\n')[0] ?? '')
  return { crashes: crashed.length, reasons: [...new Set(reasons)] }
}

/** For how long a process was stopped within a time. @param {readonly any[]} history */
function disturbed(history) {
  const stops = history.filter(({ event, kind }) => event === 'fault' && kind === 'stop')
  return (/** @type {string} */ process, /** @type {number} */ fromMs, /** @type {number} */ toMs) =>
    stops
      .filter(stop => stop.process === process)
      .reduce((sum, { atMs, forMs }) => sum + Math.max(Math.min(atMs + forMs, toMs) - Math.max(atMs, fromMs), 0), 0)
}

/**
 * @typedef {object} JobVerdict
 * @property {number} triggers accepted ones
 * @property {number} runs
 * @property {number} overlaps
 * @property {number} lost accepted triggers without a run of their key that started after they were made
 * @property {number} late
 * @property {number} hangs
 * @property {number} refused
 * @property {number} crashes
 * @property {readonly string[]} reasons
 */

/** @param {readonly any[]} history @returns {JobVerdict} */
export function judgeJobs(history) {
  /** @type {Map<string, any>} */
  const runs = new Map()
  /** @type {Map<string, any>} */
  const triggers = new Map()
  for (const { event, id, lock, atMs, ok } of history) {
    if (event === 'granted') runs.set(id, { lock, grantedMs: atMs, actedMs: atMs })
    if (event === 'act') runs.get(id).actedMs = atMs
    if (event === 'trigger') triggers.set(id, { id, lock, calledMs: atMs, settledMs: null, ok: null })
    if (event === 'settled') Object.assign(triggers.get(id), { settledMs: atMs, ok })
  }
  const all = [...triggers.values()]
  const accepted = all.filter(({ ok }) => ok === true)
  const held = [...runs.values()]
  const lost = accepted.filter(
    ({ lock, calledMs }) => !held.some(run => run.lock === lock && run.grantedMs >= calledMs - APART_MS),
  )
  const { late, hangs } = judgeLocks(
    history
      .filter(({ event }) => ['trigger', 'settled', 'fault', 'exit', 'over'].includes(event))
      .map(record => (record.event === 'trigger' ? { ...record, event: 'call' } : record)),
    { waitMs: 5_000 },
  )
  return {
    triggers: accepted.length,
    runs: held.length,
    overlaps: overlapsOf(held),
    lost: lost.length,
    late,
    hangs,
    refused: all.filter(({ ok }) => ok === false).length,
    ...crashesOf(history),
  }
}
