// The time line of ticks as one HTML file.
import { INSTANCES } from './run.js'

const LEFT = 150
const SECOND = 90
const LANE = 64
const TOP = 34

const STYLE = `
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b222c; --soft: #5c6775; --line: #dce1e8;
  --run: #2f6fde; --again: #17935a; --late: #8b97a6; --killed: #d2333a }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1a2028; --ink: #e6eaf0; --soft: #98a4b3;
  --line: #333d49; --run: #6ba3ff; --again: #45c98b; --late: #77849a; --killed: #ff6b6b } }
body { margin: 0 auto; max-width: 1400px; padding: 28px; background: var(--page); color: var(--ink);
  font: 14px/1.5 system-ui, sans-serif }
h1 { margin: 0; font-size: 22px }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; margin: 18px 0 }
svg { display: block; font: 12px system-ui, sans-serif; fill: var(--ink) }
.soft { color: var(--soft); fill: var(--soft) }
.grid { stroke: var(--line) }
.run { fill: var(--run) } .again { fill: var(--again) } .cut { fill: var(--killed) }
.late { fill: none; stroke: var(--late); stroke-width: 1.5 }
.killed { stroke: var(--killed); stroke-width: 3 }
.key { display: inline-block; margin-right: 22px }
.key i { display: inline-block; width: 14px; height: 14px; margin-right: 6px; border-radius: 3px; vertical-align: -2px }
`

/** @param {import('./run.js').Story} story @param {string} summary */
export function page(story, summary) {
  const { lines, ticks, fromMs, untilMs } = story
  const width = LEFT + ((untilMs - fromMs) / 1_000) * SECOND + 40
  const height = TOP + INSTANCES.length * LANE + 10
  /** @param {number} atMs */
  const x = atMs => (LEFT + ((atMs - fromMs) / 1_000) * SECOND).toFixed(1)
  const grid = ticks.map(tick => {
    const label = new Date(tick).toISOString().slice(14, 19)
    return `<line class="grid" x1="${x(tick)}" x2="${x(tick)}" y1="${TOP - 8}" y2="${height - 8}"/>
<text class="soft" text-anchor="middle" x="${x(tick)}" y="${TOP - 14}">${label}</text>`
  })
  const lanes = INSTANCES.map(({ name, offsetMs }, i) => {
    const y = TOP + i * LANE
    const own = lines.filter(({ instance }) => instance === name)
    const killed = own.find(({ event }) => event === 'killed')
    const marks = own.flatMap(line => {
      if (line.event === 'begin') {
        const end = own.find(other => other.event === 'end' && other.fence === line.fence)
        const untilMs = end?.atMs ?? killed?.atMs ?? line.atMs
        const again = lines.some(other => {
          return other.event === 'begin' && other.tick === line.tick && other.fence < line.fence
        })
        const kind = end === undefined ? 'cut' : again ? 'again' : 'run'
        const length = Math.max(((untilMs - line.atMs) / 1_000) * SECOND, 3).toFixed(1)
        const tip = `tick ${new Date(line.tick).toISOString()}, fence ${line.fence}`
        return [
          `<rect class="${kind}" x="${x(line.atMs)}" y="${y + 10}" width="${length}" height="26" rx="3"><title>${tip}</title></rect>`,
        ]
      }
      if (line.event !== 'outcome' || line.status !== 'elsewhere') return []
      return [
        `<circle class="late" cx="${x(line.atMs)}" cy="${y + 23}" r="4"><title>came to the tick ${new Date(line.tick).toISOString()}, which ran elsewhere</title></circle>`,
      ]
    })
    const cross =
      killed === undefined
        ? ''
        : `<path class="killed" d="M${x(killed.atMs)} ${y + 8}l14 30m0 -30l-14 30"><title>killed</title></path>`
    const clock = offsetMs === 0 ? 'clock right' : `clock ${offsetMs > 0 ? '+' : '−'}${Math.abs(offsetMs)} ms`
    return `<text x="14" y="${y + 22}">${name}</text><text class="soft" x="14" y="${y + 38}">${clock}</text>
${marks.join('\n')}${cross}<line class="grid" x1="0" x2="${width}" y1="${y + LANE - 8}" y2="${y + LANE - 8}"/>`
  })
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>One instance per tick</title><style>${STYLE}</style>
<h1>One instance per tick</h1>
<p>${summary.split('\n').join('<br>')}</p>
<p><span class="key"><i style="background:var(--run)"></i>a run</span>
<span class="key"><i style="background:var(--killed)"></i>a run whose process was killed</span>
<span class="key"><i style="background:var(--again)"></i>the same tick, run by another instance with a higher fence</span>
<span class="key"><i style="border:1.5px solid var(--late);border-radius:7px;width:8px;height:8px"></i>came to a tick that ran elsewhere</span></p>
<div class="scroll"><svg width="${width}" height="${height}" role="img">${grid.join('\n')}${lanes.join('\n')}</svg></div>
<p class="soft">Across: real time. Each vertical line is the time of a tick.</p>
</html>
`
}
