import type { Command } from 'commander'
import type { LockState, Soloist } from '../../index.js'
import { duration, jobArguments, jobPrefix } from '../arguments.js'
import { EXIT } from '../exit-codes.js'
import { UsageError } from '../failure.js'
import { expiryOf, runBy } from '../locks/locks.js'
import { formatDuration } from '../output/duration.js'
import { Notices } from '../output/notices.js'
import { bold, JsonList, outputWidth, print } from '../output/output.js'
import { type Column, Table } from '../output/table.js'
import { quoted } from '../output/text.js'
import { addStoreOptions, type OpenStore, withStore } from '../store.js'
import type { Snapshot } from '../watch/view.js'
import { LEAST_INTERVAL_MS, type WatchOptions, watch } from '../watch/watch.js'
import { locksOfJob, locksOfKeys } from './find.js'
import { type LiveJob, liveJobBatches, liveJobJson, liveJobs } from './live.js'
import { addJobsRelease } from './release.js'

export interface JobsOptions extends WatchOptions {
  /** The key of the arguments. */
  readonly args?: string
  readonly watch?: boolean
}

/** How much of a key a table on a terminal shows: enough to tell the keys of one store apart, and for `jobs release`. */
const SHOWN_KEY = 'v1:'.length + 12

const COLUMNS: readonly Column[] = [
  { title: 'JOB', least: 10, cut: 'middle' },
  { title: 'KEY' },
  { title: 'OWNER', least: 14, cut: 'middle' },
  { title: 'STATE' },
  { title: 'AGE', align: 'right' },
  { title: 'EXPIRES IN', align: 'right' },
  { title: 'WAITING', align: 'right' },
  { title: 'NOTES', align: 'right' },
  { title: 'RUN BY', least: 6, cut: 'middle' },
  { title: 'FOR', least: 3 },
]

/** `argv` is what the command was called with: behind `--`, `release` is the start of a job name. */
export function addJobs(program: Command, argv: readonly string[], done: (exitCode: number) => void): void {
  const command = program
    .command('jobs')
    .summary('list the live singleton jobs')
    .description(
      'Lists the live singleton jobs: their names and keys, who holds them, how far they are, and since when.',
    )
    .argument('[prefix]', 'only job names that start with this; with --args, the name', jobPrefix)
    .option('--args <json>', 'only jobs with these arguments, as the key counts them', jobArguments)
    .option('--watch', 'again and again, until q or Ctrl-C')
    .option('--interval <duration>', 'with --watch: how often (default: 1s)', duration('--interval', LEAST_INTERVAL_MS))
    .helpCommand(false)
  addStoreOptions(command, 'print {"jobs":[…]} on one line').action(
    async (start: string | undefined, options: JobsOptions) => done(await jobs(start ?? '', options)),
  )
  // Commander would take it for the verb there, too.
  const [first] = argv.includes('--') ? argv.slice(argv.indexOf('--') + 1) : []
  if (first !== 'release') addJobsRelease(command, done)
}

async function jobs(start: string, options: JobsOptions): Promise<number> {
  if (options.watch) return await watch(store => look(store, start, options), options)
  if (options.interval !== undefined) throw new UsageError('--interval is for --watch')
  const notices = new Notices({ quiet: options.quiet })
  return await withStore(options, notices, async ({ solo }) => {
    const json = options.json ? new JsonList('jobs') : null
    const table = new JobsTable(outputWidth())
    let any = false
    for await (const live of liveJobBatches(solo, locksOf(solo, start, options))) {
      any ||= live.length > 0
      if (json !== null) await json.add(live.map(liveJobJson))
      else if (live.length > 0) await print(`${table.lines(live).join('\n')}\n`)
    }
    if (json !== null) await json.end()
    else if (!any) notices.info('none', none(start, options))
    return EXIT.ok
  })
}

async function look({ solo }: OpenStore, start: string, options: JobsOptions): Promise<Snapshot> {
  const live = await liveJobs(locksOf(solo, start, options))
  return {
    document: { jobs: live.map(liveJobJson) },
    table: width => (live.length === 0 ? [none(start, options)] : new JobsTable(width).lines(live)),
  }
}

function locksOf(solo: Soloist, start: string, { args }: JobsOptions): AsyncIterable<LockState> {
  if (args === undefined) return solo.jobs.list(start)
  // A name says which locks these are; else all have to be looked through.
  return start === '' ? locksOfKeys(solo, '', key => key === args) : locksOfJob(solo, start, args)
}

function none(start: string, { args }: JobsOptions): string {
  if (args === undefined) return start === '' ? 'no job is live' : `no live job's name starts with ${quoted(start)}`
  return `no live job${start === '' ? '' : ` named ${quoted(start)}`} has these arguments; their key is ${args}`
}

class JobsTable {
  readonly #table: Table
  /** How much of a key is shown. */
  readonly #key: number

  constructor(width: number) {
    this.#table = new Table(COLUMNS, { width, title: bold })
    this.#key = width === Number.POSITIVE_INFINITY ? width : SHOWN_KEY
  }

  lines(live: readonly LiveJob[]): readonly string[] {
    return this.#table.lines(
      live.map(({ job, key, state, holds, owner, sinceMs, run, waiting, notes, atMs }) => {
        const holder = holds[0]?.holder
        const unknown = owner === null ? '-' : 'unknown'
        const age = sinceMs === null ? unknown : formatDuration(Math.max(atMs - sinceMs, 0))
        const times = [age, holder === undefined ? '-' : expiryOf(holder, atMs)]
        const counts = [String(waiting), String(notes)]
        const who = run === null ? ['', ''] : [runBy(run), run.description ?? '']
        return [job, key.slice(0, this.#key), owner ?? '-', state, ...times, ...counts, ...who]
      }),
    )
  }
}
