import { type Cut, clip, visible, width } from './text.js'

export interface Column {
  readonly title: string
  /** Which way the cells lean; default left. */
  readonly align?: 'right'
  /** Down to how many columns of the terminal it may be cut when the table is too wide; default: never. */
  readonly least?: number
  /** What is cut away; default the end. */
  readonly cut?: Cut
}

export interface TableStyle {
  /** How wide the table may be. */
  readonly width: number
  readonly title: (text: string) => string
}

const GAP = '  '

/**
 * A table with aligned columns, whose rows may come in parts. Cells are data from anywhere, so they are made visible.
 * While the table is too wide, the widest of the columns that may be cut loses. A later part can make columns wider.
 */
export class Table {
  readonly #columns: readonly Column[]
  readonly #style: TableStyle
  /** How wide each column would be if nothing were cut. */
  readonly #natural: number[]
  #started = false

  constructor(columns: readonly Column[], style: TableStyle) {
    this.#columns = columns
    this.#style = style
    this.#natural = columns.map(({ title }) => width(title))
  }

  /** The lines of these rows, without line ends; the first time below the titles. */
  lines(rows: readonly (readonly string[])[]): readonly string[] {
    const cells = rows.map(row => row.map(cell => measured(visible(cell))))
    for (const row of cells) {
      row.forEach(({ columns }, i) => {
        if (columns > (this.#natural[i] as number)) this.#natural[i] = columns
      })
    }
    const widths = this.#fitted()
    const lines = cells.map(row => this.#line(row, widths))
    if (this.#started) return lines
    this.#started = true
    const titles = this.#columns.map(({ title }) => measured(title))
    return [this.#style.title(this.#line(titles, widths)), ...lines]
  }

  #fitted(): readonly number[] {
    const widths = [...this.#natural]
    let excess = widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1)) - this.#style.width
    for (; excess > 0; excess -= 1) {
      const widest = this.#widestToCut(widths)
      if (widest === null) break
      widths[widest] = (widths[widest] as number) - 1
    }
    return widths
  }

  #widestToCut(widths: readonly number[]): number | null {
    let widest: number | null = null
    this.#columns.forEach(({ least }, i) => {
      const own = widths[i] as number
      if (least !== undefined && own > least && (widest === null || own > (widths[widest] as number))) widest = i
    })
    return widest
  }

  #line(row: readonly Measured[], widths: readonly number[]): string {
    const padded = row.map((cell, i) => pad(cell, widths[i] as number, this.#columns[i]))
    return clip(padded.join(GAP).trimEnd(), this.#style.width)
  }
}

/** A table whose rows are all there. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: TableStyle,
): readonly string[] {
  return new Table(columns, style).lines(rows)
}

interface Measured {
  readonly text: string
  /** How many columns of a terminal it takes. */
  readonly columns: number
}

function measured(text: string): Measured {
  return { text, columns: width(text) }
}

function pad(cell: Measured, columns: number, { align, cut }: Column = { title: '' }): string {
  const { text, columns: own } = cell.columns > columns ? measured(clip(cell.text, columns, cut)) : cell
  const space = ' '.repeat(columns - own)
  return align === 'right' ? space + text : text + space
}
