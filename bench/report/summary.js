import { ADVISORY, PEERS, POSTGRES_PEERS, RAW, SOLOIST } from '../contender.js'

/** @typedef {import('../measures/rounds.js').Spread} Spread */
/** @typedef {Record<string, Record<string, Spread>>} Table by contender and figure */

/** What locks by a row, as Soloist does: an advisory lock has no lease and no owner. */
export const ROW_PEERS = POSTGRES_PEERS.filter(name => name !== ADVISORY)

/**
 * The peer that is best in a figure, and its median.
 *
 * @param {Table} table @param {string} figure @param {'most' | 'least'} [best] @param {readonly string[]} [peers]
 */
export function bestPeer(table, figure, best = 'most', peers = PEERS) {
  /** @type {{ name: string, median: number } | null} */
  let found = null
  for (const name of peers) {
    const median = table[name]?.[figure]?.median
    if (median === undefined) continue
    if (found === null || (best === 'most' ? median > found.median : median < found.median)) found = { name, median }
  }
  return found
}

/**
 * Soloist's median as a multiple of the best peer's.
 *
 * @param {Table} table @param {string} figure @param {'most' | 'least'} [best] @param {readonly string[]} [peers]
 */
export function ratio(table, figure, best, peers) {
  const peer = bestPeer(table, figure, best, peers)
  const own = table[SOLOIST]?.[figure]?.median
  return peer === null || own === undefined ? null : own / peer.median
}

/** @param {number} value */
export function short(value) {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}

/** Text for the terminal. @param {any} results */
export function summary(results) {
  const lines = [
    `\n${results.date}, ${results.machine}, Redis ${results.versions.redis}, Node ${results.versions.node}`,
  ]
  for (const [callers, table] of Object.entries(results.free ?? {})) {
    lines.push(`\nFree locks, ${callers} callers: pairs/s, CPU µs of client and server a pair, p50 and p99 ms`)
    lines.push(...rows(table, ['perSecond', 'clientUs', 'serverUs', 'p50Ms', 'p99Ms']))
    lines.push(
      `  of the best peer: ${told(ratio(table, 'perSecond'))} in speed, ${told(ratio(table, 'clientUs', 'least'))} in CPU of the client`,
    )
  }
  for (const [set, table] of Object.entries(results.hot ?? {})) {
    lines.push(
      `\nOne lock, ${set} process(es): hand-overs/s, CPU µs of client and server, longest wait ms, turns of a caller`,
    )
    lines.push(...rows(table, ['perSecond', 'clientUs', 'serverUs', 'longestMs', 'fewestTurns', 'mostTurns']))
    lines.push(
      `  of the best peer: ${told(ratio(table, 'perSecond'))} in speed, ${told(ratio(table, 'longestMs', 'least'))} in the longest wait`,
    )
  }
  for (const [store, byCallers] of Object.entries(results.stores ?? {})) {
    for (const [callers, figures] of Object.entries(byCallers)) {
      lines.push(
        `\nFree locks on ${store}, ${callers} callers: ${short(/** @type {any} */ (figures).perSecond.median)} pairs/s`,
      )
    }
  }
  for (const [store, figures] of Object.entries(results.jobs ?? {})) {
    const { perSecond, clientUs, p50Ms } = /** @type {any} */ (figures)
    lines.push(
      `\nFunction jobs on ${store}, 100 callers, keys of their own: ${short(perSecond.median)} jobs/s, ${short(clientUs.median)} CPU µs of the client, p50 ${short(p50Ms.median)} ms`,
    )
  }
  for (const [callers, table] of Object.entries(results.postgres?.free ?? {})) {
    lines.push(`\nFree locks on Postgres, ${callers} callers: pairs/s, CPU µs of the client a pair, p50 and p99 ms`)
    lines.push(...rows(table, ['perSecond', 'clientUs', 'p50Ms', 'p99Ms']))
    lines.push(`  of the best that locks by a row: ${told(ratio(table, 'perSecond', 'most', ROW_PEERS))} in speed`)
  }
  for (const [callers, table] of Object.entries(results.postgres?.hot ?? {})) {
    lines.push(`\nOne lock on Postgres, ${callers} callers: hand-overs/s, p50 and longest wait ms, turns of a caller`)
    lines.push(...rows(table, ['perSecond', 'p50Ms', 'longestMs', 'fewestTurns', 'mostTurns']))
    lines.push(
      `  of the best that locks by a row: ${told(ratio(table, 'perSecond', 'most', ROW_PEERS))} in speed, ${told(ratio(table, 'longestMs', 'least', ROW_PEERS))} in the longest wait`,
    )
  }
  for (const part of ['kept', 'idle', 'startUp', 'bullmq']) {
    if (results[part] !== undefined) lines.push(`\n${part}: ${JSON.stringify(results[part], null, 1)}`)
  }
  return lines.join('\n')
}

/** @param {any} table @param {readonly string[]} figures */
function rows(table, figures) {
  return [SOLOIST, ...PEERS, ...POSTGRES_PEERS, RAW]
    .filter(name => table[name] !== undefined)
    .map(name => {
      const cells = figures.map(figure => short(table[name][figure]?.median ?? Number.NaN).padStart(10))
      return `  ${name.padEnd(26)}${cells.join('')}`
    })
}

/** @param {number | null} value */
const told = value => (value === null ? 'not measured' : `${value.toFixed(2)} ×`)
