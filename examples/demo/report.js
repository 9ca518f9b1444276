import { counted, duration, shortPath, size } from './format.js'

/** @typedef {import('./record.js').RunRecord} RunRecord */

const HEAVIEST = 10
/** How much of a SHA-256 is shown. */
export const DIGEST_SHOWN = 12

/**
 * What is said of a run at its end: the heaviest packages, and the sums.
 *
 * @param {RunRecord & import('./main.js').Verdict} record
 */
export function report(record) {
  return `${heaviest(record)}\n\n${sums(record)
    .map(([what, value]) => `${what.padEnd(18)}${value}`)
    .join('\n')}\n`
}

/** @param {RunRecord} record */
function heaviest({ packages }) {
  const rows = packages
    .slice(0, HEAVIEST)
    .map(({ path, version, files, bytes, sha256, worker, tookMs, requests }) => [
      shortPath(path),
      version,
      String(files),
      size(bytes),
      sha256.slice(0, DIGEST_SHOWN),
      `worker ${worker}`,
      duration(tookMs),
      `${requests} ×`,
    ])
  return table(
    ['heaviest packages', 'version', 'files', 'size', 'SHA-256', 'measured by', 'in', 'asked'],
    rows,
    [2, 3, 6, 7],
  )
}

/** @param {string[]} head @param {string[][]} rows @param {number[]} toTheRight columns whose cells stand at the right */
function table(head, rows, toTheRight) {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0)))
  const line = (/** @type {string[]} */ cells) =>
    cells
      .map((cell, column) =>
        toTheRight.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return [line(head), line(widths.map(width => '─'.repeat(width))), ...rows.map(line)].join('\n')
}

/**
 * The run in a few lines: what it is about, and the words for it.
 *
 * @param {RunRecord & import('./main.js').Verdict} record
 * @returns {[string, string][]}
 */
export function sums({ totals, kill, overlaps, holdings, remeasured, backend, problems }) {
  const { requests, served, packages, skipped, runs, unfinished, lost, reused, waits, longestWaitMs, files, bytes } =
    totals
  const confirmed = remeasured.filter(({ same }) => same).length
  return [
    [
      'packages',
      `${packages} installed: ${counted(files, 'file')}, ${size(bytes)}; ${skipped} for other platforms left out`,
    ],
    ['requests', `${served} of ${requests} served in ${duration(totals.durationMs)} on ${backend}`],
    [
      'runs',
      `${runs}: ${runs - unfinished - lost} measured and kept, ${unfinished} ended by the kill${lost === 0 ? '' : `, ${lost} by a lost lease`}`,
    ],
    ['reuse', `${counted(reused, 'request')} answered with a kept result`],
    ['longest wait', `${duration(longestWaitMs)}, of ${counted(waits, 'wait')}`],
    ['killed', killed(kill)],
    ['its lock', inherited(kill)],
    ['overlaps', `${overlaps.length} in ${counted(holdings.length, 'holding')}, by their recorded times and fences`],
    ['measured again', `${confirmed} of ${remeasured.length} picked at random, without locks, have the same digest`],
    ['result', problems.length === 0 ? 'complete, each package measured once' : problems.join('\n'.padEnd(19))],
  ]
}

/** @param {RunRecord['kill']} kill */
function killed(kill) {
  if (kill === null) return 'nobody'
  return `worker ${kill.worker} by SIGKILL while it measured ${shortPath(kill.package)} (fence ${kill.fence})`
}

/** What became of a killed worker's lock. @param {RunRecord['kill']} kill */
function inherited(kill) {
  if (kill === null) return '–'
  if (kill.lockStayedMs === null) return 'went to nobody'
  const stayed = duration(kill.lockStayedMs)
  return `stayed taken for ${stayed}, then went to worker ${kill.successor} (fence ${kill.successorFence})`
}
