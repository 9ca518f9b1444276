import { visible, withoutLogins } from './text.js'

export interface NoticeOptions {
  readonly quiet?: boolean | undefined
  /** One JSON object a line instead of text. */
  readonly json?: boolean | undefined
}

/** What a program can read from a notice beside its text. */
export type NoticeDetails = Readonly<Record<string, unknown>>

/** What the command itself has to say: one line each, on stderr, since stdout is for results and for CMD. */
export class Notices {
  readonly #quiet: boolean
  readonly #json: boolean

  constructor(options: NoticeOptions = {}) {
    this.#quiet = options.quiet ?? false
    this.#json = options.json ?? false
  }

  /** Something that happens in the normal course of things; left out with `--quiet`. */
  info(event: string, message: string, details: NoticeDetails = {}): void {
    if (!this.#quiet) this.problem(event, message, details)
  }

  /** As {@link Notices.info}, for what only a program wants to know. */
  record(event: string, details: NoticeDetails): void {
    if (!this.#quiet && this.#json) this.#write(JSON.stringify({ event, ...details }))
  }

  /** Something that went wrong. */
  problem(event: string, message: string, details: NoticeDetails = {}): void {
    const safe = withoutLogins(message)
    this.#write(this.#json ? JSON.stringify({ event, ...details, message: safe }) : `soloist: ${visible(safe)}`)
  }

  #write(line: string): void {
    process.stderr.write(`${line}\n`)
  }
}
