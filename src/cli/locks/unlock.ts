import type { Command } from 'commander'
import type { Holder, Soloist } from '../../index.js'
import { lockName } from '../arguments.js'
import { EXIT } from '../exit-codes.js'
import { UsageError } from '../failure.js'
import { noticeJobsNamed } from '../jobs/named.js'
import { Notices } from '../output/notices.js'
import { print, printJson } from '../output/output.js'
import { quoted, visible } from '../output/text.js'
import { addStoreOptions, type StoreOptions, withStore } from '../store.js'
import { holderJson, holderPhrase } from './locks.js'

interface UnlockOptions extends StoreOptions {
  readonly owner?: string
  readonly force?: boolean
}

export function addUnlock(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command('unlock')
    .summary('take a lock away from its holder')
    .description(
      'Takes a lock away from its holder; the next in line gets it. The work of the holder is not stopped by this: it ' +
        'learns of its loss at the next renewal. Exit code 1 when there was nothing to take away.',
    )
    .argument('<name>', 'the name of the lock', lockName)
    .option('--owner <owner>', 'only from exactly this owner, as get shows it')
    .option('--force', 'from whoever holds it')
  addStoreOptions(command, 'print {"name":…,"removed":[…]} on one line').action(
    async (name: string, options: UnlockOptions) => done(await unlock(name, options)),
  )
}

async function unlock(name: string, options: UnlockOptions): Promise<number> {
  const { owner, force } = options
  if ((owner === undefined) === (force === undefined)) {
    throw new UsageError('say whose lock to take away: either --owner OWNER or --force')
  }
  const notices = new Notices({ quiet: options.quiet })
  return await withStore(options, notices, async ({ solo }) => {
    const state = await solo.inspect(name)
    const wanted = (state?.holders ?? []).filter(holder => force || holder.owner === owner)
    const removed = await removeFrom(solo, name, wanted)
    if (options.json) await printJson({ name, removed: removed.map(holderJson) })
    else await print(`${summary(name, removed, state?.atMs ?? 0, owner).join('\n')}\n`)
    if (removed.length > 0) return EXIT.ok
    if (state === null && !options.quiet) await noticeJobsNamed(solo, name, notices)
    return EXIT.nothing
  })
}

/** Those it was really taken from: one by one and by owner, since it may have changed hands after it was looked at. */
async function removeFrom(solo: Soloist, name: string, holders: readonly Holder[]): Promise<readonly Holder[]> {
  const removed: Holder[] = []
  for (const holder of holders) {
    if (await solo.unlock(name, { owner: holder.owner })) removed.push(holder)
  }
  return removed
}

function summary(name: string, removed: readonly Holder[], atMs: number, owner: string | undefined): readonly string[] {
  if (removed.length > 0)
    return removed.map(holder => `${quoted(name)} was taken away from ${holderPhrase(holder, atMs)}`)
  return [`${quoted(name)} is not held${owner === undefined ? '' : ` by ${visible(owner)}`}; nothing was taken away`]
}
