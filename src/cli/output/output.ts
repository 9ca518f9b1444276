import { styleText } from 'node:util'
import { EXIT, signalExitCode } from '../exit-codes.js'
import type { Notices } from './notices.js'

/** Writes a result to stdout; resolves once the system has taken it, so that a slow reader slows the writer down. */
export function print(text: string): Promise<void> {
  return new Promise(resolve => {
    // A failure is the stream's 'error' event.
    process.stdout.write(text, () => resolve())
  })
}

/** One JSON document, on a line of its own. */
export function printJson(document: unknown): Promise<void> {
  return print(`${JSON.stringify(document)}\n`)
}

/** One JSON document on a line of its own that holds a list, `{"locks":[…]}`, and may be longer than memory. */
export class JsonList {
  readonly #member: string
  #started = false

  constructor(member: string) {
    this.#member = member
  }

  async add(elements: readonly unknown[]): Promise<void> {
    if (elements.length === 0) return
    const texts = elements.map(element => JSON.stringify(element)).join(',')
    await print(`${this.#started ? ',' : this.#start()}${texts}`)
    this.#started = true
  }

  async end(): Promise<void> {
    await print(`${this.#started ? '' : this.#start()}]}\n`)
  }

  #start(): string {
    return `{${JSON.stringify(this.#member)}:[`
  }
}

/** The terminal on stdout; a terminal that does not know its size is taken for the usual one. */
export function terminalSize(): { readonly columns: number; readonly rows: number } {
  return { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 }
}

/** How wide a table may be; unlimited where stdout is no terminal. */
export function outputWidth(): number {
  return process.stdout.isTTY ? terminalSize().columns : Number.POSITIVE_INFINITY
}

export function bold(text: string): string {
  return coloured() ? styleText('bold', text) : text
}

export function dim(text: string): string {
  return coloured() ? styleText('dim', text) : text
}

/** Ends the command when nobody reads its output any more, as a pipe does with other programs. */
export function guardOutput(notices: Notices): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(signalExitCode('SIGPIPE'))
    notices.problem('failed', `cannot write the output: ${error.message}`, { code: error.code ?? null })
    process.exit(EXIT.output)
  })
  // Nowhere is left to tell it, and it must not end a command that is guarding CMD.
  process.stderr.on('error', () => {})
}

/** Whether stdout is a terminal that wants colours: respects NO_COLOR and TERM. */
function coloured(): boolean {
  return process.stdout.isTTY && process.stdout.hasColors()
}
