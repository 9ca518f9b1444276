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
 * Columns that may be cut are cut from the last to the first until the table fits.
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
  for (let i = columns.length - 1; i >= 0 && excess > 0; i -= 1) {
    const natural = widths[i] as number
    const kept = Math.max(natural - excess, Math.min(columns[i]?.least ?? natural, natural))
    widths[i] = kept
    excess -= natural - kept
  }
  const line = (row: readonly string[]) => {
    const padded = row.map((cell, i) => pad(clip(cell, widths[i] as number), widths[i] as number, columns[i]?.align))
    return clip(padded.join(GAP).trimEnd(), style.width)
  }
  return [style.title(line(titles)), ...cells.map(line)]
}

function pad(text: string, columns: number, align: 'right' | undefined): string {
  const space = ' '.repeat(columns - width(text))
  return align === 'right' ? space + text : text + space
}
