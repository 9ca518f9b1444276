// docs/performance.md and its plots, made from the results of one run.
import { mkdirSync, writeFileSync } from 'node:fs'
import { PEERS, POSTGRES_PEERS, RAW, SOLOIST } from '../contender.js'
import { barsSvg } from './plot.js'
import { bestPeer, ROW_PEERS, ratio, short } from './summary.js'

/** @typedef {import('./summary.js').Table} Table */

const DOCS = new URL('../../docs/', import.meta.url)

/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
const tableOf = (head, rows) =>
  [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')

/** @param {Table} table @param {readonly string[]} names @param {string} figure */
const barsOf = (table, names, figure) =>
  names.flatMap(name => {
    const spread = table[name]?.[figure]
    if (spread === undefined) return []
    return [{ label: name, value: spread.median, least: spread.least, most: spread.most, own: name === SOLOIST }]
  })

/** @param {any} results */
export function writePage(results) {
  mkdirSync(new URL('performance/', DOCS), { recursive: true })
  writeFileSync(new URL('performance.md', DOCS), `${pageOf(results)}\n`)
}

/** @param {string} file @param {string} svg @param {string} text */
function plot(file, svg, text) {
  writeFileSync(new URL(`performance/${file}.svg`, DOCS), svg)
  return `![${text}](performance/${file}.svg)`
}

/** @param {Table} table @param {string} figure @param {'most' | 'least'} [best] @param {readonly string[]} [peers] */
function against(table, figure, best, peers) {
  const peer = bestPeer(table, figure, best, peers)
  const times = ratio(table, figure, best, peers)
  return peer === null || times === null ? '' : `${times.toFixed(2)} × the best peer (${peer.name})`
}

/** @param {any} results */
function pageOf(results) {
  const { versions } = results
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  const parts = [
    `# Performance

\`\`\`sh
npm ci && npm run bench                # all of this page, on your machine
npm run bench -- --only free,hot --rounds 3
\`\`\`

Every figure on this page is from one run of \`${results.command}\` on ${results.date}: ${results.machine}, one Redis server on loopback without
persistence; ${named.join(', ')}. Each contender has processes of its own. They are measured by turns of
${results.turnMs} ms, ${results.rounds} rounds${fewer(results)} after those that warm up; figures are medians of the rounds, and the thin line in a plot goes from the
least to the most. **Compare ratios, not absolute figures**: another machine gives other ones. Where Soloist is behind, it says so.`,
  ]
  if (results.free !== undefined) parts.push(freePart(results))
  if (results.hot !== undefined) parts.push(hotPart(results.hot))
  if (results.idle !== undefined) parts.push(idlePart(results.idle))
  if (results.kept !== undefined) parts.push(keptPart(results.kept))
  if (results.stores !== undefined) parts.push(storesPart(results.stores))
  if (results.postgres !== undefined) parts.push(postgresPart(results.postgres))
  if (results.startUp !== undefined) parts.push(startUpPart(results.startUp))
  if (results.jobs !== undefined) parts.push(jobsPart(results.jobs))
  if (results.bullmq !== undefined) parts.push(bullmqPart(results.bullmq))
  return parts.join('\n\n')
}

/** @param {any} results */
const fewer = ({ hot }) =>
  Object.keys(hot ?? {}).some(set => set.startsWith('1000 ')) ? ' (2 for a thousand who want one lock)' : ''

/** @param {any} results */
function freePart({ free, pipelinedSets }) {
  const parts = [
    `## A lock that nobody else wants

A pair is taking a lock and giving it back. "${RAW}" is what the client library itself can do: \`SET NX PX\`, then a script
that compares and deletes, without a lease, waiting or a fence. Soloist sends the steps of many callers together, which is why it
can be faster than one command for each.${pipelinedSets === null ? '' : ` The server itself answers ${short(pipelinedSets)} pipelined SET commands a second here (\`redis-benchmark -P 16\`).`}`,
  ]
  for (const [callers, table] of Object.entries(free)) {
    const title = `${callers} caller${callers === '1' ? '' : 's'} of one process`
    const bars = barsOf(/** @type {Table} */ (table), [SOLOIST, ...PEERS, RAW], 'perSecond')
    const svg = barsSvg({ title, unit: 'pairs a second, more is better', bars, format: short })
    parts.push(`### ${title}

Soloist makes ${against(/** @type {Table} */ (table), 'perSecond')}, with ${against(/** @type {Table} */ (table), 'clientUs', 'least')} in CPU of the client.

${plot(`free-${callers}`, svg, title)}

${figures(/** @type {Table} */ (table), [SOLOIST, ...PEERS, RAW], {
  'pairs/s': 'perSecond',
  'CPU of the client, µs a pair': 'clientUs',
  'CPU of the server, µs a pair': 'serverUs',
  'to take it, p50 ms': 'p50Ms',
  'p99 ms': 'p99Ms',
})}`)
  }
  return parts.join('\n\n')
}

/** @param {any} hot */
function hotPart(hot) {
  const parts = [
    `## One lock that everybody wants

Nobody holds it for any time. Soloist hands it over in the order in which it was asked for. The others poll: the caller that has just
released often takes it again, while the rest wait. So look at the longest wait and at the turns beside the hand-overs.`,
  ]
  for (const [set, table] of Object.entries(hot)) {
    const [callers, processes] = set.split(' in ')
    const title = `${callers} callers in ${processes === '1' ? 'one process' : `${processes} processes`}`
    const bars = barsOf(/** @type {Table} */ (table), [SOLOIST, ...PEERS], 'longestMs')
    const svg = barsSvg({ title, unit: 'longest wait in ms, less is better', bars, format: short })
    parts.push(`### ${title}

Hand-overs: ${against(/** @type {Table} */ (table), 'perSecond')}. Longest wait: ${against(/** @type {Table} */ (table), 'longestMs', 'least')}.

${plot(`hot-${callers}-${processes}`, svg, `${title}: the longest wait`)}

${figures(/** @type {Table} */ (table), [SOLOIST, ...PEERS], {
  'hand-overs/s': 'perSecond',
  'longest wait, ms': 'longestMs',
  'wait, p50 ms': 'p50Ms',
  'fewest turns of a caller': 'fewestTurns',
  'most turns': 'mostTurns',
  'CPU of the clients, µs each': 'clientUs',
  'CPU of the server, µs each': 'serverUs',
  'calls that failed': 'failures',
})}`)
  }
  return parts.join('\n\n')
}

/** @param {Table} table @param {readonly string[]} names @param {Record<string, string>} columns */
function figures(table, names, columns) {
  const rows = names
    .filter(name => table[name] !== undefined)
    .map(name => [name, ...Object.values(columns).map(figure => short(table[name]?.[figure]?.median ?? Number.NaN))])
  return tableOf(['', ...Object.keys(columns)], rows)
}

/** @param {Record<string, number>} idle */
function idlePart(idle) {
  return `## Waiting

100 callers wait for a lock that is held. Commands that reach Redis meanwhile, a second:

${tableOf(
  ['', 'commands/s'],
  Object.entries(idle).map(([name, value]) => [name, short(value)]),
)}`
}

/** @param {any} kept */
function keptPart({ count, takeMs, heapBytes, core, longestStallMs, freeMs }) {
  return `## Keeping leases

${tableOf(
  [`${count.toLocaleString('en-US')} leases of 30 s in one process`, ''],
  [
    ['taking them', `${short(takeMs / 1_000)} s`],
    ['keeping them renewed', `${short(core * 100)} % of a core`],
    ['longest stall of the event loop meanwhile', `${short(longestStallMs)} ms`],
    ['heap', `${short(heapBytes)} bytes each`],
    ['giving them back', `${short(freeMs / 1_000)} s`],
  ],
)}`
}

/** @param {any} stores */
function storesPart(stores) {
  const rows = Object.entries(stores).flatMap(([store, byCallers]) =>
    Object.entries(/** @type {Record<string, any>} */ (byCallers)).map(([callers, figures]) => [
      store,
      callers,
      short(figures.perSecond.median),
      short(figures.clientUs.median),
      short(figures.p99Ms.median),
    ]),
  )
  return `## The other stores

A lock that nobody else wants, on one file and in memory:

${tableOf(['store', 'callers', 'pairs/s', 'CPU, µs a pair', 'to take it, p99 ms'], rows)}`
}

/** @param {any} postgres */
function postgresPart({ date, command, versions, turnMs, rounds, hotMs, hotRounds, free, hot }) {
  const names = [SOLOIST, ...POSTGRES_PEERS]
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  const parts = [
    `## Postgres

From \`${command}\` on ${date}: ${named.join(', ')}; a server of its own on loopback with its default settings, so what
grants is on disk when it is answered (\`synchronous_commit = on\`). Turns of ${turnMs} ms in ${rounds} rounds, and of ${hotMs / 1_000} s in ${hotRounds} for one
lock. The best peer is here the best of those that lock by a row. A session advisory lock writes nothing to disk; it has no lease,
no fence and no owner that anybody could see, and keeps a connection for as long as it is held.`,
  ]
  for (const [callers, table] of Object.entries(free)) {
    parts.push(`### A lock that nobody else wants, ${callers} caller${callers === '1' ? '' : 's'}

Soloist makes ${against(/** @type {Table} */ (table), 'perSecond', 'most', ROW_PEERS)}.

${figures(/** @type {Table} */ (table), names, {
  'pairs/s': 'perSecond',
  'CPU of the client, µs a pair': 'clientUs',
  'to take it, p50 ms': 'p50Ms',
  'p99 ms': 'p99Ms',
})}`)
  }
  for (const [callers, table] of Object.entries(hot)) {
    parts.push(`### One lock that ${callers} callers of one process want

Hand-overs: ${against(/** @type {Table} */ (table), 'perSecond', 'most', ROW_PEERS)}. Longest wait: ${against(/** @type {Table} */ (table), 'longestMs', 'least', ROW_PEERS)}.

${figures(/** @type {Table} */ (table), names, {
  'hand-overs/s': 'perSecond',
  'longest wait, ms': 'longestMs',
  'wait, p50 ms': 'p50Ms',
  'fewest turns of a caller': 'fewestTurns',
  'most turns': 'mostTurns',
  'CPU of the client, µs each': 'clientUs',
  'calls that failed': 'failures',
})}`)
  }
  return parts.join('\n\n')
}

/** @param {Record<string, import('./summary.js').Spread>} startUp */
function startUpPart(startUp) {
  const rows = Object.entries(startUp).map(([way, { median, least, most }]) => [
    `\`${way}\``,
    short(median),
    `${short(least)} to ${short(most)}`,
  ])
  return `## Starting

Milliseconds beyond those that Node itself takes to start and end:

${tableOf(['', 'median', 'rounds'], rows)}`
}

/** @param {Record<string, any>} jobs by store */
function jobsPart(jobs) {
  const rows = Object.entries(jobs).map(([store, { perSecond, clientUs, p50Ms, p99Ms }]) => [
    store,
    short(perSecond.median),
    short(clientUs.median),
    short(p50Ms.median),
    short(p99Ms.median),
  ])
  return `## Jobs that are functions

100 callers, each with a job of a key of its own that does nothing ([how](decisions/one-engine.md)):

${tableOf(['store', 'jobs/s', 'CPU of the client, µs', 'p50 ms', 'p99 ms'], rows)}`
}

/** @param {{ add: Record<string, any>, work: Record<string, any>, start: Record<string, any> }} bullmq */
function bullmqPart({ add, work, start }) {
  const rows = (/** @type {Record<string, any>} */ table) =>
    Object.entries(table).map(
      ([
        kind,
        {
          perSecond,
          clientUs,
          serverUs,
          ratio: { median, least, most },
        },
      ]) => [
        kind,
        short(perSecond),
        median.toFixed(2),
        `${least.toFixed(2)} to ${most.toFixed(2)}`,
        short(clientUs),
        short(serverUs),
      ],
    )
  const columns = ["of BullMQ's", 'rounds', 'CPU of the client, µs', 'CPU of the server, µs']
  return `## Queues of BullMQ

\`Queue\` and \`Worker\` beside \`SingletonQueue\` and \`SingletonWorker\`, by turns ([how](decisions/fused-with-bullmq.md)). In two steps: with
\`singleton.solo\`, where the locks need not be on the queue's Redis. Distinct jobs, 50 adds at a time:

${tableOf(['', 'adds/s', ...columns], rows(add))}

Jobs that do nothing, by one worker, 20 at a time:

${tableOf(['', 'jobs/s', ...columns], rows(work))}

From adding a job to an idle queue until it is taken up, in ms:

${tableOf(
  ['', 'p50', 'p99'],
  Object.entries(start).map(([kind, { p50Ms, p99Ms }]) => [kind, short(p50Ms), short(p99Ms)]),
)}`
}
