import { signalExitCode } from '../exit-codes.js'
import { momentOf } from '../locks/locks.js'
import type { Notices } from '../output/notices.js'
import { bold, dim, outputWidth, print, printJson, terminalSize } from '../output/output.js'
import { clip, visible, withoutLogins } from '../output/text.js'

/** What was seen at one look. */
export interface Snapshot {
  /** For `--json`. */
  readonly document: unknown
  /** At most `width` columns wide; says so when there is nothing. */
  table(width: number): readonly string[]
}

/** Where a watch shows what it sees. */
export interface View {
  show(snapshot: Snapshot): Promise<void>
  /** The store could not be looked at this time. */
  fault(message: string): void
  close(): void
}

/** One JSON document a line. */
export class JsonView implements View {
  readonly #notices: Notices

  constructor(notices: Notices) {
    this.#notices = notices
  }

  show({ document }: Snapshot): Promise<void> {
    return printJson(document)
  }

  fault(message: string): void {
    this.#notices.problem('fault', message)
  }

  close(): void {}
}

/** One table after the other, each below the time. */
export class LogView implements View {
  readonly #notices: Notices

  constructor(notices: Notices) {
    this.#notices = notices
  }

  show(snapshot: Snapshot): Promise<void> {
    return print(`${[momentOf(Date.now()), ...snapshot.table(outputWidth())].join('\n')}\n\n`)
  }

  fault(message: string): void {
    this.#notices.problem('fault', message)
  }

  close(): void {}
}

const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const HOME = '\x1b[H'
const CLEAR_LINE = '\x1b[K'
const CLEAR_BELOW = '\x1b[J'
const CTRL_C = '\x03'
/** The lines above the table and below it. */
const FRAME_LINES = 3

/** The terminal as a page that is drawn over and over; what was on it before comes back at the end. */
export class TerminalView implements View {
  readonly #title: string
  readonly #quit: (exitCode: number) => void
  #snapshot: Snapshot | null = null
  #fault: string | null = null

  /** `quit` is called with the exit code when somebody presses q or Ctrl-C. */
  constructor(title: string, quit: (exitCode: number) => void) {
    this.#title = title
    this.#quit = quit
    process.stdout.write(ENTER)
    process.stdout.on('resize', this.#draw)
    if (process.stdin.isTTY) process.stdin.setRawMode(true).on('data', this.#onKeys)
  }

  async show(snapshot: Snapshot): Promise<void> {
    this.#snapshot = snapshot
    this.#fault = null
    this.#draw()
  }

  fault(message: string): void {
    this.#fault = message
    this.#draw()
  }

  close(): void {
    if (process.stdin.isTTY) process.stdin.setRawMode(false).off('data', this.#onKeys).pause()
    process.stdout.off('resize', this.#draw)
    process.stdout.write(LEAVE)
  }

  readonly #onKeys = (keys: Buffer): void => {
    const text = keys.toString()
    if (text.includes(CTRL_C)) this.#quit(signalExitCode('SIGINT'))
    else if (/q/i.test(text)) this.#quit(0)
  }

  readonly #draw = (): void => {
    const { columns, rows } = terminalSize()
    const head = `${this.#title}   ${momentOf(Date.now())}   q quits`
    const table = this.#snapshot?.table(columns) ?? []
    const room = Math.max(rows - FRAME_LINES, 1)
    const shown = table.length > room ? [...table.slice(0, room - 1), `… ${table.length - room + 1} more`] : table
    const foot = this.#fault === null ? '' : bold(clip(visible(withoutLogins(this.#fault)), columns))
    const page = [dim(clip(visible(head), columns)), '', ...shown, foot]
    process.stdout.write(`${HOME}${page.map(line => line + CLEAR_LINE).join('\r\n')}${CLEAR_BELOW}`)
  }
}
