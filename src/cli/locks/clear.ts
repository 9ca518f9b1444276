import type { Command } from 'commander'
import type { LockState } from '../../index.js'
import { prefix } from '../arguments.js'
import { EXIT } from '../exit-codes.js'
import { UsageError } from '../failure.js'
import { confirm } from '../output/confirm.js'
import { Notices } from '../output/notices.js'
import { print, printJson } from '../output/output.js'
import { quoted } from '../output/text.js'
import { addStoreOptions, type StoreOptions, withStore } from '../store.js'
import { holderPhrase, locksBelow } from './locks.js'

interface ClearOptions extends StoreOptions {
  readonly all?: boolean
  readonly yes?: boolean
}

/** How many locks the question names one by one. */
const NAMED = 10

export function addClear(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command('clear')
    .summary('take away all locks below a prefix')
    .description(
      'Takes away every lock that is held and whose name starts with a prefix, after asking. As with unlock, the work of ' +
        'the holders is not stopped by this. Exit code 1 when the answer was no.',
    )
    .argument('[prefix]', 'the start of the names, taken literally', prefix)
    .option('--all', 'every lock of the store, in place of a prefix')
    .option('--yes', 'do not ask; needed where stdin is no terminal')
  addStoreOptions(command, 'print {"prefix":…,"cleared":…} on one line').action(
    async (start: string | undefined, options: ClearOptions) => done(await clear(start, options)),
  )
}

async function clear(start: string | undefined, options: ClearOptions): Promise<number> {
  // An empty prefix may be a variable nobody set, so it is not taken for "all".
  if ((start ?? '') === '' && !options.all) throw new UsageError('name a prefix, or say --all')
  if (start !== undefined && options.all) throw new UsageError('--all takes no prefix')
  if (options.all && options.keyPrefix === '') {
    throw new UsageError('--all with an empty --key-prefix would take what is no lock, too; name a prefix')
  }
  if (!options.yes && !process.stdin.isTTY) throw new UsageError('stdin is no terminal to ask on; say --yes')
  const below = start ?? ''
  return await withStore(options, new Notices({ quiet: options.quiet }), async ({ solo }) => {
    if (!options.yes) {
      const held = (await locksBelow(solo, below)).filter(state => state.holders.length > 0)
      if (held.length > 0 && !(await confirm(question(held, below)))) return EXIT.nothing
    }
    const cleared = await solo.clear(below)
    if (options.json) await printJson({ prefix: below, cleared })
    else await print(cleared === 0 ? `no lock is held${starting(below)}\n` : `${count(cleared)} cleared\n`)
    return EXIT.ok
  })
}

function question(held: readonly LockState[], below: string): string {
  const lines = held.slice(0, NAMED).map(({ name, holders: [holder], atMs }) => {
    return `  ${quoted(name)}${holder === undefined ? '' : `, held by ${holderPhrase(holder, atMs)}`}`
  })
  if (held.length > NAMED) lines.push(`  … and ${held.length - NAMED} more`)
  const found = `${count(held.length)} held${starting(below)}:`
  return `${[found, ...lines].join('\n')}\nTake away every lock${starting(below)}? [y/N] `
}

function starting(below: string): string {
  return below === '' ? '' : ` below ${quoted(below)}`
}

function count(locks: number): string {
  return locks === 1 ? '1 lock' : `${locks} locks`
}
