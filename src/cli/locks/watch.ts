import type { Command } from 'commander'
import { duration, prefix } from '../arguments.js'
import { addStoreOptions, type OpenStore } from '../store.js'
import type { Snapshot } from '../watch/view.js'
import { LEAST_INTERVAL_MS, type WatchOptions, watch } from '../watch/watch.js'
import { LocksTable, lockJson, locksBelow } from './locks.js'

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
    async (start: string | undefined, options: WatchOptions) =>
      done(await watch(store => look(store, start ?? ''), options)),
  )
}

async function look({ solo }: OpenStore, start: string): Promise<Snapshot> {
  const states = await locksBelow(solo, start)
  return {
    document: { locks: states.map(lockJson) },
    table: width => (states.length === 0 ? ['no lock is in use'] : new LocksTable(width).lines(states)),
  }
}
