// Bars as SVG that is read on a light and on a dark page.

/** @typedef {{ label: string, value: number, least: number, most: number, own: boolean }} Bar */

const WIDTH = 760
const LABELS = 190
const VALUES = 110
const ROW = 26
const TOP = 44

/** @param {string} text */
const escaped = text => text.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`)

/**
 * One bar for each contender, with a thin line from the least to the most that a round gave.
 *
 * @param {{ title: string, unit: string, bars: readonly Bar[], format: (value: number) => string }} plot
 */
export function barsSvg({ title, unit, bars, format }) {
  const longest = Math.max(...bars.map(bar => bar.most))
  const room = WIDTH - LABELS - VALUES
  /** @param {number} value */
  const x = value => LABELS + (value / longest) * room
  const rows = bars.map(({ label, value, least, most, own }, i) => {
    const y = TOP + i * ROW
    const middle = y + ROW / 2 - 2
    return [
      `<text class="label${own ? ' own' : ''}" x="${LABELS - 10}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
      `<rect class="${own ? 'bar own' : 'bar'}" x="${LABELS}" y="${y + 3}" width="${Math.max(1, x(value) - LABELS).toFixed(1)}" height="${ROW - 10}" rx="2"/>`,
      `<line class="spread" x1="${x(least).toFixed(1)}" x2="${x(most).toFixed(1)}" y1="${middle}" y2="${middle}"/>`,
      `<text class="value" x="${(x(most) + 8).toFixed(1)}" y="${middle + 4}">${escaped(format(value))}</text>`,
    ].join('\n')
  })
  const height = TOP + bars.length * ROW + 8
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 } .unit { fill: #57606a } .own { font-weight: 600 }
.bar { fill: #a8b3bf } .bar.own { fill: #0969da } .spread { stroke: #24292f; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .unit { fill: #9198a1 }
  .bar { fill: #545d68 } .bar.own { fill: #4493f8 } .spread { stroke: #e6edf3 }
}
</style>
<text class="title" x="0" y="16">${escaped(title)}</text>
<text class="unit" x="0" y="33">${escaped(unit)}</text>
${rows.join('\n')}
</svg>
`
}
