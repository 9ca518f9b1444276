import type { Command } from 'commander'
import { prefix } from '../arguments.js'
import { EXIT } from '../exit-codes.js'
import { batches } from '../output/batches.js'
import { Notices } from '../output/notices.js'
import { JsonList, outputWidth, print } from '../output/output.js'
import { quoted } from '../output/text.js'
import { addStoreOptions, type StoreOptions, withStore } from '../store.js'
import { byName, LocksTable, lockJson } from './locks.js'

export function addLs(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command('ls')
    .summary('list the locks in use')
    .description('Lists the locks in use: who holds them, since when, until when, and how many wait.')
    .argument('[prefix]', 'only names that start with this, taken literally', prefix)
  addStoreOptions(command, 'print {"locks":[…]} on one line').action(
    async (start: string | undefined, options: StoreOptions) => {
      done(await ls(start ?? '', options))
    },
  )
}

async function ls(start: string, options: StoreOptions): Promise<number> {
  const notices = new Notices({ quiet: options.quiet })
  return await withStore(options, notices, async ({ solo }) => {
    const json = options.json ? new JsonList('locks') : null
    const table = new LocksTable(outputWidth())
    let any = false
    for await (const { items } of batches(solo.list({ prefix: start }))) {
      const states = [...items].sort(byName)
      any ||= states.length > 0
      if (json !== null) await json.add(states.map(lockJson))
      else if (states.length > 0) await print(`${table.lines(states).join('\n')}\n`)
    }
    if (json !== null) await json.end()
    else if (!any)
      notices.info('none', start === '' ? 'no lock is in use' : `no lock in use starts with ${quoted(start)}`)
    return EXIT.ok
  })
}
