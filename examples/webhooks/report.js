/** @typedef {import('./run.js').RunRecord} RunRecord */

/** @param {number} ms */
export const seconds = ms => `${(ms / 1_000).toFixed(1)} s`

/** What is said of a run at its end. @param {RunRecord} record */
export function report(record) {
  const { accounts, deliveries, requests, statuses, runs, kill, problems, tookMs } = record
  const rows = accounts.map(row => [
    row.account,
    ...[row.deliveries, row.received, row.runs, row.delivered, row.synced].map(String),
    row.delivered === row.synced ? 'yes' : 'NO',
  ])
  const head = ['account', 'deliveries', 'received', 'runs', 'last delivered', 'at the target', 'in sync']
  const outcomes = Object.entries(statuses).map(([status, count]) => `${count} ${status}`)
  const failed = `${runs.failed} failed and tried again, ${runs.killed} killed`
  const lines = [
    ['deliveries', `${deliveries}, in ${requests} requests: some came twice, of some the answer was not waited for`],
    ['triggers', outcomes.join(', ')],
    ['runs', `${runs.completed} completed (${failed}), in place of ${deliveries}`],
    ['worker killed', kill === null ? 'none' : `${kill.worker}, while it synced ${kill.accounts.join(', ')}`],
    ['took', seconds(tookMs)],
    ...problems.map((problem, i) => [i === 0 ? 'PROBLEMS' : '', problem]),
  ]
  if (problems.length === 0) {
    lines.push(['checked', 'every target holds the last delivered state; no two runs of an account overlapped'])
    lines.push(['', 'every delivery is covered by a run that began after it; nothing is left locked'])
  }
  return `${table(head, rows)}\n\n${lines.map(([what = '', text]) => `${what.padEnd(16)}${text}`).join('\n')}\n`
}

/** The first and the last column lean left. @param {string[]} head @param {string[][]} rows */
function table(head, rows) {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map(row => row[i]?.length ?? 0)))
  const line = (/** @type {string[]} */ cells) =>
    cells
      .map((cell, i) =>
        i === 0 || i === head.length - 1 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return [line(head), line(widths.map(width => '─'.repeat(width))), ...rows.map(line)].join('\n')
}
