import { clip, visible, width } from './text.js'

export interface Column {
  readonly title: string
  /** Which way the cells lean; default left. */
  readonly align?: 'right'
  /** Down to how many columns of the terminal it may be cut when the table is too wide; default: never. */
  readonly least?: number
}

export interface TableStyle {
  /** How wide the table may be. */
  readonly width: number
  readonly title: (text: string) => string
}

const GAP = '  '

/**
 * A table with aligned columns, as lines without line ends. Cells are data from anywhere, so they are made visible.
 * While the table is too wide, the widest of the columns that may be cut loses.
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: TableStyle,
): readonly string[] {
  const titles = columns.map(column => column.title)
  const cells = rows.map(row => row.map(visible))
  const widths = columns.map((_, i) => Math.max(...[titles, ...cells].map(row => width(row[i] ?? ''))))
  let excess = widths.reduce((sum, each) => sum + each, GAP.length * (columns.length - 1)) - style.width
  for (; excess > 0; excess -= 1) {
    const widest = widestToCut(columns, widths)
    if (widest === null) break
    widths[widest] = (widths[widest] as number) - 1
  }
  const line = (row: readonly string[]) => {
    const padded = row.map((cell, i) => pad(clip(cell, widths[i] as number), widths[i] as number, columns[i]?.align))
    return clip(padded.join(GAP).trimEnd(), style.width)
  }
  return [style.title(line(titles)), ...cells.map(line)]
}

function widestToCut(columns: readonly Column[], widths: readonly number[]): number | null {
  let widest: number | null = null
  columns.forEach(({ least }, i) => {
    const own = widths[i] as number
    if (least !== undefined && own > least && (widest === null || own > (widths[widest] as number))) widest = i
  })
  return widest
}

function pad(text: string, columns: number, align: 'right' | undefined): string {
  const space = ' '.repeat(columns - width(text))
  return align === 'right' ? space + text : text + space
}
