import { EXIT, signalExitCode } from '../exit-codes.js'
import { explain } from '../failure.js'
import { formatDuration } from '../output/duration.js'
import { Notices } from '../output/notices.js'
import { SignalInbox } from '../run/signals.js'
import { type OpenStore, type StoreOptions, withStore } from '../store.js'
import { JsonView, LogView, type Snapshot, TerminalView, type View } from './view.js'

export interface WatchOptions extends StoreOptions {
  /** How often to look, in milliseconds; default 1,000. */
  readonly interval?: number
}

const DEFAULT_INTERVAL_MS = 1_000
/** The shortest interval. */
export const LEAST_INTERVAL_MS = 100

/** Shows what `look` sees again and again, until q, Ctrl-C or a signal; returns the exit code. */
export async function watch(look: (store: OpenStore) => Promise<Snapshot>, options: WatchOptions): Promise<number> {
  const notices = new Notices({ quiet: options.quiet })
  return await withStore(options, notices, store => watchStore(store, look, options, notices))
}

async function watchStore(
  store: OpenStore,
  look: (store: OpenStore) => Promise<Snapshot>,
  options: WatchOptions,
  notices: Notices,
): Promise<number> {
  const { interval: intervalMs = DEFAULT_INTERVAL_MS } = options
  const end = new WatchEnd()
  const signals = new SignalInbox(signal => end.come(signalExitCode(signal)))
  let view: View | null = null
  try {
    for (;;) {
      const seen = await end.or(look(store).catch((error: Error) => error))
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
