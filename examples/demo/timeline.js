import { readFileSync } from 'node:fs'
import { counted, duration, shortPath, size } from './format.js'
import { DIGEST_SHOWN, sums } from './report.js'

/**
 * @typedef {import('./record.js').RunRecord & import('./main.js').Verdict} JudgedRecord
 * @typedef {import('./history.js').Holding} Holding
 */

const AXIS_HEIGHT = 44
const LANE_HEIGHT = 58
const LANE_GAP = 6
/** The distances between the lines of an axis, in milliseconds, finest first. The page shows what has room. */
const AXIS_STEPS_MS = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000]
const MOST_TICKS = 600
/** A bar below this share of the width is drawn so that it can be seen at all, others so that neighbours stand apart. */
const SLIVER = 0.002
/** How many lines the axis has at most before the page's script picks another. */
const FIRST_TICKS = 12

/** A page that shows who held what when. It needs nothing from elsewhere. @param {JudgedRecord} record */
export function timeline(record) {
  const file = (/** @type {string} */ name) => readFileSync(new URL(name, import.meta.url), 'utf8')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Soloist demo: who held what when</title>
<style>
${file('timeline.css')}</style>
<h1>Who held what when</h1>
${summary(record)}
<div class="card">
<div class="bar">${legend()}
<label class="zoom">zoom <input id="zoom" type="range" min="0" max="6" step="0.1" value="0"></label></div>
<div class="chart">
<div class="names"><div style="height:${AXIS_HEIGHT}px"></div>${record.workers.map(worker => laneName(record, worker)).join('')}</div>
<div class="scroll">${chart(record)}</div>
</div>
</div>
<h2>Packages, heaviest first</h2>
<div class="card table">${packageTable(record)}</div>
<div id="tip" hidden></div>
<script type="module">
${file('timeline-page.js')}</script>
</html>
`
}

/** @param {JudgedRecord} record */
function summary(record) {
  const { run, startedAt, node, ttlMs, totals, overlaps, problems } = record
  const words = Object.fromEntries(sums(record))
  const tiles = /** @type {[string, string, boolean?][]} */ ([
    [String(totals.requests), `requests for ${counted(totals.packages, 'package')}`, totals.served !== totals.requests],
    [String(totals.runs), `measurements, ${totals.unfinished} ended by the kill`],
    [String(totals.reused), 'answers reused'],
    [duration(totals.longestWaitMs), `longest of ${counted(totals.waits, 'wait')}`],
    [String(overlaps.length), `overlaps in ${counted(record.holdings.length, 'holding')}`, overlaps.length > 0],
    [duration(totals.durationMs), `on ${record.backend}, ttl ${duration(ttlMs)}`],
  ])
  const verdict = problems.length === 0 ? ['good', words.result ?? ''] : ['bad', problems.join('; ')]
  return `<p class="soft">Run ${escaped(run)}, started ${escaped(startedAt)}, Node ${escaped(node)}</p>
<div class="tiles">${tiles
    .map(([value, what, bad]) => `<div class="tile${bad ? ' bad' : ''}"><b>${escaped(value)}</b>${escaped(what)}</div>`)
    .join('')}</div>
<p>Killed: ${escaped(words.killed ?? '')}; its lock ${escaped(words['its lock'] ?? '')}.</p>
<p>Measured again: ${escaped(words['measured again'] ?? '')}. <b class="${verdict[0]}">Result: ${escaped(verdict[1] ?? '')}.</b></p>`
}

function legend() {
  const keys = [
    ['', 'measured', 'held, measured'],
    ['', 'reused', 'held, result was there'],
    ['', 'killed', 'held when killed'],
    ['stays', 'killed', 'lock of the dead'],
    ['', 'takeover', 'taken over'],
    ['thin', 'wait', 'waits'],
    ['mark', 'kept', 'result found, no lock needed'],
  ]
  return keys
    .map(([kind, colour, words]) => `<span class="key ${kind}" style="--colour:var(--${colour})">${words}</span>`)
    .join('')
}

/** @param {JudgedRecord} record @param {JudgedRecord['workers'][number]} worker */
function laneName({ kill }, { name, replaces, killed, served }) {
  const fate = killed && kill?.worker === name ? ` <small class="bad">killed at ${duration(kill.atMs)}</small>` : ''
  const origin = replaces === null ? '' : ` <small class="good">replaces worker ${escaped(replaces)}</small>`
  return `<div style="height:${LANE_HEIGHT + LANE_GAP}px"><b>worker ${escaped(name)}</b>${fate}${origin}<small class="soft">${counted(served, 'request')}</small></div>`
}

/** The bars. Across, everything is a share of the run's time, so the page zooms by making the drawing wider. @param {JudgedRecord} record */
function chart(record) {
  const { workers, totals, holdings, waits, reuses, kill, packages, requests } = record
  const wholeMs = totals.durationMs * 1.02 || 1
  const height = AXIS_HEIGHT + workers.length * (LANE_HEIGHT + LANE_GAP)
  const at = (/** @type {number} */ ms) => `${((ms / wholeMs) * 100).toFixed(4)}%`
  const top = (/** @type {string} */ worker) =>
    AXIS_HEIGHT + workers.findIndex(({ name }) => name === worker) * (LANE_HEIGHT + LANE_GAP)
  const known = new Map(packages.map((about, index) => [about.path, { ...about, index }]))

  /** @param {{ className: string, package: string, worker: string, fromMs: number, untilMs: number, y: number, height: number, tip: string[] }} bar */
  const bar = ({ className, package: path, worker, fromMs, untilMs, y, height, tip }) => {
    const text = [shortPath(path), `worker ${worker}`, ...tip].join('\n')
    return `<rect class="${className}" x="${at(fromMs)}" width="${at(untilMs - fromMs)}" y="${top(worker) + y}" height="${height}" data-package="${known.get(path)?.index}" data-tip="${escaped(text)}"/>`
  }
  /** What is known of a request, in lines. @param {number} request @param {string} path */
  const about = (request, path) => {
    const measured = known.get(path)
    const result = measured === undefined ? [] : [`${counted(measured.files, 'file')}, ${size(measured.bytes)}`]
    return [`for ${shortPath(requests[request]?.dependent ?? '')}`, ...result]
  }
  /** @param {Holding} holding */
  const isTakeover = ({ package: path, fence }) => path === kill?.package && fence === kill.successorFence

  const waitBars = waits.map(({ package: path, worker, request, fromMs, untilMs }) =>
    bar({
      ...{ className: 'wait', package: path, worker, fromMs, untilMs, y: 19, height: 6 },
      tip: [`waits ${duration(untilMs - fromMs)}`, ...about(request, path)],
    }),
  )
  const holdingBars = holdings.map(holding => {
    const { package: path, worker, request, fence, fromMs, untilMs, use, end } = holding
    const sliver = untilMs - fromMs < wholeMs * SLIVER ? ' sliver' : ''
    const className = `held ${isTakeover(holding) ? 'takeover' : use}${sliver}`
    const words = { measured: 'measured in', reused: 'result was there, held', unfinished: `${end} after` }[use]
    const label = `<svg x="${at(fromMs)}" width="${at(untilMs - fromMs)}" y="${top(worker) + 8}" height="28"><text class="on-bar" x="6" y="18">${escaped(shortPath(path))}</text></svg>`
    const tip = [`${words} ${duration(untilMs - fromMs)}, from ${duration(fromMs)}`, `fence ${fence}`]
    return (
      bar({
        ...{ className, package: path, worker, fromMs, untilMs, y: 8, height: 28 },
        tip: [...tip, ...about(request, path)],
      }) + (use === 'reused' ? '' : label)
    )
  })
  const reuseMarks = reuses.map(
    ({ package: path, worker, request, atMs }) =>
      `<rect class="kept" x="${at(atMs)}" width="2" y="${top(worker) + 44}" height="8" data-package="${known.get(path)?.index}" data-tip="${escaped(
        [shortPath(path), `worker ${worker}`, `result found at ${duration(atMs)}`, ...about(request, path)].join('\n'),
      )}"/>`,
  )
  const lanes = workers.map(
    ({ name }) => `<rect class="lane" x="0" width="100%" y="${top(name)}" height="${LANE_HEIGHT}" rx="4"/>`,
  )
  return `<svg width="100%" height="${height}" role="img" aria-label="Timeline of the locks each worker held">
<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line class="hatch" y2="7" stroke-width="3"/></pattern></defs>
${lanes.join('')}
${axes(wholeMs, height, at)}
${waitBars.join('\n')}
${holdingBars.join('\n')}
${reuseMarks.join('\n')}
${kill === null ? '' : killMarks(kill, height, at, top)}
</svg>`
}

/** @param {number} wholeMs @param {number} height @param {(ms: number) => string} at */
function axes(wholeMs, height, at) {
  const steps = AXIS_STEPS_MS.filter(stepMs => wholeMs / stepMs <= MOST_TICKS)
  const first = steps.find(stepMs => wholeMs / stepMs <= FIRST_TICKS) ?? steps.at(-1)
  return steps
    .map(stepMs => {
      const decimals = Math.max(0, 3 - Math.floor(Math.log10(stepMs)))
      const ticks = Array.from({ length: Math.floor(wholeMs / stepMs) + 1 }, (_, index) => {
        const ms = index * stepMs
        const label = `${(ms / 1_000).toFixed(decimals)} s`
        const x = at(ms)
        const anchor = index === 0 ? ' style="text-anchor:start"' : ''
        return `<line x1="${x}" x2="${x}" y1="${AXIS_HEIGHT - 8}" y2="${height}"/><text x="${x}" y="${AXIS_HEIGHT - 14}"${anchor}>${label}</text>`
      })
      return `<g class="axis${stepMs === first ? ' shown' : ''}">${ticks.join('')}</g>`
    })
    .join('\n')
}

/** The kill across all lanes, the lock that stays behind, and its way to the next worker. @param {import('./record.js').Kill} kill @param {number} height @param {(ms: number) => string} at @param {(worker: string) => number} top */
function killMarks({ worker, atMs, lockFreeAtMs, lockStayedMs, successor }, height, at, top) {
  const killX = at(atMs)
  const line = `<line class="kill" x1="${killX}" x2="${killX}" y1="14" y2="${height}"/><text class="kill-word" x="${killX}" dx="5" y="13">SIGKILL of worker ${escaped(worker)} at ${duration(atMs)}</text>`
  if (lockFreeAtMs === null || lockStayedMs === null || successor === null) return line
  const freeX = at(lockFreeAtMs)
  const [from, to] = [top(worker) + 22, top(successor) + 22]
  return `${line}
<rect class="stays" x="${killX}" width="${at(lockStayedMs)}" y="${top(worker) + 8}" height="28"/>
<text class="kill-word" x="${killX}" dx="8" y="${top(worker) + 50}">its lock stays ${duration(lockStayedMs)}</text>
<line class="handover" x1="${freeX}" x2="${freeX}" y1="${from}" y2="${to}"/>
<text class="takeover-word" x="${freeX}" dx="-6" y="${top(successor) + 50}">takeover</text>`
}

/** @param {JudgedRecord} record */
function packageTable({ packages }) {
  const rows = packages.map(
    ({ path, version, files, bytes, sha256, worker, fence, tookMs, requests }) =>
      `<tr><td>${escaped(shortPath(path))}<td>${escaped(version)}<td class="number">${files}<td class="number">${size(bytes)}<td><code>${escaped(sha256.slice(0, DIGEST_SHOWN))}</code><td class="number">${requests}<td>worker ${escaped(worker)}<td class="number">${fence}<td class="number">${duration(tookMs)}`,
  )
  return `<table><tr><th>package<th>version<th class="number">files<th class="number">size<th>SHA-256<th class="number">asked for<th>measured by<th class="number">fence<th class="number">in
${rows.join('\n')}</table>`
}

/** Text that is safe inside an element and inside a quoted attribute. @param {string} text */
function escaped(text) {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}
