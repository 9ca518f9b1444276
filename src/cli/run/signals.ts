import { constants } from 'node:os'
import { takeInherited } from './inherited.js'

/** The signals that end a program which does not handle them, and that people and supervisors send. */
const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2']
/** Others that would end this process or stop it. */
const OTHERS: readonly NodeJS.Signals[] = ['SIGALRM', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU']

/** Ignores what the caller had ignored, as `nohup` does with SIGHUP: Node.js has set it back to the default. */
export function keepIgnoring(): void {
  for (const signal of [...SIGNALS, ...OTHERS]) if (isIgnored(signal)) process.on(signal, () => {})
}

/**
 * Takes these signals from the system's default, which would end this process at once, until it is closed. Those that the
 * caller had ignored stay so, and nobody is told of them.
 */
export class SignalInbox {
  /** Who is told of each signal. */
  handler: (signal: NodeJS.Signals) => void
  readonly #signals: readonly NodeJS.Signals[] = SIGNALS.filter(signal => !isIgnored(signal))
  readonly #receive = (signal: NodeJS.Signals): void => this.handler(signal)

  constructor(handler: (signal: NodeJS.Signals) => void) {
    this.handler = handler
    for (const signal of this.#signals) process.on(signal, this.#receive)
  }

  close(): void {
    for (const signal of this.#signals) process.off(signal, this.#receive)
  }
}

/**
 * Whether a terminal has sent this signal to CMD as well: what its keys mean goes to the whole foreground group. Who
 * sent a signal cannot be asked, so with a terminal on stdin, stdout or stderr these two are taken to be its own.
 */
export function sentByTerminal(signal: NodeJS.Signals): boolean {
  if (signal !== 'SIGINT' && signal !== 'SIGQUIT') return false
  return process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY
}

function isIgnored(signal: NodeJS.Signals): boolean {
  return takeInherited().ignored.includes(constants.signals[signal])
}
