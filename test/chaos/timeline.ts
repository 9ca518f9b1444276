import type { HistoryReport } from 'soloist/conformance'
import type { Plan } from './plan.js'

interface Bar {
  readonly lock: string
  readonly owner: string
  readonly fence: number
  readonly fromMs: number
  toMs: number
  end: string
}

const WIDTH = 12
const ROW = 14

/** A page that shows who held what, and when which fault was made. */
export function timeline(plan: Plan, history: string, { violations, counts }: HistoryReport): string {
  const records = history
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line))
  const firstMs = records.reduce((first, { atMs }) => Math.min(first, atMs), Infinity)
  const x = (atMs: number) => ((atMs - firstMs) / 1_000) * WIDTH * 10
  const bars: Bar[] = []
  const open = new Map<string, Bar>()
  const faults: string[] = []
  for (const { event, name, atMs, untilMs = atMs, fence, kind, processes, hits, run, ...record } of records) {
    const owner = record.owner ?? run
    const key = `${name} ${owner}`
    if (event === 'granted' || event === 'started') {
      const bar = { lock: name, owner, fence, fromMs: atMs, toMs: untilMs, end: 'none' }
      bars.push(bar)
      open.set(key, bar)
    } else if (event === 'renewed' || event === 'running') (open.get(key) as Bar).toMs = untilMs
    else if (event === 'finished')
      Object.assign(open.get(key) as Bar, { toMs: atMs, end: record.valid ? 'released' : 'lost' })
    else if (event === 'released' || event === 'lost') Object.assign(open.get(key) as Bar, { toMs: atMs, end: event })
    else if (event === 'fault') {
      const title = `${kind} ${processes ?? 'all'}, ${hits} hits`
      const [from, width] = [x(atMs), Math.max(x(untilMs) - x(atMs), 2)]
      faults.push(`<rect class="fault" x="${from}" width="${width}" height="100%"><title>${text(title)}</title></rect>`)
      faults.push(`<text x="${from + 2}" y="10">${text(kind)}</text>`)
    }
  }
  const rows = new Map<string, number>()
  const rowOf = (label: string) => rows.set(label, rows.get(label) ?? rows.size).get(label) as number
  const rects = bars
    .sort((a, b) => (a.lock < b.lock ? -1 : a.lock > b.lock ? 1 : a.fromMs - b.fromMs))
    .map(({ lock, owner, fence, fromMs, toMs, end }) => {
      const y = 20 + ROW * rowOf(`${lock} · ${owner.split('/')[0]}`)
      const title = `${lock} ${owner}, fence ${fence}, ${Math.round(fromMs - firstMs)} to ${Math.round(toMs - firstMs)} ms, ${end}`
      const place = `x="${x(fromMs)}" y="${y}" width="${Math.max(x(toMs) - x(fromMs), 1)}" height="${ROW - 3}"`
      return `<rect class="${end}" ${place}><title>${text(title)}</title></rect>`
    })
  const labels = [...rows].map(([label, row]) => `<text x="0" y="${30 + ROW * row}">${text(label)}</text>`)
  const width = x(bars.reduce((last, { toMs }) => Math.max(last, toMs), firstMs))
  const problems = violations
    .map(({ kind, name, message }) => `<li>${text(`${kind} ${name}: ${message}`)}</li>`)
    .join('')
  return `<!doctype html><meta charset="utf-8"><title>Run ${plan.seed} on ${plan.store}</title>
<style>body{font:13px sans-serif}svg{font:10px sans-serif}.fault{fill:#c003;}.released{fill:#278}.lost{fill:#e80}.none{fill:#999}</style>
<h1>Seed ${plan.seed} on ${plan.store}</h1><pre>${text(JSON.stringify(counts, null, 1))}</pre><ul>${problems}</ul>
<svg width="${width + 20}" height="${40 + ROW * rows.size}">${faults.join('')}${rects.join('')}${labels.join('')}</svg>`
}

function text(value: string): string {
  return value.replace(/[&<>]/g, char => `&#${char.charCodeAt(0)};`)
}
