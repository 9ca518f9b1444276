import type { Command } from 'commander'
import { jobPrefix } from '../arguments.js'
import { EXIT } from '../exit-codes.js'
import { ageOf, expiryOf } from '../locks/locks.js'
import { Notices } from '../output/notices.js'
import { bold, outputWidth, print, printJson } from '../output/output.js'
import { type Column, renderTable } from '../output/table.js'
import { quoted } from '../output/text.js'
import { addStoreOptions, type StoreOptions, withStore } from '../store.js'
import { type LiveJob, liveJobJson, liveJobs } from './live.js'
import { addJobsRelease } from './release.js'

/** How much of a key a table shows: enough to tell the keys of one store apart, and for `jobs release`. */
const SHOWN_KEY = 'v1:'.length + 12

const COLUMNS: readonly Column[] = [
  { title: 'JOB', least: 10 },
  { title: 'KEY' },
  { title: 'OWNER', least: 14 },
  { title: 'STATE' },
  { title: 'AGE', align: 'right' },
  { title: 'EXPIRES IN', align: 'right' },
  { title: 'WAITING', align: 'right' },
]

/** `argv` is what the command was called with: behind `--`, `release` is the start of a job name. */
export function addJobs(program: Command, argv: readonly string[], done: (exitCode: number) => void): void {
  const command = program
    .command('jobs')
    .summary('list the live singleton jobs')
    .description(
      'Lists the live singleton jobs: their names and keys, who holds them, how far they are, and since when.',
    )
    .argument('[prefix]', 'only job names that start with this, taken literally', jobPrefix)
    .helpCommand(false)
  addStoreOptions(command, 'print {"jobs":[…]} on one line').action(
    async (start: string | undefined, options: StoreOptions) => done(await jobs(start ?? '', options)),
  )
  // Commander would take it for the verb there, too.
  const [first] = argv.includes('--') ? argv.slice(argv.indexOf('--') + 1) : []
  if (first !== 'release') addJobsRelease(command, done)
}

async function jobs(start: string, options: StoreOptions): Promise<number> {
  const notices = new Notices({ quiet: options.quiet })
  return await withStore(options, notices, async ({ solo }) => {
    const live = await liveJobs(solo, start)
    if (options.json) await printJson({ jobs: live.map(liveJobJson) })
    else if (live.length > 0) await print(`${table(live).join('\n')}\n`)
    else notices.info('none', start === '' ? 'no job is live' : `no live job's name starts with ${quoted(start)}`)
    return EXIT.ok
  })
}

function table(live: readonly LiveJob[]): readonly string[] {
  const rows = live.map(({ job, key, state, holds, waiting, atMs }) => {
    const holder = holds[0]?.holder
    const times = holder === undefined ? ['-', '-'] : [ageOf(holder, atMs), expiryOf(holder, atMs)]
    return [job, key.slice(0, SHOWN_KEY), holder?.owner ?? '-', state, ...times, String(waiting)]
  })
  return renderTable(COLUMNS, rows, { width: outputWidth(), title: bold })
}
