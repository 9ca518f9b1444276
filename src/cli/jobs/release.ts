import type { Command } from 'commander'
import { parseJobLock, type Soloist } from '../../index.js'
import { EXIT } from '../exit-codes.js'
import { UsageError } from '../failure.js'
import { holderPhrase } from '../locks/locks.js'
import { confirm } from '../output/confirm.js'
import { Notices } from '../output/notices.js'
import { print, printJson } from '../output/output.js'
import { quoted, visible } from '../output/text.js'
import { addStoreOptions, withStore } from '../store.js'
import { locksOfJob, locksOfKeys } from './find.js'
import type { JobsOptions } from './jobs.js'
import { holdJson, type JobHold, type LiveJob, type LiveState, liveJobs } from './live.js'

interface ReleaseOptions extends JobsOptions {
  readonly yes?: boolean
}

/** What KEY means. */
type Wanted =
  /** All locks of one job and key, or one of them. */
  | { readonly kind: 'lock'; readonly job: string; readonly key: string; readonly only: string | null }
  /** All locks of the one job whose key starts like this. */
  | { readonly kind: 'key'; readonly start: string }

/** One lock that is to be taken away, from exactly the holder that is shown. */
interface Target extends JobHold {
  readonly state: LiveState
  readonly atMs: number
}

/** How many jobs a message about an ambiguous key names. */
const NAMED = 5

export function addJobsRelease(jobs: Command, done: (exitCode: number) => void): void {
  const command = jobs
    .command('release')
    .summary('take the locks of a job away')
    .description(
      'Takes the locks of a job away from exactly the owners it shows, after asking. A run is not stopped by this: it ' +
        'learns of its loss at the next renewal. A job that waits in a queue stays there. Exit code 1 when nothing was ' +
        'taken away.',
    )
    .argument('<key>', 'a key as jobs lists it, or the name of a job lock', wanted)
    .option('--yes', 'do not ask; needed where stdin is no terminal')
  addStoreOptions(command, 'print {"removed":[…]} on one line').action(async (key: Wanted) =>
    // An option that `jobs` has, too, is read by `jobs`, wherever it stands.
    done(await release(key, command.optsWithGlobals<ReleaseOptions>())),
  )
}

function wanted(text: string): Wanted {
  const parsed = parseJobLock(text)
  if (parsed !== null && parsed.part !== 'stop') {
    const { job, key, part } = parsed
    return { kind: 'lock', job, key, only: part === 'trigger' ? null : text }
  }
  const [, digits] = /^(?:v1:)?([0-9a-f]{6,64})$/.exec(text) ?? []
  if (digits === undefined) {
    throw new UsageError(
      `${quoted(text)} is neither a key as jobs lists it (v1:0123456789ab) nor the name of a job lock`,
    )
  }
  return { kind: 'key', start: `v1:${digits}` }
}

async function release(key: Wanted, options: ReleaseOptions): Promise<number> {
  if (options.args !== undefined || options.watch || options.interval !== undefined) {
    throw new UsageError('--args, --watch and --interval are for jobs alone; release takes a KEY')
  }
  if (!options.yes && !process.stdin.isTTY) throw new UsageError('stdin is no terminal to ask on; say --yes')
  return await withStore(options, new Notices({ quiet: options.quiet }), async ({ solo }) => {
    const targets = await targetsOf(solo, key)
    if (targets.length > 0 && !options.yes && !(await confirm(question(targets)))) return EXIT.nothing
    const removed: Target[] = []
    for (const target of targets) {
      if (await solo.unlock(target.name, { owner: target.holder.owner })) removed.push(target)
    }
    if (options.json) await printJson({ removed: removed.map(hold => ({ state: hold.state, ...holdJson(hold) })) })
    else await print(`${summary(key, targets, removed).join('\n')}\n`)
    return removed.length > 0 ? EXIT.ok : EXIT.nothing
  })
}

/** @throws UsageError when the key is that of several jobs */
async function targetsOf(solo: Soloist, key: Wanted): Promise<readonly Target[]> {
  if (key.kind === 'lock') {
    const live = await liveJobs(locksOfJob(solo, key.job, key.key))
    return targets(live).filter(({ name }) => (key.only ?? name) === name)
  }
  const live = await liveJobs(locksOfKeys(solo, '', each => each.startsWith(key.start)))
  const locks = [...new Set(live.map(job => `job:${job.job}:${job.key}`))]
  if (locks.length > 1) {
    const shown = locks.slice(0, NAMED).map(visible)
    const more = locks.length > NAMED ? [`… and ${locks.length - NAMED} more`] : []
    throw new UsageError(
      `${quoted(key.start)} is the key of several jobs; name one of ${[...shown, ...more].join(', ')}`,
    )
  }
  return targets(live)
}

function targets(live: readonly LiveJob[]): readonly Target[] {
  return live.flatMap(({ holds, state, atMs }) => holds.map(hold => ({ ...hold, state, atMs })))
}

function question(targets: readonly Target[]): string {
  const lines = targets.map(target => `  ${phrase(target)}, held by ${holderPhrase(target.holder, target.atMs)}`)
  return `${lines.join('\n')}\nTake ${targets.length === 1 ? 'it' : 'them'} away? [y/N] `
}

function summary(key: Wanted, targets: readonly Target[], removed: readonly Target[]): readonly string[] {
  const shown = quoted(key.kind === 'key' ? key.start : (key.only ?? `job:${key.job}:${key.key}`))
  if (targets.length === 0) return [`no live job has ${shown}; nothing was taken away`]
  return targets.map(target => {
    if (removed.includes(target))
      return `${phrase(target)} was taken away from ${holderPhrase(target.holder, target.atMs)}`
    return `${phrase(target)} is not held by ${visible(target.holder.owner)} any more; it was not taken away`
  })
}

/** In full, since it is what another command can be given. */
function phrase({ name, state }: Target): string {
  return `'${visible(name)}' (${state})`
}
