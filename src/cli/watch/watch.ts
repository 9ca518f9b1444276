import type { Command } from 'commander'
import type { LockState } from '../../index.js'
import { duration, prefix } from '../arguments.js'
import { EXIT, signalExitCode } from '../exit-codes.js'
import { explain } from '../failure.js'
import { locksBelow } from '../locks/locks.js'
import { formatDuration } from '../output/duration.js'
import { Notices } from '../output/notices.js'
import { SignalInbox } from '../run/signals.js'
import { addStoreOptions, type OpenStore, type StoreOptions, withStore } from '../store.js'
import { JsonView, LogView, TerminalView, type View } from './view.js'

interface WatchOptions extends StoreOptions {
  /** In milliseconds. */
  readonly interval?: number
}

const DEFAULT_INTERVAL_MS = 1_000
const LEAST_INTERVAL_MS = 100

export function addWatch(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command('watch')
    .summary('show the locks in use, live')
    .description(
      'Shows the locks in use again and again, until q or Ctrl-C. Where stdout is no terminal, it prints one table after ' +
        'the other.',
    )
    .argument('[prefix]', 'only names that start with this, taken literally', prefix)
    .option('--interval <duration>', 'how often to look (default: 1s)', duration('--interval', LEAST_INTERVAL_MS))
  addStoreOptions(command, 'print {"locks":[…]} on one line each time').action(
    async (start: string | undefined, options: WatchOptions) => done(await watch(start ?? '', options)),
  )
}

async function watch(start: string, options: WatchOptions): Promise<number> {
  const notices = new Notices({ quiet: options.quiet })
  return await withStore(options, notices, store => watchStore(store, start, options, notices))
}

async function watchStore(store: OpenStore, start: string, options: WatchOptions, notices: Notices): Promise<number> {
  const { interval: intervalMs = DEFAULT_INTERVAL_MS } = options
  const end = new WatchEnd()
  const signals = new SignalInbox(signal => end.come(signalExitCode(signal)))
  let view: View | null = null
  try {
    for (;;) {
      const seen = await end.or(look(store, start))
      if (seen === null || end.exitCode !== null) return end.exitCode ?? EXIT.ok
      // A store that never answered is a mistake to end with; one that did may come back.
      if (seen instanceof Error && view === null) throw seen
      view ??= openView(store, intervalMs, options, notices, end.come)
      if (seen instanceof Error) view.fault(explain(seen).message)
      else await view.show(seen)
      await end.orAfter(intervalMs)
    }
  } finally {
    view?.close()
    signals.close()
  }
}

async function look({ solo }: OpenStore, start: string): Promise<readonly LockState[] | Error> {
  try {
    return await locksBelow(solo, start)
  } catch (error) {
    return error as Error
  }
}

function openView(
  { label }: OpenStore,
  intervalMs: number,
  options: WatchOptions,
  notices: Notices,
  quit: (exitCode: number) => void,
): View {
  if (options.json) return new JsonView(notices)
  if (!process.stdout.isTTY || process.env.TERM === 'dumb') return new LogView(notices)
  return new TerminalView(`${label}   every ${formatDuration(intervalMs)}`, quit)
}

/** The end of a watch: comes once, and ends what is waited for at the time. */
class WatchEnd {
  exitCode: number | null = null
  #onCome: () => void = () => {}

  readonly come = (exitCode: number): void => {
    this.exitCode ??= exitCode
    this.#onCome()
  }

  /** What the work resolves to, or `null` when the end comes first. */
  or<T>(work: Promise<T>): Promise<T | null> {
    return new Promise((resolve, reject) => {
      this.#onCome = () => resolve(null)
      work.then(resolve, reject)
      if (this.exitCode !== null) this.#onCome()
    })
  }

  /** Resolves after so long, or when the end comes. */
  orAfter(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#onCome = () => {
        clearTimeout(timer)
        resolve()
      }
      if (this.exitCode !== null) this.#onCome()
    })
  }
}
